/** Faults that people report: opened once, completed by asking, classed, repeated, and private. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Problem, Ticket, TicketState } from '../../contract/http/resources.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import { type ApiHarness, alertOf, startHarness, T0, testSeed } from '../support/api-harness.ts';
import { manualClock } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const agent = { user: 'alan' };
const clock = manualClock(T0);
const seed = testSeed((file) => {
  for (const { devices } of file.tenants) for (const device of devices) device.serial = `SN-${device.id}`;
});
const REPORT = { source: 'phone', symptom: 'It is not cold any more.\nSince yesterday.' };
const CONTACT = { name: 'Li Wei', phone: '+86 10 5555 0100', language: 'zh-CN' };

describeOnDatabases('reported faults', clock, (database) => {
  let desk: ApiHarness;

  beforeEach(async () => {
    await database().withOwner((client) =>
      client.query(`TRUNCATE alerts, tickets, ticket_alerts, ticket_events, ticket_evidence, ticket_counters, outbox,
        deliveries, consumer_positions, service_timers, ticket_outcomes, ticket_contacts, idempotent_requests`),
    );
    desk = await startHarness(database(), clock, { seed });
  });
  afterEach(() => desk.api.stop());

  const report = (body: object, headers: Record<string, string> = {}, as: { tenant?: string; user: string } = agent) =>
    desk.request(as, 'POST', '/api/v1/tickets', { body, headers });
  const open = async (body: object): Promise<Ticket> => {
    const answer = await report(body);
    expect(answer.status, answer.text).toBe(201);
    return answer.body;
  };
  const read = async (key: string): Promise<Ticket> =>
    (await desk.request(agent, 'GET', `/api/v1/tickets/${key}`)).body;
  const change = async (key: string, body: object) =>
    desk.request(agent, 'PATCH', `/api/v1/tickets/${key}/intake`, {
      body,
      headers: { 'if-match': `"${(await read(key)).version}"` },
    });
  const go = async (key: string, ...states: TicketState[]) => {
    for (const to of states) {
      const answer = await desk.request(agent, 'POST', `/api/v1/tickets/${key}/transitions`, {
        body: { to, reason: 'as it went' },
        headers: { 'if-match': `"${(await read(key)).version}"` },
      });
      expect(answer.status, answer.text).toBe(200);
    }
  };

  it('a report without a machine is taken, and asks for what is missing until it is said', async () => {
    const opened = await open(REPORT);
    expect(opened).toMatchObject({
      source: 'phone',
      state: 'new',
      title: 'It is not cold any more.',
      model: 'unknown',
      faultClass: 'general',
      intake: { symptom: REPORT.symptom, hasContact: false, asks: ['modelOrSerial', 'purchasedOn', 'contact'] },
    });
    expect(opened.device).toBeUndefined();
    expect((await change(opened.key, { serial: 'SN-fridge-2' })).body).toMatchObject({
      device: 'fridge-2',
      model: 'refrigerator',
    });
    await change(opened.key, { purchasedOn: '2025-02-03', contact: CONTACT });
    expect((await read(opened.key)).intake).toMatchObject({ hasContact: true, asks: [], purchasedOn: '2025-02-03' });
  });

  it('finds the machine by its serial, keeps one that is not registered, and goes to the right centre', async () => {
    expect(await open({ ...REPORT, serial: 'SN-fridge-2' })).toMatchObject({ device: 'fridge-2', centre: 'south' });
    expect(await open({ ...REPORT, serial: 'not ours', model: 'toaster' })).toMatchObject({
      model: 'toaster',
      centre: 'north',
      intake: { serial: 'not ours' },
    });
    expect(await open({ ...REPORT, centre: 'south' })).toMatchObject({ centre: 'south' });
  });

  it('the same request again is the same ticket; another one under its key is refused', async () => {
    const key = { 'idempotency-key': 'one-click-twice' };
    const racers = await Promise.all(Array.from({ length: 6 }, () => report(REPORT, key)));
    expect(racers.map((one) => one.status).sort()).toEqual([200, 200, 200, 200, 200, 201]);
    expect(new Set(racers.map((one) => (one.body as Ticket).key)).size).toBe(1);
    expect((await report({ ...REPORT, symptom: 'another one' }, key)).status).toBe(409);
    expect((await report(REPORT, key, { user: 'anna' })).status).toBe(201);
    clock.advance(DAY_MS + 1);
    expect((await report(REPORT, key)).status).toBe(201);
  });

  it('a second ticket for the same component says which one is open; an alert attaches to the reported one', async () => {
    const about = { ...REPORT, device: 'fridge-1', component: 'compressor' };
    const first = await open(about);
    const second = await report(about);
    expect([second.status, (second.body as Problem).detail]).toEqual([409, expect.stringContaining('open ticket')]);
    desk.findings.add(alertOf());
    await waitFor('the alert on it', async () => (await read(first.key)).alerts.includes('ep-1'));
    expect((await read(first.key)).severity).toBe('major');
  });

  it('a repeat within thirty days is one class harder, and names the ticket before', async () => {
    const about = { ...REPORT, device: 'fridge-1', component: 'compressor' };
    const first = await open(about);
    await go(first.key, 'triaged', 'scheduled', 'in_repair', 'resolved', 'confirmed');
    const outcome = await desk.request(agent, 'PUT', `/api/v1/tickets/${first.key}/outcome`, {
      body: { result: 'other_cause', faultKey: 'refrigerantLeak' },
      headers: { 'if-match': `"${(await read(first.key)).version}"` },
    });
    expect(outcome.status, outcome.text).toBe(200);
    await go(first.key, 'closed');
    clock.advance(29 * DAY_MS);
    const second = await open(about);
    expect(second).toMatchObject({ faultClass: 'common', repeatOf: first.key });
    await go(second.key, 'cancelled');
    clock.advance(2 * DAY_MS);
    const third = await open(about);
    expect(third).toMatchObject({ faultClass: 'general' });
    expect(third.repeatOf).toBeUndefined();
  });

  it('has clocks from its first moment, unlike a ticket that nobody has asked for', async () => {
    const { key } = await open(REPORT);
    const levels = (await desk.request(agent, 'GET', `/api/v1/tickets/${key}/service-levels`)).body as {
      clocks: { name: string }[];
    };
    expect(levels.clocks.map((one) => one.name)).toEqual(['firstResponse', 'classification', 'resolution']);
  });

  it('whom to call is told to those who work on the open ticket, and who looked is recorded', async () => {
    const { key } = await open({ ...REPORT, contact: CONTACT });
    const url = `/api/v1/tickets/${key}/contact`;
    expect((await desk.request({ user: 'vera' }, 'GET', url)).status).toBe(403);
    expect((await desk.request({ tenant: 'globex', user: 'alan' }, 'GET', url)).status).toBe(404);
    expect((await desk.request({ user: 'stan' }, 'GET', url)).status).toBe(404);
    const told = await desk.request(agent, 'GET', url);
    expect([told.body, told.headers['cache-control']]).toEqual([CONTACT, 'no-store']);
    const shown = await desk.request(agent, 'GET', `/api/v1/tickets/${key}`);
    expect(shown.text).not.toContain('Li Wei');
    expect((shown.body as Ticket).history.at(-1)).toMatchObject({ type: 'contactRevealed', actor: 'alan' });
    await go(key, 'cancelled');
    expect((await desk.request(agent, 'GET', url)).status).toBe(409);
  });

  it('names the field of what is wrong, and opens nothing', async () => {
    for (const [body, field] of [
      [{ ...REPORT, source: 'preemptive' }, 'body.source'],
      [{ ...REPORT, symptom: '' }, 'body.symptom'],
      [{ ...REPORT, device: 'nobody' }, 'body.device'],
      [{ ...REPORT, centre: 'west' }, 'body.centre'],
      [{ ...REPORT, purchasedOn: '2026-02-30' }, 'body.purchasedOn'],
      [{ ...REPORT, contact: { name: 'x', email: 'none' } }, 'body.contact.email'],
    ] as const) {
      const answer = await report(body);
      expect([answer.status, answer.text]).toEqual([400, expect.stringContaining(field)]);
    }
    expect((await report(REPORT, {}, { user: 'vera' })).status).toBe(403);
    // A user of one centre neither sees the other's machines nor opens tickets for it.
    expect((await report({ ...REPORT, centre: 'south' }, {}, { user: 'nora' })).status).toBe(403);
    expect((await desk.request(agent, 'GET', '/api/v1/tickets')).body).toMatchObject({ items: [] });
  });
});
