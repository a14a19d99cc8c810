/** Promises of tickets over HTTP and in SQL: clocks, their calendars and policies, and escalations that are told exactly once. */
import { eq } from 'drizzle-orm';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { outbox, ticketEvents } from '../../api/db/schema.ts';
import { createTimerWorker } from '../../api/service-levels/timer-worker.ts';
import { webhookBody } from '../../contract/http/resources.ts';
import type { ServiceLevelsView } from '../../contract/http/service-levels.ts';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import { type ApiHarness, alertOf, startHarness, testSeed } from '../support/api-harness.ts';
import { manualClock, noMetrics, silentLogger } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

/** Monday 23 November 2026, 09:00 in Berlin. */
const MONDAY = Date.UTC(2026, 10, 23, 8);
const SECRET = `whsec_${Buffer.from('a secret of at least 24 bytes').toString('base64')}`;
const KEY = 'SC-26-000001';
const clock = manualClock(MONDAY);
const agent = { user: 'alan' };
const manager = { user: 'anna' };

const seed = testSeed((file) => {
  for (const { centres } of file.tenants) {
    const north = centres[0];
    if (north)
      Object.assign(north, { timeZone: 'Europe/Berlin', webhook: { url: 'https://centre.invalid/', secret: SECRET } });
  }
});

describeOnDatabases('service levels', clock, (database) => {
  let desk: ApiHarness;

  beforeEach(async () => {
    clock.advance(MONDAY - clock.now());
    await database().withOwner((client) =>
      client.query(`TRUNCATE alerts, tickets, ticket_alerts, ticket_events, ticket_evidence, ticket_counters, outbox,
        deliveries, consumer_positions, service_timers, service_level_policies`),
    );
    await database().withOwner((client) => client.query('UPDATE centres SET calendar = NULL, calendar_version = 0'));
    desk = await startHarness(database(), clock, { seed });
    desk.findings.add(alertOf());
    await waitFor(
      'the ticket',
      async () => (await desk.request(agent, 'GET', `/api/v1/tickets/${KEY}`)).status === 200,
    );
  });
  afterEach(() => desk.api.stop());

  const levels = async (query = ''): Promise<ServiceLevelsView> =>
    (await desk.request(agent, 'GET', `/api/v1/tickets/${KEY}/service-levels${query}`)).body;
  const etag = async () => String((await desk.request(agent, 'GET', `/api/v1/tickets/${KEY}`)).headers.etag);
  /** Evidence that is pinned meanwhile changes the version: like any client, tries again with the new one. */
  const post = async (path: string, body: object) => {
    const act = async () =>
      desk.request(agent, 'POST', `/api/v1/tickets/${KEY}/${path}`, { body, headers: { 'if-match': await etag() } });
    let answer = await act();
    while (answer.status === 412) answer = await act();
    expect(answer.status).toBe(200);
  };
  const contact = (kind: string) => post('contacts', { kind, note: 'on the telephone' });
  const move = (to: string) => post('transitions', { to, reason: 'as agreed' });
  const clockNamed = (view: ServiceLevelsView, name: string) => view.clocks.find((one) => one.name === name);
  const escalated = async () =>
    (await database().withSystem((tx) => tx.select().from(ticketEvents).where(eq(ticketEvents.type, 'escalated')))).map(
      (event) => `${event.facts?.clock} ${event.facts?.share}`,
    );

  it('a preemptive ticket promises an offer; the rest begins when the customer accepts', async () => {
    expect((await levels()).clocks.map((one) => one.name)).toEqual(['offer']);
    clock.advance(HOUR_MS);
    await contact('accepted');
    const view = await levels();
    expect(view.clocks.map((one) => one.name)).toEqual([
      'offer',
      'firstResponse',
      'classification',
      'arrival',
      'resolution',
    ]);
    expect(clockNamed(view, 'offer')?.completedCycles).toMatchObject([{ breached: false, elapsedTime: HOUR_MS }]);
    // Office hours until the centre says more: 9 to 18 in Berlin, eight of them from 10 o'clock.
    expect(clockNamed(view, 'firstResponse')?.ongoingCycle).toMatchObject({
      breachTime: MONDAY + 9 * HOUR_MS,
      withinCalendarHours: true,
    });
    await contact('answered');
    expect(clockNamed(await levels(), 'firstResponse')?.ongoingCycle).toBeUndefined();
  });

  it('a visit that is agreed upon says that the customer accepted', async () => {
    await move('triaged');
    await move('scheduled');
    expect(clockNamed(await levels(), 'offer')?.completedCycles).toHaveLength(1);
    expect(clockNamed(await levels(), 'resolution')?.ongoingCycle).toBeDefined();
  });

  it('waits with a reason, and says why a target is when it is', async () => {
    await contact('accepted');
    await move('triaged');
    clock.advance(HOUR_MS);
    await move('awaiting_customer');
    clock.advance(2 * HOUR_MS);
    expect(clockNamed(await levels(), 'resolution')?.ongoingCycle).toMatchObject({
      paused: 'waiting for the customer',
      elapsedTime: HOUR_MS,
    });
    await contact('customerWrote');
    clock.advance(HOUR_MS);
    const { why, clocks } = await levels('?why=resolution');
    expect(clocks.find((one) => one.name === 'resolution')?.ongoingCycle?.elapsedTime).toBe(2 * HOUR_MS);
    expect(why?.slice(0, 4).map((one) => [one.counted, one.reason])).toEqual([
      [true, undefined],
      [false, 'waiting for the customer'],
      [true, undefined],
      [false, 'outside the hours'],
    ]);
    expect(why?.at(-1)?.until).toBe(clocks.find((one) => one.name === 'resolution')?.ongoingCycle?.breachTime);
  });

  it("a centre's own calendar moves the targets and the escalations of its open tickets", async () => {
    const before = clockNamed(await levels(), 'offer')?.ongoingCycle?.breachTime ?? 0;
    const calendar = {
      name: 'Berlin workshop',
      zone: 'Europe/Berlin',
      week: { monday: [{ from: '08:00', to: '12:00' }], tuesday: [{ from: '08:00', to: '12:00' }] },
      holidays: [{ date: '2026-11-24', name: 'stocktaking' }],
      workdays: [],
    };
    const saved = await desk.request(manager, 'PUT', '/api/v1/centres/north/calendar', {
      body: calendar,
      headers: { 'if-match': '"0"' },
    });
    expect(saved.status).toBe(200);
    const view = await levels();
    expect(clockNamed(view, 'offer')?.ongoingCycle?.breachTime).toBeGreaterThan(before + 14 * DAY_MS);
    expect(view.escalations.find((one) => one.share === 1)?.dueAt).toBe(
      clockNamed(view, 'offer')?.ongoingCycle?.breachTime,
    );
    const stale = await desk.request(manager, 'PUT', '/api/v1/centres/north/calendar', {
      body: calendar,
      headers: { 'if-match': '"0"' },
    });
    expect(stale.status).toBe(412);
    const wrong = await desk.request(manager, 'PUT', '/api/v1/centres/north/calendar', {
      body: { ...calendar, zone: '+01:00' },
      headers: { 'if-match': '"1"' },
    });
    expect(wrong.status).toBe(400);
    expect(wrong.text).toContain('zone');
  });

  it('a new policy is for new tickets: one keeps the promises under which it was opened', async () => {
    const { policy } = (await desk.request(manager, 'GET', '/api/v1/service-levels')).body as { policy: object };
    const hourly = { ...policy, version: 'hourly', targets: [{ clock: 'offer', targetMs: HOUR_MS, time: 'business' }] };
    const saved = await desk.request(manager, 'PUT', '/api/v1/service-levels', {
      body: hourly,
      headers: { 'if-match': '"0"' },
    });
    expect(saved.status).toBe(200);
    desk.findings.add(alertOf({ episode: 'ep-2', device: 'fridge-3', id: 'other' }));
    const second = '/api/v1/tickets/SC-26-000002/service-levels';
    await waitFor('the second ticket', async () => (await desk.request(agent, 'GET', second)).status === 200);
    expect((await desk.request(agent, 'GET', second)).body).toMatchObject({
      policyVersion: 1,
      clocks: [{ name: 'offer', ongoingCycle: { goalDuration: HOUR_MS } }],
    });
    expect(await levels()).toMatchObject({ policyVersion: 0 });
  });

  it('tells of each promise in danger exactly once, with several workers and restarts', async () => {
    const told: string[] = [];
    const worker = () =>
      createTimerWorker({
        database: database(),
        clock,
        logger: silentLogger,
        metrics: noMetrics,
        publicUrl: () => 'http://console',
        onEscalated: ({ key }) => told.push(key),
      });
    const workers = [worker(), worker()];
    for (const one of workers) await one.start();
    // The offer: five days of eight hours, 75 % of it on Friday morning.
    clock.advance(MONDAY + 4 * DAY_MS - clock.now());
    await waitFor('the warning', async () => (await escalated()).length > 0);
    for (const one of workers) await one.stop();
    clock.advance(MONDAY + 60 * DAY_MS - clock.now());
    const restarted = [worker(), worker(), worker()];
    for (const one of restarted) await one.start();
    await waitFor('all of them', async () => (await escalated()).length >= 3);
    for (const one of restarted) await one.stop();
    expect((await escalated()).sort()).toEqual(['offer 0.75', 'offer 1', 'offer 1.5']);
    const messages = await database().withSystem((tx) => tx.select().from(outbox));
    const escalations = messages
      .map((message) => webhookBody.parse(JSON.parse(message.body)))
      .filter((body) => body.type === 'ticket.escalated');
    expect(escalations.map((body) => body.data.escalation.notify).sort()).toEqual(['manager', 'owner', 'team']);
    expect((await levels()).escalations.every((one) => one.firedAt !== undefined)).toBe(true);
  });

  it('what was accepted in time is never escalated, and a cancelled ticket not at all', async () => {
    await contact('accepted');
    await move('cancelled');
    clock.advance(MONDAY + 60 * DAY_MS - clock.now());
    expect((await levels()).escalations).toEqual([]);
    expect(clockNamed(await levels(), 'resolution')?.completedCycles).toMatchObject([
      { cancelled: true, breached: false },
    ]);
  });

  it('is for the people it is for', async () => {
    const put = (as: { tenant?: string; user: string }) =>
      desk.request(as, 'PUT', '/api/v1/service-levels', { body: {}, headers: { 'if-match': '"0"' } });
    expect((await put(agent)).status).toBe(403);
    expect((await put({ user: 'stan' })).status).toBe(403);
    expect((await put(manager)).status).toBe(200);
    const url = `/api/v1/tickets/${KEY}/service-levels`;
    expect((await desk.request({ tenant: 'globex', user: 'alan' }, 'GET', url)).status).toBe(404);
    expect((await desk.request({ user: 'stan' }, 'GET', url)).status).toBe(404);
    const body = { kind: 'answered', note: 'x' };
    expect((await desk.request({ user: 'vera' }, 'POST', `/api/v1/tickets/${KEY}/contacts`, { body })).status).toBe(
      403,
    );
    expect((await desk.request(agent, 'POST', `/api/v1/tickets/${KEY}/contacts`, { body })).status).toBe(428);
    const stale = { body, headers: { 'if-match': '"99"' } };
    expect((await desk.request(agent, 'POST', `/api/v1/tickets/${KEY}/contacts`, stale)).status).toBe(412);
  });
});
