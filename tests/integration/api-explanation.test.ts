/** Alerts and tickets say why they are there: in the reader's language, and compared with what the reader may see. */
import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { faultRecords, ticketOutcomes, tickets } from '../../api/db/schema.ts';
import type { Explanation } from '../../contract/http/explanation.ts';
import type { OutcomeReport } from '../../contract/http/outcomes.ts';
import type { Alert, Ticket } from '../../contract/http/resources.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import { type ApiHarness, alertOf, startHarness, T0 } from '../support/api-harness.ts';
import { manualClock } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const clock = manualClock(T0 + 60_000);
const anna = { user: 'anna' };

describeOnDatabases('explanations', clock, (database) => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await startHarness(database(), clock);
    const past = (episode: string, device: string, daysAgo: number) => {
      const at = T0 - daysAgo * DAY_MS;
      const facts = { episode, device, at, onset: at } as const;
      return [alertOf(facts), alertOf({ ...facts, kind: 'alertCleared', at: at + 1 })];
    };
    harness.findings.add(
      ...past('a', 'fridge-1', 90),
      ...past('b', 'fridge-2', 60),
      ...past('c', 'fridge-3', 30),
      // Another fault, and another tenant: not like it.
      alertOf({ episode: 'other', device: 'fridge-2', faultKey: 'refrigerantLeak', component: 'refrigerantCircuit' }),
      alertOf({ episode: 'theirs', tenant: 'globex', at: T0 - DAY_MS }),
    );
    await waitFor('the alerts', async () => (await read<{ items: Alert[] }>('/api/v1/alerts')).items.length === 4);
    await database().withSystem(async (tx) => {
      await tx.update(tickets).set({ state: 'closed' }).where(eq(tickets.device, 'fridge-1'));
      const opened = await tx
        .select({ key: tickets.key, device: tickets.device })
        .from(tickets)
        .where(eq(tickets.tenant, 'acme'));
      const found = (device: string, version: number, result: OutcomeReport['result']) => ({
        tenant: 'acme',
        ticketKey: opened.find((one) => one.device === device)?.key ?? '',
        version,
        at: T0,
        by: 'alan',
        report: { result, parts: [] },
      });
      // The first report on fridge-3 was corrected.
      await tx
        .insert(ticketOutcomes)
        .values([
          found('fridge-1', 1, 'confirmed'),
          found('fridge-3', 1, 'confirmed'),
          found('fridge-3', 2, 'no_fault_found'),
        ]);
      const fault = { device: 'fridge-1', firstSeenAt: T0, lastSeenAt: T0, occurrences: 2 };
      await tx.insert(faultRecords).values([
        { ...fault, tenant: 'acme', code: 'E05' },
        // Hints at something else, was seen before it began, or belongs to somebody else.
        { ...fault, tenant: 'acme', code: 'E09' },
        { ...fault, tenant: 'acme', code: 'E05', scope: 'old', lastSeenAt: T0 - DAY_MS },
        { ...fault, tenant: 'globex', code: 'E05', occurrences: 99 },
      ]);
    });
    harness.findings.add(alertOf());
    await waitFor('the alerts', async () => (await read<{ items: Alert[] }>('/api/v1/alerts')).items.length === 5);
  });
  afterAll(() => harness?.api.stop());

  async function read<Body>(url: string, as: { tenant?: string; user: string } = anna, headers = {}): Promise<Body> {
    const { status, body, text } = await harness.request(as, 'GET', url, { headers });
    if (status !== 200) throw new Error(`${url} answered ${status}: ${text}`);
    return body as Body;
  }
  const textsOf = (explanation: Explanation | undefined, topic: string) =>
    (explanation?.lines ?? []).filter((line) => line.topic === topic).map((line) => line.text);

  it('compare an alert with earlier ones of its fault, and count what the repair confirmed', async () => {
    const { explanation } = await read<Alert>('/api/v1/alerts/ep-1?timeZone=UTC');
    expect(textsOf(explanation, 'similar')).toEqual([
      'This fault was seen on this device once before, on 25 Aug 2026, 00:00 UTC.',
      'Earlier on other devices of this model: episodes 2, devices 2.',
      'What was found is known for n = 2 of these: this fault 1, another cause 0, no fault 1.',
    ]);
    expect(textsOf(explanation, 'reported')).toEqual([
      'The device itself reported E05 “Compressor did not start” 2 times, last on 23 Nov 2026, 00:00 UTC.',
    ]);
  });

  it('are in the language that the reader asks for', async () => {
    const path = '/api/v1/alerts/ep-1';
    const byHeader = await harness.request(anna, 'GET', path, { headers: { 'accept-language': 'zh-CN,en;q=0.5' } });
    expect(byHeader.headers).toMatchObject({ 'content-language': 'zh-CN', vary: 'accept-language' });
    expect((byHeader.body as Alert).explanation).toMatchObject({ language: 'zh-CN', timeZone: 'UTC' });
    const byQuery = await read<Alert>(`${path}?lang=en&timeZone=Asia/Shanghai`, anna, { 'accept-language': 'zh' });
    expect(textsOf(byQuery.explanation, 'since')[0]).toContain('07:00 GMT+8');
    const { items } = await read<{ items: Alert[] }>('/api/v1/alerts?lang=zh&explain=true');
    expect(items.map((one) => textsOf(one.explanation, 'summary')[0])).toContain(
      '压缩机轴承磨损（压缩机）：迹象明显且持续，应当处理。',
    );
    const plain = await read<{ items: Alert[] }>('/api/v1/alerts');
    expect(plain.items.some((one) => one.explanation !== undefined)).toBe(false);
  });

  it.each(['lang=x_y', 'timeZone=Mars/Olympus', 'lang='])('refuse %s', async (query) => {
    expect((await harness.request(anna, 'GET', `/api/v1/alerts/ep-1?${query}`)).status).toBe(400);
  });

  it('stand on a ticket, beside the evidence and not in its hash', async () => {
    const { items } = await read<{ items: Ticket[] }>('/api/v1/tickets?device=fridge-1&state=open');
    const ticket = await read<Ticket>(`/api/v1/tickets/${items[0]?.key}?lang=zh-CN`);
    expect(ticket.evidence).toBeDefined();
    expect(ticket.evidence).not.toHaveProperty('explanation');
    expect(textsOf(ticket.explanation, 'similar')[0]).toBe(
      '该设备此前出现过此故障 1 次，最近一次在 2026年8月25日 00:00 UTC。',
    );
  });

  it('count only what the reader may see', async () => {
    // Nora sees the devices of tickets of her centre; fridge-2 belongs to the other one.
    const { explanation } = await read<Alert>('/api/v1/alerts/ep-1', { user: 'nora' });
    expect(textsOf(explanation, 'similar')[1]).toBe('Earlier on other devices of this model: episodes 1, devices 1.');
    const theirs = await read<Alert>('/api/v1/alerts/theirs', { tenant: 'globex', user: 'anna' });
    expect(textsOf(theirs.explanation, 'similar')).toEqual([
      'This fault was not seen on this device before.',
      'It was not seen on other devices of this model before.',
    ]);
  });

  it('have the names of the catalogue in the same languages', async () => {
    type Models = {
      items: { id: string; name: string; signals: { label: string }[]; failureModes: { name: string }[] }[];
    };
    const fridgeIn = async (query: string) =>
      (await read<Models>(`/api/v1/models${query}`)).items.find((one) => one.id === 'refrigerator');
    expect(await fridgeIn('?lang=zh-CN')).toMatchObject({
      name: '冰箱',
      failureModes: [{ name: '压缩机轴承磨损' }, {}, {}, {}],
    });
    expect(await fridgeIn('')).toMatchObject({ name: 'Refrigerator-freezer' });
  });
});
