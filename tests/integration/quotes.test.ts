/** From quote to authorisation: no billable work without it, by link or by telephone, once. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Quote } from '../../contract/http/quotes.ts';
import type { Problem, Ticket } from '../../contract/http/resources.ts';
import type { ServiceLevelsView } from '../../contract/http/service-levels.ts';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import { type ApiHarness, startHarness, T0 } from '../support/api-harness.ts';
import { manualClock } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';

const agent = { user: 'alan' };
const clock = manualClock(T0);
const OLD = new Date(T0 - 4_000 * DAY_MS).toISOString().slice(0, 10);
const DRAFT = {
  currency: 'EUR',
  durationHours: 6,
  lines: [
    { id: 'part', kind: 'part', text: 'Compressor', quantity: 1, unitPrice: 21_000, taxBasisPoints: 1900 },
    { id: 'work', kind: 'labour', text: 'Labour', quantity: 1.5, unitPrice: 8_000, taxBasisPoints: 1900 },
    {
      id: 'clean',
      kind: 'labour',
      text: 'Cleaning',
      quantity: 1,
      unitPrice: 2_000,
      taxBasisPoints: 1900,
      optional: true,
    },
  ],
};

describeOnDatabases('quotes', clock, (database) => {
  let desk: ApiHarness;
  let key: string;

  beforeEach(async () => {
    clock.advance(T0 - clock.now());
    await database().withOwner((client) =>
      client.query(`TRUNCATE tickets, ticket_events, ticket_counters, service_timers, ticket_outcomes, ticket_contacts,
        warranty_notes, warranty_terms, quotes`),
    );
    desk = await startHarness(database(), clock);
    const body = {
      source: 'walk-in',
      symptom: 'it rattles',
      device: 'fridge-1',
      component: 'compressor',
      purchasedOn: OLD,
    };
    const opened = await desk.request(agent, 'POST', '/api/v1/tickets', { body });
    key = (opened.body as Ticket).key;
    await move('triaged');
    await move('scheduled');
  });
  afterEach(() => desk.api.stop());

  const read = async (): Promise<Ticket> => (await desk.request(agent, 'GET', `/api/v1/tickets/${key}`)).body;
  const send = async (path: string, body: object, as = agent) =>
    desk.request(as, 'POST', `/api/v1/tickets/${key}/${path}`, {
      body,
      headers: { 'if-match': `"${(await read()).version}"` },
    });
  const move = (to: string) => send('transitions', { to, reason: 'as agreed' });
  const secretOf = (answer: { body: never }) => (answer.body as { link: string }).link.split('#')[1] ?? '';
  const asCustomer = (secret: string, body?: object) =>
    desk.request(undefined, body ? 'POST' : 'GET', '/api/v1/public/quote', {
      headers: { 'presage-link': secret },
      ...(body ? { body } : {}),
    });
  const yes = { decision: 'authorise', name: 'Li Wei' };

  it('a repair out of warranty begins once the customer has authorised its quote through the link', async () => {
    const refused = await move('in_repair');
    expect([refused.status, (refused.body as Problem).detail]).toEqual([409, expect.stringContaining('authorised')]);
    const sent = await send('quotes', DRAFT);
    expect(sent.status, sent.text).toBe(201);
    expect(sent.body).toMatchObject({ version: 1, state: 'sent', totals: { net: 35_000, tax: 6_650, gross: 41_650 } });
    const secret = secretOf(sent);
    const shown = await asCustomer(secret);
    expect(shown.body).toMatchObject({
      state: 'sent',
      title: 'it rattles',
      centre: 'North',
      totals: { gross: 41_650 },
    });
    expect((await move('in_repair')).status).toBe(409);
    const authorised = await asCustomer(secret, { ...yes, optionalLines: [] });
    expect(authorised.body).toMatchObject({
      state: 'authorised',
      answer: { by: 'customer', name: 'Li Wei', lines: ['part', 'work'], totals: { gross: 39_270 } },
    });
    expect((await move('in_repair')).status).toBe(200);
    const levels = (await desk.request(agent, 'GET', `/api/v1/tickets/${key}/service-levels`))
      .body as ServiceLevelsView;
    expect(levels.clocks.find((one) => one.name === 'quote')?.ongoingCycle?.goalDuration).toBe(6 * HOUR_MS);
  });

  it('the same answer again changes nothing, another one is too late', async () => {
    const secret = secretOf(await send('quotes', DRAFT));
    const racers = await Promise.all(Array.from({ length: 5 }, () => asCustomer(secret, yes)));
    expect(racers.map((one) => one.status)).toEqual([200, 200, 200, 200, 200]);
    expect((await read()).history.filter((event) => event.type === 'quoteAuthorised')).toHaveLength(1);
    expect((await asCustomer(secret, { ...yes, decision: 'decline' })).status).toBe(409);
  });

  it('a new quote takes the place of the old one, and what was authorised before is not enough', async () => {
    const first = secretOf(await send('quotes', DRAFT));
    await asCustomer(first, yes);
    const second = secretOf(await send('quotes', { ...DRAFT, durationHours: 9 }));
    expect((await asCustomer(first)).body).toMatchObject({ state: 'superseded' });
    expect((await asCustomer(first, yes)).status).toBe(409);
    expect((await move('in_repair')).status).toBe(409);
    const items = ((await desk.request(agent, 'GET', `/api/v1/tickets/${key}/quotes`)).body as { items: Quote[] })
      .items;
    expect(items.map((one) => one.state)).toEqual(['superseded', 'sent']);
    expect((await asCustomer(second, yes)).status).toBe(200);
    expect((await move('in_repair')).status).toBe(200);
  });

  it('what the customer says on the telephone is noted by whoever heard it', async () => {
    await send('quotes', DRAFT);
    const answered = await send('quotes/1/answer', { ...yes, note: 'called back at noon' });
    expect(answered.body).toMatchObject({ state: 'authorised', answer: { by: 'alan', note: 'called back at noon' } });
    expect((await send('quotes/2/answer', yes)).status).toBe(404);
    expect((await send('quotes/1/answer', yes, { user: 'vera' })).status).toBe(403);
  });

  it('expires by itself', async () => {
    const secret = secretOf(await send('quotes', DRAFT));
    clock.advance(14 * DAY_MS + 1);
    expect((await asCustomer(secret)).body).toMatchObject({ state: 'expired' });
    expect((await asCustomer(secret, yes)).status).toBe(409);
  });

  it('a link opens its quote and nothing else', async () => {
    const secret = secretOf(await send('quotes', DRAFT));
    expect((await asCustomer(`${secret.slice(0, -1)}${secret.endsWith('A') ? 'B' : 'A'}`)).status).toBe(404);
    expect((await asCustomer('short')).status).toBe(400);
    expect((await asCustomer(secret, { ...yes, optionalLines: ['part'] })).status).toBe(400);
    const shown = await asCustomer(secret);
    expect(shown.headers['cache-control']).toBe('no-store');
    expect(shown.text).not.toContain('fridge-1');
    const other = await desk.request({ tenant: 'globex', user: 'alan' }, 'GET', `/api/v1/tickets/${key}/quotes`);
    expect(other.status).toBe(404);
    expect((await desk.request(agent, 'GET', `/api/v1/tickets/${key}/quotes`)).text).not.toContain(secret);
  });

  it('goodwill that takes the whole cost needs no quote', async () => {
    await send('warranty', { goodwillShare: 1, reason: 'a regular customer' }, { user: 'anna' });
    expect((await move('in_repair')).status).toBe(200);
  });
});
