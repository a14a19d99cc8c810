/** Rules over HTTP on real databases: written, checked, tried, changed, with every version and its order; tenants stay apart. */
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Problem } from '../../contract/http/resources.ts';
import type { RuleChecked, RuleTried, RuleView } from '../../contract/http/rules.ts';
import type { Order } from '../../contract/ports/orders.ts';
import { type ApiHarness, startHarness, storedSample, T0, testSeed, token } from '../support/api-harness.ts';
import { manualClock } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';

const clock = manualClock(T0);
const admin = { user: 'anna' };
const engineer = { user: 'eve' };
const PATH = '/api/v1/rules';
const TEXT = 'when compressorCurrentA > 8 A for 10 min then major';
const MINUTE = 60_000;

describeOnDatabases('rules', clock, (database) => {
  let harness: ApiHarness;
  beforeAll(async () => {
    const seed = testSeed((one) => {
      for (const tenant of one.tenants) {
        tenant.users.push({ id: 'eve', role: 'engineer', tokens: [token(tenant.id, 'eve')] });
        tenant.devices.push({ id: 'odd-1', model: 'mystery', secret: 'secret-of-odd-1-0123456789-0123' });
      }
    });
    harness = await startHarness(database(), clock, { seed });
    await database().withSystem((tx) =>
      tx.execute(
        sql`UPDATE devices SET declared_signals = '{"flowRate": {"kind": "number", "unit": "l/min"}}' WHERE id = 'odd-1' AND tenant_id = 'acme'`,
      ),
    );
  });
  afterAll(() => harness?.api.stop());

  const send = async <Body>(
    as: Parameters<ApiHarness['request']>[0],
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    path = '',
    body?: object,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: Body; etag: unknown }> => {
    const answer = await harness.request(as, method, `${PATH}${path}`, { ...(body ? { body } : {}), headers });
    return { status: answer.status, body: answer.body as Body, etag: answer.headers.etag };
  };
  const add = (id: string, text = TEXT, as: Parameters<ApiHarness['request']>[0] = engineer) =>
    send<RuleView>(as, 'POST', '', { id, name: `Rule ${id}`, text });
  const orders = () =>
    database().withSystem(async (tx) => {
      const found = await tx.execute<{ body: Order }>(
        sql`SELECT body FROM analytics_orders WHERE tenant_id = 'acme' ORDER BY seq`,
      );
      return found.rows.map(({ body }) => body);
    });

  it('are written by engineers and above of the whole tenant, and read by everybody', async () => {
    for (const user of ['vera', 'alan', 'nora', 'stan']) expect((await add('mine', TEXT, { user })).status).toBe(403);
    const made = await add('overload');
    expect(made).toMatchObject({
      status: 201,
      etag: '"1"',
      body: {
        id: 'overload',
        enabled: true,
        version: 1,
        change: 'created',
        changedBy: 'eve',
        models: ['refrigerator'],
        component: 'compressor',
        faultKey: 'rule:overload',
      },
    });
    expect((await send<RuleView>({ user: 'vera' }, 'GET', '/overload')).body).toEqual(made.body);
    expect((await add('overload')).status).toBe(409);
  });

  it('with mistakes are refused with line, column, what was expected and the nearest name', async () => {
    const { status, body } = await send<Problem>(engineer, 'POST', '', {
      id: 'bad',
      name: 'Bad',
      text: 'when compresorCurrentA > 8 A\nthen mayor',
    });
    expect(status).toBe(400);
    expect(body.errors).toEqual([
      {
        path: 'body.text',
        message:
          'line 2, column 6: “mayor” does not fit here; expected info, minor, major, critical; did you mean major?',
      },
    ]);
    expect((await send(engineer, 'GET', '/bad')).status).toBe(404);
  });

  it('can be checked by everybody, without a trace', async () => {
    const before = await orders();
    const good = await send<RuleChecked>({ user: 'vera' }, 'POST', '/check', {
      text: 'when freezerTempC>10°F then minor',
    });
    expect(good.body).toEqual({
      ok: true,
      canonical: 'when freezerTempC > 10 degF then minor',
      models: ['refrigerator'],
      component: 'cabinet',
      notes: [],
    });
    const bad = await send<RuleChecked>({ user: 'vera' }, 'POST', '/check', {
      text: 'when frezerTempC > 10 degC then minor',
    });
    expect(bad.body).toMatchObject({
      ok: false,
      problems: [{ line: 1, column: 6, length: 11, nearest: 'freezerTempC' }],
    });
    expect(await orders()).toEqual(before);
  });

  it('know the signals that devices outside the catalogue declared, each tenant its own', async () => {
    const text = 'on model mystery when flowRate < 60 l/h then minor';
    expect((await send<RuleChecked>(admin, 'POST', '/check', { text })).body).toMatchObject({
      ok: true,
      models: ['mystery'],
    });
    expect(
      (await send<RuleChecked>({ tenant: 'globex', user: 'anna' }, 'POST', '/check', { text })).body,
    ).toMatchObject({ ok: false });
  });

  it('change under their version, each change a new one that is kept and ordered', async () => {
    await add('steps');
    const change = { text: 'when compressorCurrentA > 9 A for 10 min then critical' };
    expect((await send(engineer, 'PATCH', '/steps', change)).status).toBe(428);
    expect((await send(engineer, 'PATCH', '/steps', change, { 'if-match': '"7"' })).status).toBe(412);
    expect((await send<RuleView>(engineer, 'PATCH', '/steps', change, { 'if-match': '"1"' })).body).toMatchObject({
      version: 2,
      name: 'Rule steps',
    });
    expect((await send(engineer, 'PATCH', '/steps', {}, { 'if-match': '"2"' })).status).toBe(400);
    expect((await send<RuleView>(engineer, 'POST', '/steps/disable')).body).toMatchObject({
      version: 3,
      enabled: false,
    });
    expect((await send<RuleView>(engineer, 'POST', '/steps/disable')).body).toMatchObject({ version: 3 });
    expect((await send<RuleView>(admin, 'POST', '/steps/enable')).body).toMatchObject({ version: 4, enabled: true });
    expect((await send(admin, 'DELETE', '/steps')).status).toBe(204);
    expect((await send(admin, 'GET', '/steps')).status).toBe(404);
    const { body } = await send<{ items: RuleView[] }>({ user: 'vera' }, 'GET', '/steps/versions');
    expect(body.items.map(({ version, change: told, changedBy }) => [version, told, changedBy])).toEqual([
      [5, 'deleted', 'anna'],
      [4, 'enabled', 'anna'],
      [3, 'disabled', 'eve'],
      [2, 'changed', 'eve'],
      [1, 'created', 'eve'],
    ]);
    const own = (await orders()).filter((one) => one.kind === 'rule' && one.rule === 'steps');
    expect(own.map((one) => one.kind === 'rule' && [one.version, one.actor, one.runs?.text ?? null])).toEqual([
      [1, 'eve', TEXT],
      [2, 'eve', 'when compressorCurrentA > 9 A for 10 min then critical'],
      [3, 'eve', null],
      [4, 'anna', 'when compressorCurrentA > 9 A for 10 min then critical'],
      [5, 'anna', null],
    ]);
    // An id that is used again goes on counting: an order of then cannot be taken for one of now.
    expect((await add('steps')).body).toMatchObject({ version: 6, change: 'created' });
  });

  it('cannot be changed or deleted once they are written, by no role', async () => {
    const change = (work: 'withTenant' | 'withSystem') => {
      const statement = sql`UPDATE rule_versions SET text = 'x'`;
      return work === 'withSystem'
        ? database().withSystem((tx) => tx.execute(statement))
        : database().withTenant({ tenant: 'acme' }, (tx) => tx.execute(statement));
    };
    await expect(change('withTenant')).rejects.toThrow();
    await expect(change('withSystem')).rejects.toThrow();
  });

  it('of one tenant are invisible to another, which may have one of the same id', async () => {
    const stranger = { tenant: 'globex', user: 'anna' };
    await add('shared');
    expect((await send(stranger, 'GET', '/shared')).status).toBe(404);
    expect((await send(stranger, 'GET', '/shared/versions')).status).toBe(404);
    expect((await send(stranger, 'DELETE', '/shared')).status).toBe(404);
    expect((await add('shared', TEXT, stranger)).status).toBe(201);
    expect((await send<{ items: RuleView[] }>(stranger, 'GET')).body.items.map(({ id }) => id)).toEqual(['shared']);
    const seen = await database().withTenant({ tenant: 'globex' }, (tx) =>
      tx.execute(sql`SELECT DISTINCT tenant_id FROM rule_versions`),
    );
    expect(seen.rows).toEqual([{ tenant_id: 'globex' }]);
  });

  it('are listed page by page', async () => {
    const ids: string[] = [];
    let cursor: string | undefined;
    do {
      const { body } = await send<{ items: RuleView[]; nextCursor?: string }>(
        admin,
        'GET',
        `?limit=1${cursor ? `&cursor=${cursor}` : ''}`,
      );
      ids.push(...body.items.map(({ id }) => id));
      cursor = body.nextCursor;
    } while (cursor);
    expect(ids).toEqual(['overload', 'shared', 'steps']);
  });

  it('are tried on stored samples of a device, bounded, without a trace', async () => {
    const before = await orders();
    harness.telemetry.samples.push(
      ...Array.from({ length: 120 }, (_, i) =>
        storedSample({
          device: 'fridge-3',
          seq: i,
          observedAt: T0 + i * MINUTE,
          signals: { compressorCurrentA: i >= 20 && i < 50 ? 9 : 3, doorOpen: false },
        }),
      ),
    );
    const range = { from: new Date(T0).toISOString(), to: new Date(T0 + 120 * MINUTE).toISOString() };
    const attempt = (as: { tenant?: string; user: string }, change: object = {}) =>
      send<RuleTried>(as, 'POST', '/try', { text: TEXT, device: 'fridge-3', ...range, ...change });
    const tried = await attempt({ user: 'alan' });
    expect(tried.body).toMatchObject({
      applies: true,
      samples: 120,
      canonical: TEXT,
      alerts: [
        {
          severity: 'major',
          component: 'compressor',
          onset: T0 + 20 * MINUTE,
          raisedAt: T0 + 30 * MINUTE,
          clearedAt: T0 + 50 * MINUTE,
        },
      ],
    });
    expect(tried.body.alerts[0]?.tests).toMatchObject([{ test: 'compressorCurrentA > 8 A', holds: true, value: 9 }]);
    expect((await attempt(admin, { text: `on device fridge-1 ${TEXT}` })).body).toMatchObject({
      applies: false,
      alerts: [],
    });
    expect((await attempt(admin, { text: 'when x > 1 then major' })).status).toBe(400);
    expect((await attempt(admin, { device: 'nobody' })).status).toBe(404);
    expect((await attempt(admin, { to: new Date(T0 + 40 * 86_400_000).toISOString() })).status).toBe(400);
    expect((await attempt({ user: 'vera' })).status).toBe(403);
    expect((await attempt({ tenant: 'globex', user: 'anna' })).body).toMatchObject({ samples: 0, alerts: [] });
    expect(await orders()).toEqual(before);
  });

  it('are at most 50 that run for a model', async () => {
    for (let i = 0; i < 60; i++) {
      const { status } = await add(`many-${i}`, 'when motorCurrentA > 9 A then minor');
      if (i < 45) expect(status).toBe(201);
      if (status === 409) {
        expect(
          (
            await send(engineer, 'POST', '', {
              id: 'off',
              name: 'Off',
              text: 'when motorCurrentA > 9 A then minor',
              enabled: false,
            })
          ).status,
        ).toBe(201);
        expect((await send(engineer, 'POST', '/off/enable')).status).toBe(409);
        return;
      }
    }
    throw new Error('there was no bound');
  });
});
