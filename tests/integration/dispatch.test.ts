/** Dispatch over HTTP: candidates with reasons, visits without overlap, and people who decide otherwise. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { DispatchView, Visit } from '../../contract/http/dispatch.ts';
import type { Ticket } from '../../contract/http/resources.ts';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import { type ApiHarness, alertOf, startHarness } from '../support/api-harness.ts';
import { manualClock } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

/** Monday, 08:00. */
const MONDAY = Date.UTC(2026, 10, 23, 8);
const clock = manualClock(MONDAY);
const agent = { user: 'alan' };
const manager = { user: 'anna' };
const PERSON = { name: 'Tom', centre: 'north', skills: [{ line: 'refrigerator', level: 2 }] };

describeOnDatabases('dispatch', clock, (database) => {
  let desk: ApiHarness;

  beforeEach(async () => {
    clock.advance(MONDAY - clock.now());
    await database().withOwner((client) =>
      client.query(`TRUNCATE alerts, predictions, tickets, ticket_alerts, ticket_events, ticket_evidence, ticket_counters, outbox,
        consumer_positions, service_timers, technicians, visits`),
    );
    desk = await startHarness(database(), clock);
  });
  afterEach(() => desk.api.stop());

  const put = (id: string, body: object, as: { user: string } = manager, headers: Record<string, string> = {}) =>
    desk.request(as, 'PUT', `/api/v1/technicians/${id}`, { body: { ...PERSON, ...body }, headers });
  const open = async (device = 'fridge-1'): Promise<string> => {
    const body = { source: 'phone', symptom: 'it rattles', device, component: 'compressor', mode: 'on_site' };
    const { key } = (await desk.request(agent, 'POST', '/api/v1/tickets', { body })).body as Ticket;
    await send(key, 'transitions', { to: 'triaged', reason: 'heard' });
    return key;
  };
  const read = async (key: string): Promise<Ticket> =>
    (await desk.request(agent, 'GET', `/api/v1/tickets/${key}`)).body;
  const send = async (key: string, path: string, body: object, as = agent) =>
    desk.request(as, 'POST', `/api/v1/tickets/${key}/${path}`, {
      body,
      headers: { 'if-match': `"${(await read(key)).version}"` },
    });
  const candidates = async (key: string, query = ''): Promise<DispatchView> =>
    (await desk.request(agent, 'GET', `/api/v1/tickets/${key}/candidates${query}`)).body;
  const visitsOf = async (key: string): Promise<Visit[]> =>
    ((await desk.request(agent, 'GET', `/api/v1/tickets/${key}/visits`)).body as { items: Visit[] }).items;
  const at = (hour: number) => MONDAY + (hour - 8) * HOUR_MS;

  it('proposes who fits, says why the others do not, and books the first', async () => {
    await put('tom', {});
    await put('lea', { skills: [{ line: 'heatPump', level: 3 }] });
    await put('sam', { centre: 'south' });
    const key = await open();
    const view = await candidates(key, '?durationMinutes=60');
    expect(view.candidates.map((one) => [one.technician, one.obstacles])).toEqual([
      ['tom', []],
      ['lea', ['has no skill for refrigerator']],
    ]);
    const slot = view.candidates[0]?.slot;
    expect(slot).toEqual({ from: at(9.5), until: at(10.5) });
    const booked = await send(key, 'visits', { technician: 'tom', from: slot?.from, durationMinutes: 60 });
    expect(booked.status, booked.text).toBe(201);
    expect(await read(key)).toMatchObject({ state: 'scheduled' });
    expect((await read(key)).history.map((event) => event.type)).toContain('visitBooked');
  });

  it('a predicted failure is visited before it may happen', async () => {
    await put('tom', {});
    desk.findings.add(alertOf({ at: MONDAY }));
    const key = await waitFor('the ticket', async () => {
      const { items } = (await desk.request(agent, 'GET', '/api/v1/tickets')).body as { items: Ticket[] };
      return items[0]?.key;
    });
    // 120 hours at least, a day to spare.
    const { window } = await candidates(key);
    expect(window).toMatchObject({ reason: 'before it may fail, with a day to spare' });
    expect(window.until).toBe(MONDAY + 4 * DAY_MS);
  });

  it('books one technician once at a time, however many try at once', async () => {
    await put('tom', {});
    const keys = [await open('fridge-1'), await open('fridge-3')];
    const tries = await Promise.all(
      keys.map((key) =>
        send(key, 'visits', {
          technician: 'tom',
          from: at(10),
          durationMinutes: 60,
          overrideReason: 'as the customer asked',
        }),
      ),
    );
    expect(tries.map((one) => one.status).sort()).toEqual([201, 409]);
  });

  it('another choice than the first takes a reason, which is kept', async () => {
    await put('ann', { van: ['CMP-4420'] });
    await put('tom', { skills: [{ line: '*', level: 1 }] });
    const key = await open();
    await put('ann', {}, manager, { 'if-match': '"1"' });
    const visit = { technician: 'tom', from: at(11), durationMinutes: 60 };
    const order = (await candidates(key)).candidates.map((one) => one.technician);
    const second = order[1] ?? '';
    const refused = await send(key, 'visits', { ...visit, technician: second });
    expect([refused.status, refused.text]).toEqual([400, expect.stringContaining('body.overrideReason')]);
    const booked = await send(key, 'visits', { ...visit, technician: second, overrideReason: 'knows the customer' });
    expect(booked.body).toMatchObject({ technician: second, overrideReason: 'knows the customer' });
  });

  it('a visit is moved, ends with its ticket, and leaves the time free again', async () => {
    await put('tom', {});
    const key = await open();
    const visit = { technician: 'tom', durationMinutes: 60 };
    await send(key, 'visits', { ...visit, from: at(10) });
    expect((await send(key, 'visits', { ...visit, from: at(10.5) })).status).toBe(201);
    expect((await visitsOf(key)).map((one) => one.state)).toEqual(['cancelled', 'booked']);
    await send(key, 'transitions', { to: 'cancelled', reason: 'sold' });
    expect((await visitsOf(key)).map((one) => one.state)).toEqual(['cancelled', 'cancelled']);
    const other = await open('fridge-3');
    expect((await send(other, 'visits', { ...visit, from: at(10.5) })).status).toBe(201);
    for (const to of ['en_route', 'in_repair', 'resolved']) {
      const moved = await send(other, 'transitions', { to, reason: 'as it went' });
      expect(moved.status, moved.text).toBe(200);
    }
    expect((await visitsOf(other)).map((one) => one.state)).toEqual(['done']);
  });

  it('refuses what cannot be, by the name of the field', async () => {
    await put('tom', {});
    await put('sam', { centre: 'south' });
    const key = await open();
    const visit = { technician: 'tom', from: at(10), durationMinutes: 60 };
    for (const [body, field] of [
      [{ ...visit, technician: 'nobody' }, 'body.technician'],
      [{ ...visit, technician: 'sam' }, 'body.technician'],
      [{ ...visit, from: MONDAY - 1 }, 'body.from'],
      [{ ...visit, durationMinutes: 0 }, 'body.durationMinutes'],
    ] as const) {
      const answer = await send(key, 'visits', body);
      expect([answer.status, answer.text]).toEqual([400, expect.stringContaining(field)]);
    }
    expect((await put('tom', { centre: 'west' })).status).toBe(400);
    expect((await put('tom', {})).status).toBe(409);
    expect((await put('tom', {}, manager, { 'if-match': '"9"' })).status).toBe(412);
    expect((await put('nobody', {}, manager, { 'if-match': '"1"' })).status).toBe(404);
    expect((await desk.request(agent, 'GET', `/api/v1/tickets/${key}/candidates?lat=1`)).status).toBe(400);
  });

  it('is for the people it is for', async () => {
    expect((await put('tom', {}, agent)).status).toBe(403);
    expect((await put('tom', {}, { user: 'stan' })).status).toBe(403);
    expect((await put('sue', { centre: 'south' }, { user: 'stan' })).status).toBe(201);
    await put('tom', {});
    const key = await open();
    const list = async (as: { tenant?: string; user: string }) =>
      ((await desk.request(as, 'GET', '/api/v1/technicians')).body as { items: { id: string }[] }).items.map(
        (one) => one.id,
      );
    expect(await list(agent)).toEqual(['sue', 'tom']);
    expect(await list({ user: 'nora' })).toEqual(['tom']);
    expect(await list({ tenant: 'globex', user: 'alan' })).toEqual([]);
    const visit = { technician: 'tom', from: at(10), durationMinutes: 60 };
    expect((await send(key, 'visits', visit, { user: 'vera' })).status).toBe(403);
    expect((await desk.request({ user: 'stan' }, 'GET', `/api/v1/tickets/${key}/candidates`)).status).toBe(404);
    expect((await desk.request(agent, 'POST', `/api/v1/tickets/${key}/visits`, { body: visit })).status).toBe(428);
  });
});
