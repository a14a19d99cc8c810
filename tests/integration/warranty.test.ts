/** Warranty over HTTP: the decision with its reasons, who may note what, and terms in versions. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Ticket, TicketState } from '../../contract/http/resources.ts';
import type { WarrantyView } from '../../contract/http/warranty.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import { type ApiHarness, startHarness, T0 } from '../support/api-harness.ts';
import { manualClock } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';

const agent = { user: 'alan' };
const manager = { user: 'anna' };
const clock = manualClock(T0);
const day = (back: number) => new Date(T0 - back * DAY_MS).toISOString().slice(0, 10);

describeOnDatabases('warranty', clock, (database) => {
  let desk: ApiHarness;

  beforeEach(async () => {
    clock.advance(T0 - clock.now());
    await database().withOwner((client) =>
      client.query(`TRUNCATE tickets, ticket_events, ticket_counters, service_timers, ticket_outcomes, ticket_contacts,
        warranty_notes, warranty_terms`),
    );
    desk = await startHarness(database(), clock);
  });
  afterEach(() => desk.api.stop());

  const open = async (more: object = {}): Promise<Ticket> => {
    const body = { source: 'walk-in', symptom: 'it rattles', device: 'fridge-1', component: 'compressor', ...more };
    const answer = await desk.request(agent, 'POST', '/api/v1/tickets', { body });
    expect(answer.status, answer.text).toBe(201);
    return answer.body;
  };
  const versionOf = async (key: string) =>
    ((await desk.request(agent, 'GET', `/api/v1/tickets/${key}`)).body as Ticket).version;
  const claimOf = async (key: string, query = ''): Promise<WarrantyView> =>
    (await desk.request(agent, 'GET', `/api/v1/tickets/${key}/warranty${query}`)).body;
  const note = async (key: string, body: object, as = agent) =>
    desk.request(as, 'POST', `/api/v1/tickets/${key}/warranty`, {
      body: { reason: 'as seen', ...body },
      headers: { 'if-match': `"${await versionOf(key)}"` },
    });
  const finish = async (key: string, outcome: object) => {
    const act = async (method: 'POST' | 'PUT', path: string, body: object) => {
      const headers = { 'if-match': `"${await versionOf(key)}"` };
      const answer = await desk.request(agent, method, `/api/v1/tickets/${key}/${path}`, { body, headers });
      expect(answer.status, answer.text).toBe(200);
    };
    const move = (to: TicketState) => act('POST', 'transitions', { to, reason: 'as it went' });
    for (const to of ['triaged', 'scheduled', 'in_repair'] as const) await move(to);
    clock.advance(2 * DAY_MS);
    for (const to of ['resolved', 'confirmed'] as const) await move(to);
    await act('PUT', 'outcome', outcome);
    await move('closed');
  };

  it('is decided with every clause that was weighed, and follows what is noted', async () => {
    const { key } = await open({ purchasedOn: day(100) });
    expect(await claimOf(key)).toMatchObject({ outcome: 'needs_proof', termsVersion: 0, region: 'INT' });
    expect((await note(key, { proof: 'invoice' })).body).toMatchObject({
      outcome: 'in_warranty',
      clause: 'unit-12-months',
    });
    expect((await note(key, { finding: 'liquid' })).body).toMatchObject({ outcome: 'excluded', exclusion: 'liquid' });
    const chinese = await claimOf(key, '?lang=zh-CN');
    expect(chinese.weighed.map((one) => one.name)).toContain('整机及核心部件，12 个月');
    expect(chinese.notes.map((one) => one.by)).toEqual(['alan', 'alan']);
  });

  it('an appeal and goodwill are for a manager, who is not the one that refused', async () => {
    const { key } = await open({ purchasedOn: day(100) });
    await note(key, { proof: 'invoice', finding: 'human_damage' });
    expect((await note(key, { appeal: true })).body).toMatchObject({ outcome: 'excluded', underAppeal: true });
    expect((await note(key, { finding: 'none' })).status).toBe(403);
    expect((await note(key, { goodwillShare: 0.5 })).status).toBe(403);
    expect((await note(key, { finding: 'none', goodwillShare: 0.25 }, manager)).body).toMatchObject({
      outcome: 'in_warranty',
      underAppeal: false,
      goodwillShare: 0.25,
    });
  });

  it('remembers earlier repairs of the machine: a fitted part has a warranty of its own', async () => {
    const first = await open({ purchasedOn: day(4_000) });
    expect((await claimOf(first.key)).outcome).toBe('out_of_warranty');
    await note(first.key, { goodwillShare: 1 }, manager);
    await finish(first.key, { result: 'other_cause', faultKey: 'refrigerantLeak', parts: [{ number: 'CMP-4420' }] });
    clock.advance(20 * DAY_MS);
    const second = await open({ purchasedOn: day(4_000) });
    expect(await claimOf(second.key)).toMatchObject({ outcome: 'in_warranty', clause: 'repair-3-months' });
    clock.advance(100 * DAY_MS);
    // The claim is as old as the ticket: a long repair ends no warranty.
    expect((await claimOf(second.key)).outcome).toBe('in_warranty');
  });

  it('terms are versions, checked at the door, and a matter of managers', async () => {
    const { terms } = (await desk.request(manager, 'GET', '/api/v1/warranty-terms')).body as {
      terms: { clauses: object[] };
    };
    const put = (as: { user: string }, body: object, match = '"0"') =>
      desk.request(as, 'PUT', '/api/v1/warranty-terms', { body, headers: { 'if-match': match } });
    const european = { ...terms, region: 'EU' };
    expect((await put(agent, european)).status).toBe(403);
    expect((await put({ user: 'stan' }, european)).status).toBe(403);
    const wrong = await put(manager, { ...terms, clauses: [{ ...terms.clauses[0], months: 0 }] });
    expect([wrong.status, wrong.text]).toEqual([400, expect.stringContaining('body.clauses.0.months')]);
    const { key } = await open({ purchasedOn: day(500) });
    await note(key, { proof: 'invoice' });
    expect((await claimOf(key)).outcome).toBe('out_of_warranty');
    expect((await put(manager, european)).status).toBe(200);
    expect((await put(manager, european)).status).toBe(412);
    expect(await claimOf(key)).toMatchObject({
      outcome: 'in_warranty',
      clause: 'eu-conformity-24-months',
      termsVersion: 1,
    });
  });

  it('is kept from other tenants, other centres and viewers that would write', async () => {
    const { key } = await open();
    const url = `/api/v1/tickets/${key}/warranty`;
    expect((await desk.request({ user: 'vera' }, 'GET', url)).status).toBe(200);
    for (const as of [{ tenant: 'globex', user: 'alan' }, { user: 'stan' }]) {
      expect((await desk.request(as, 'GET', url)).status).toBe(404);
    }
    const body = { proof: 'invoice', reason: 'x' };
    expect((await desk.request({ user: 'vera' }, 'POST', url, { body, headers: { 'if-match': '"1"' } })).status).toBe(
      403,
    );
    expect((await desk.request(agent, 'POST', url, { body })).status).toBe(428);
    expect((await desk.request(agent, 'POST', url, { body, headers: { 'if-match': '"77"' } })).status).toBe(412);
    expect((await note(key, {})).status).toBe(400);
  });
});
