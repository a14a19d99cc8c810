/** From repair to label: a ticket is closed with what was found, and what was found can be learned from. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Label } from '../../contract/http/outcomes.ts';
import type { Problem, Ticket, TicketState } from '../../contract/http/resources.ts';
import { type ApiHarness, alertOf, startHarness, T0 } from '../support/api-harness.ts';
import { manualClock } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const KEY = 'SC-26-000001';
const agent = { user: 'alan' };
const clock = manualClock(T0);

describeOnDatabases('outcomes', clock, (database) => {
  let desk: ApiHarness;

  beforeEach(async () => {
    await database().withOwner((client) =>
      client.query(`TRUNCATE alerts, tickets, ticket_alerts, ticket_events, ticket_evidence, ticket_counters, outbox,
        deliveries, consumer_positions, service_timers, ticket_outcomes`),
    );
    desk = await startHarness(database(), clock);
    desk.findings.add(alertOf());
    await waitFor('the evidence', async () => (await read()).evidence?.complete === true);
  });
  afterEach(() => desk.api.stop());

  const read = async (): Promise<Ticket> => (await desk.request(agent, 'GET', `/api/v1/tickets/${KEY}`)).body;
  const send = async (method: 'POST' | 'PUT', path: string, body: object) => {
    clock.advance(1_000);
    const headers = { 'if-match': `"${(await read()).version}"` };
    return desk.request(agent, method, `/api/v1/tickets/${KEY}/${path}`, { body, headers });
  };
  const report = (body: object) => send('PUT', 'outcome', body);
  const go = async (...states: TicketState[]) => {
    for (const to of states)
      expect((await send('POST', 'transitions', { to, reason: 'as it went' })).status, to).toBe(200);
  };
  const labels = async (query = ''): Promise<Label[]> =>
    ((await desk.request(agent, 'GET', `/api/v1/labels${query}`)).body as { items: Label[] }).items;

  it('a ticket is not closed before somebody said what was found', async () => {
    await go('triaged', 'scheduled', 'in_repair', 'resolved', 'confirmed');
    const refused = await send('POST', 'transitions', { to: 'closed', reason: 'done' });
    expect([refused.status, (refused.body as Problem).detail]).toEqual([409, expect.stringContaining('outcome')]);
    const parts = [{ number: 'CMP-4420', oldSerial: 'A-1', newSerial: 'B-2' }];
    expect((await report({ result: 'confirmed', parts, noticedBefore: false })).status).toBe(200);
    await go('closed');
    expect(await read()).toMatchObject({
      state: 'closed',
      outcome: { result: 'confirmed', version: 1, by: 'alan', parts: [{ ...parts[0], quantity: 1 }] },
    });
  });

  it('becomes a label with what foresaw it; a correction replaces it, and both are kept', async () => {
    await go('triaged', 'scheduled', 'in_repair', 'resolved');
    await report({ result: 'confirmed' });
    await report({ result: 'other_cause', faultKey: 'refrigerantLeak', note: 'the bearing is sound' });
    expect(await labels()).toEqual([
      expect.objectContaining({
        ticket: KEY,
        device: 'fridge-1',
        source: 'preemptive',
        predictedFaultKey: 'compressorBearingWear',
        detector: { name: 'cusum', version: '1.2.0' },
        method: { name: 'trend', version: '1.0.0' },
        onset: T0 - 3_600_000,
        alerts: ['ep-1'],
        outcome: expect.objectContaining({ result: 'other_cause', faultKey: 'refrigerantLeak', version: 2 }),
      }),
    ]);
    expect((await read()).history.filter((event) => event.type === 'outcome').map((event) => event.facts)).toEqual([
      { version: 1, result: 'confirmed' },
      { version: 2, result: 'other_cause', faultKey: 'refrigerantLeak' },
    ]);
    expect(await labels(`?since=${new Date(clock.now() + 1).toISOString()}`)).toEqual([]);
  });

  it('names the field of what cannot be true', async () => {
    expect((await report({ result: 'confirmed' })).status).toBe(409);
    await go('triaged', 'scheduled', 'in_repair', 'resolved');
    for (const [body, field] of [
      [{ result: 'other_cause' }, 'body.faultKey'],
      [{ result: 'other_cause', faultKey: 'warpCore' }, 'body.faultKey'],
      [{ result: 'not_visited' }, 'body.result'],
      [{ result: 'perhaps' }, 'body.result'],
      [{ result: 'confirmed', parts: [{ number: '' }] }, 'body.parts.0.number'],
    ] as const) {
      const answer = await report(body);
      expect([answer.status, answer.text]).toEqual([400, expect.stringContaining(field)]);
    }
  });

  it('is kept from viewers, other tenants, other centres, and those who did not read', async () => {
    await go('triaged', 'scheduled', 'in_repair', 'resolved');
    const put = (as: { tenant?: string; user: string }, headers: Record<string, string> = {}) =>
      desk.request(as, 'PUT', `/api/v1/tickets/${KEY}/outcome`, { body: { result: 'confirmed' }, headers });
    const now = { 'if-match': `"${(await read()).version}"` };
    expect((await put({ user: 'vera' }, now)).status).toBe(403);
    expect((await put({ tenant: 'globex', user: 'alan' }, now)).status).toBe(404);
    expect((await put({ user: 'stan' }, now)).status).toBe(404);
    expect((await put(agent)).status).toBe(428);
    expect((await put(agent, { 'if-match': '"1000"' })).status).toBe(412);
    expect((await put(agent, now)).status).toBe(200);
    expect((await desk.request({ user: 'stan' }, 'GET', '/api/v1/labels')).body).toMatchObject({ items: [] });
    expect((await desk.request({ tenant: 'globex', user: 'alan' }, 'GET', '/api/v1/labels')).body).toMatchObject({
      items: [],
    });
  });

  it('no role may change or delete what was reported', async () => {
    await go('triaged', 'scheduled', 'in_repair', 'resolved');
    await report({ result: 'confirmed' });
    for (const statement of ['DELETE FROM ticket_outcomes', "UPDATE ticket_outcomes SET by_user = 'x'"]) {
      for (const scope of ['withTenant', 'withSystem'] as const) {
        const act = (tx: { execute(text: string): unknown }) => tx.execute(statement) as Promise<unknown>;
        const run =
          scope === 'withSystem'
            ? database().withSystem(act as never)
            : database().withTenant({ tenant: 'acme' }, act as never);
        await expect(run).rejects.toThrow();
      }
    }
  });
});
