/**
 * One machine's story over HTTP alone, as a service centre lives it: foreseen, offered, accepted, out of warranty, quoted,
 * authorised, repaired with a serial swap, followed up, closed, learned from.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Label } from '../../contract/http/outcomes.ts';
import type { Ticket } from '../../contract/http/resources.ts';
import type { ServiceLevelsView } from '../../contract/http/service-levels.ts';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import { type ApiHarness, alertOf, startHarness, T0 } from '../support/api-harness.ts';
import { manualClock } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const clock = manualClock(T0);
const agent = { user: 'alan' };
const day = (back: number) => new Date(T0 - back * DAY_MS).toISOString().slice(0, 10);

describeOnDatabases('the story of one machine', clock, (database) => {
  let desk: ApiHarness;
  beforeAll(async () => {
    desk = await startHarness(database(), clock);
  });
  afterAll(() => desk.api.stop());

  // The second time the machine has a history: the same fault again is a repeat.
  it.each(['first', 'second'])('is told from the prediction to the label, the %s time', async (time) => {
    const episode = `story-${time}`;
    desk.findings.add(alertOf({ episode, at: clock.now(), id: episode }));
    const found = async () => {
      const { items } = (await desk.request(agent, 'GET', '/api/v1/tickets?state=open')).body as { items: Ticket[] };
      return items[0]?.key;
    };
    const key = await waitFor('the ticket', found);
    const url = `/api/v1/tickets/${key}`;
    const read = async (): Promise<Ticket> => (await desk.request(agent, 'GET', url)).body;
    await waitFor('its evidence', async () => (await read()).evidence?.complete);
    const act = async (method: 'POST' | 'PUT', path: string, body: object) => {
      const headers = { 'if-match': `"${(await read()).version}"` };
      const answer = await desk.request(agent, method, `${url}/${path}`, { body, headers });
      expect(answer.status, `${path}: ${answer.text}`).toBeLessThan(300);
      return answer;
    };
    const move = (to: string) => act('POST', 'transitions', { to, reason: 'as agreed' });
    const contact = (kind: string) => act('POST', 'contacts', { kind, note: 'by telephone' });

    expect(await read()).toMatchObject({
      source: 'preemptive',
      ...(time === 'first' ? { faultClass: 'common' } : { faultClass: 'difficult', repeatOf: 'SC-26-000001' }),
    });

    clock.advance(HOUR_MS);
    await contact('answered');
    await contact('accepted');
    await move('triaged');

    // Bought long ago: what it costs is offered, and nothing is done before the customer agrees.
    const claim = await act('POST', 'warranty', {
      purchasedOn: day(4_000),
      proof: 'invoice',
      reason: 'on the invoice',
    });
    if (time === 'first') expect(claim.body).toMatchObject({ outcome: 'out_of_warranty' });
    else expect(claim.body).toMatchObject({ outcome: 'in_warranty', clause: 'repair-3-months' });
    await move('scheduled');
    if (time === 'first') {
      const sent = await act('POST', 'quotes', {
        currency: 'CNY',
        durationHours: 4,
        lines: [{ id: 'part', kind: 'part', text: '压缩机', quantity: 1, unitPrice: 88_000, taxBasisPoints: 1300 }],
      });
      const secret = (sent.body as { link: string }).link.split('#')[1] ?? '';
      const authorised = await desk.request(undefined, 'POST', '/api/v1/public/quote', {
        body: { decision: 'authorise', name: '李伟' },
        headers: { 'presage-link': secret },
      });
      expect(authorised.body).toMatchObject({ state: 'authorised', totals: { gross: 99_440 } });
    }

    await move('en_route');
    await contact('arrived');
    await move('in_repair');
    clock.advance(3 * HOUR_MS);
    await move('resolved');
    const parts = [{ number: 'CMP-4420', oldSerial: `old-${time}`, newSerial: `new-${time}` }];
    await act('PUT', 'outcome', { result: 'confirmed', parts, noticedBefore: false });
    await move('confirmed');
    await contact('followedUp');
    await move('closed');
    desk.findings.add(alertOf({ episode, at: clock.now(), id: `${episode}-over`, kind: 'alertCleared' }));

    const levels = (await desk.request(agent, 'GET', `${url}/service-levels`)).body as ServiceLevelsView;
    expect(levels.clocks.every((one) => one.ongoingCycle === undefined)).toBe(true);
    expect(levels.clocks.flatMap((one) => one.completedCycles).every((cycle) => !cycle.breached)).toBe(true);
    const { items } = (await desk.request(agent, 'GET', '/api/v1/labels')).body as { items: Label[] };
    expect(items.at(-1)).toMatchObject({
      ticket: key,
      predictedFaultKey: 'compressorBearingWear',
      alerts: [episode],
      outcome: { result: 'confirmed', noticedBefore: false },
    });
    clock.advance(10 * DAY_MS);
  });
});
