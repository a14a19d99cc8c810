/** The registry of versions: what the build ships, what tenants make of it, and what the database allows nobody. */
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { runnableHere, shippedEnsemble } from '../../analytics/registry/ensemble.ts';
import { shippedVersions } from '../../analytics/registry/shipped.ts';
import { createCheckpointStore } from '../../api/checkpoints.ts';
import { sqlState } from '../../api/db/database.ts';
import { orders } from '../../api/db/schema.ts';
import { applyShipped } from '../../api/registry/apply-shipped.ts';
import { DEVICE_MODELS } from '../../contract/devices/catalogue.ts';
import type { RegistryDetail, RegistryEntry, RegistryRecord, ShadowAlert } from '../../contract/http/registry.ts';
import type { Problem } from '../../contract/http/resources.ts';
import type { ShadowFinding } from '../../contract/ports/findings.ts';
import { ORDER_BOOK, type ShippedVersion } from '../../contract/ports/versions.ts';
import { type ApiHarness, alertOf, startHarness, T0 } from '../support/api-harness.ts';
import { manualClock } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const clock = manualClock(T0);
const PATH = '/api/v1/registry';
const admin = { user: 'anna' };
const theirs = { tenant: 'globex', user: 'anna' };
const fitted = new Map([
  [
    'turbofan',
    {
      name: 'fd001',
      version: 'abcd',
      training: { units: 50, rows: 10_000, dataHash: 'h', seed: 1 },
      metrics: { rmse: 12 },
    },
  ],
]);
const versions = shippedVersions(DEVICE_MODELS, fitted);
const shipped = shippedEnsemble();

describeOnDatabases('the registry', clock, (database) => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await startHarness(database(), clock);
  });
  afterAll(() => harness?.api.stop());
  beforeEach(async () => {
    // As a new installation: rows of versions are never deleted by any role, so the owner does it here.
    await database().withOwner((client) =>
      client.query('TRUNCATE registry_entries, registry_changes, analytics_orders, shadow_alerts, alerts'),
    );
    await bring();
  });

  const bring = (what: readonly ShippedVersion[] = versions) =>
    applyShipped(database(), what, { clock, successorOf: (version) => runnableHere(version) });
  const ask = (
    as: Parameters<ApiHarness['request']>[0],
    method: 'GET' | 'POST',
    path: string,
    more: { body?: unknown; headers?: Record<string, string> } = {},
  ) => harness.request(as, method, `${PATH}${path}`, more);
  const list = async (filter = '?kind=ensemble&model=refrigerator', as = admin): Promise<RegistryEntry[]> =>
    ((await ask(as, 'GET', filter)).body as { items: RegistryEntry[] }).items;
  const read = async (id: string, as = admin) => (await ask(as, 'GET', `/${id}`)).body as RegistryDetail;
  const register = async (version: string, parameters: object = {}, over: object = {}, as = admin) => {
    const body = { kind: 'ensemble', model: 'refrigerator', version, parameters, ...over };
    const answer = await ask(as, 'POST', '', { body });
    return { status: answer.status, body: answer.body as RegistryDetail & Problem };
  };
  const move = async (entry: { id: string; revision: number }, path: string, as = admin) => {
    const answer = await ask(as, 'POST', `/${entry.id}/${path}`, {
      body: { reason: `to ${path}` },
      headers: { 'if-match': `"${entry.revision}"` },
    });
    return { status: answer.status, body: answer.body as RegistryDetail & Problem };
  };
  const sent = () =>
    database().withSystem(async (tx) => (await tx.select().from(orders).orderBy(orders.seq)).map((row) => row.order));

  it('holds what the build ships: one active version for each model and kind, and doing it again changes nothing', async () => {
    const before = await list('?limit=500');
    await bring();
    expect(await list('?limit=500')).toEqual(before);
    for (const { id: model } of DEVICE_MODELS) {
      for (const kind of ['ensemble', 'prognosis']) {
        const active = before.filter((one) => one.model === model && one.kind === kind && one.state === 'active');
        expect(active, `${kind} of ${model}`).toHaveLength(1);
      }
    }
    expect(before.filter((one) => one.model === '*')).toHaveLength(1);
    expect(before.find((one) => one.name === 'fd001')).toMatchObject({
      state: 'active',
      scope: 'shipped',
      owner: 'system',
      parts: [
        { name: 'fd001', version: 'abcd' },
        { name: 'trend-to-threshold', version: '1' },
      ],
      training: { units: 50, rows: 10_000, dataHash: 'h', seed: 1 },
      metrics: { rmse: 12 },
    });
    expect(await sent()).toEqual([]);
  });

  it('takes a new version, which runs beside the active one; what is not named is as in the active one', async () => {
    const { status, body } = await register('strict', { onSamples: 9 }, { note: 'fewer night alerts' });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      ...{ state: 'shadow', scope: 'tenant', owner: 'anna', note: 'fewer night alerts', name: 'ensemble' },
      parameters: { ...shipped.parameters, onSamples: 9 },
      parts: shipped.parts,
      history: [{ actor: 'anna', act: 'registered', to: 'shadow', reason: 'fewer night alerts' }],
    });
    const own = await list();
    expect(
      own
        .map(({ version, state, scope }) => ({ version, state, scope }))
        .sort((a, b) => (a.version < b.version ? -1 : 1)),
    ).toEqual([
      { version: shipped.version, state: 'active', scope: 'tenant' },
      { version: 'strict', state: 'shadow', scope: 'tenant' },
    ]);
    expect(await sent()).toMatchObject([
      {
        kind: 'assign',
        tenant: 'acme',
        model: 'refrigerator',
        actor: 'anna',
        active: { version: shipped.version },
        shadows: [{ version: 'strict' }],
      },
    ]);
    // Nobody else has noticed.
    expect((await list(undefined, theirs)).map((one) => one.scope)).toEqual(['shipped']);
  });

  it('refuses parameters out of range, unknown detectors, unknown models, and a label that is taken', async () => {
    expect((await register('a', { onSamples: 0 })).body.errors?.[0]?.path).toBe('body.parameters.onSamples');
    const unknown = await register('a', { detectors: ['drift', 'crystal-ball'] });
    expect([unknown.status, unknown.body.errors?.[0]?.path]).toEqual([400, 'body.parameters.detectors']);
    expect((await register('a', {}, { model: 'toaster' })).status).toBe(404);
    expect((await register('a b')).status).toBe(400);
    await register('a');
    expect((await register('a')).body.code).toBe('CONFLICT');
    await register('b');
    expect((await register('c')).body.detail).toBe('a and b run beside already; retire one first');
  });

  it('promotes, retires what was active, and rolls back, with an ETag, an actor and a reason each time', async () => {
    const { body: strict } = await register('strict');
    const promoted = await move(strict, 'promote');
    expect(promoted).toMatchObject({ status: 200, body: { state: 'active', version: 'strict', revision: 2 } });
    const old = (await list()).find((one) => one.version === shipped.version);
    expect(old?.state).toBe('retired');
    expect((await move(strict, 'roll-back')).body.code).toBe('VERSION_STALE');
    expect((await ask(admin, 'POST', `/${strict.id}/roll-back`, { body: { reason: 'x' } })).status).toBe(428);
    const back = await move(promoted.body, 'roll-back');
    expect(back).toMatchObject({ status: 200, body: { id: old?.id, state: 'active', version: shipped.version } });
    expect(
      (await read(strict.id)).history.map(({ act, from, to, actor, reason }) => [act, from, to, actor, reason]),
    ).toEqual([
      ['registered', undefined, 'shadow', 'anna', 'registered'],
      ['promoted', 'shadow', 'active', 'anna', 'to promote'],
      ['retired', 'active', 'retired', 'anna', 'to roll-back'],
    ]);
    expect((await sent()).map((one) => one.kind === 'assign' && one.active.version)).toEqual([
      shipped.version,
      'strict',
      shipped.version,
    ]);
    expect((await move(back.body, 'roll-back')).body).toMatchObject({
      code: 'CONFLICT',
      detail: 'nothing was active before it',
    });
    expect((await move(await read(back.body.id), 'retire')).body.detail).toMatch(/one version must be active/);
  });

  it('lets a tenant act on a shipped version: it gets a copy, and the shipped one stays as it is', async () => {
    const trend = (await list('?kind=prognosis&model=turbofan')).find((one) => one.name === 'trend-to-threshold');
    const { status, body } = await move(trend as RegistryEntry, 'promote');
    expect([status, body.scope, body.state]).toEqual([200, 'tenant', 'active']);
    expect((await sent())[0]).toMatchObject({ what: 'prognosis', active: { parts: [{ name: 'trend-to-threshold' }] } });
    expect((await list('?kind=prognosis&model=turbofan&state=active', theirs))[0]?.name).toBe('fd001');
    expect((await move(trend as RegistryEntry, 'promote')).status).toBe(404);
  });

  it('says where in the telemetry log a decision takes effect, once it stands there', async () => {
    const { body } = await register('strict');
    expect(body.order).toEqual({ id: expect.any(String) });
    await database().withSystem((tx) => tx.execute(sql`UPDATE analytics_orders SET position = 4711`));
    expect((await read(body.id)).order).toEqual({ id: body.order?.id, position: 4711 });
  });

  it('is read by everybody and changed by managers of the whole tenant', async () => {
    const body = { kind: 'ensemble', model: 'refrigerator', version: 'x', parameters: {} };
    for (const user of ['vera', 'alan', 'nora', 'stan']) {
      expect((await ask({ user }, 'POST', '', { body })).status).toBe(403);
      expect((await ask({ user }, 'GET', '?limit=1')).status).toBe(200);
    }
    const { body: mine } = await register('mine');
    expect((await ask(theirs, 'GET', `/${mine.id}`)).status).toBe(404);
    expect((await move(mine, 'promote', theirs)).status).toBe(404);
    expect((await ask({ user: 'stan' }, 'GET', `/${mine.id}/record`)).status).toBe(403);
  });

  it('of two who promote at once lets one through', async () => {
    const [a, b] = [(await register('a')).body, (await register('b')).body];
    const [one, two] = await Promise.all([move(a, 'promote'), move(b, 'promote')]);
    const again = await Promise.all([move(a, 'promote'), move(a, 'promote')]);
    expect([one.status, two.status].sort()).toEqual([200, 200]);
    expect(again.map((answer) => answer.status)).toEqual([412, 412]);
    expect(await list('?kind=ensemble&model=refrigerator&state=active')).toHaveLength(1);
  });

  it('tells whoever listens', async () => {
    const stream = await fetch(`http://127.0.0.1:${harness.api.ports().http}/api/v1/stream`, {
      headers: { authorization: 'Bearer token-of-acme-vera-0123456789-0123456789' },
    });
    const reader = stream.body?.getReader();
    await register('strict');
    let text = '';
    while (!text.includes('\n\n', text.indexOf('event: registry')) || !text.includes('event: registry')) {
      text += new TextDecoder().decode((await reader?.read())?.value);
    }
    await reader?.cancel();
    expect(JSON.parse(/event: registry\ndata: (.*)/.exec(text)?.[1] ?? '')).toMatchObject({
      kind: 'registry',
      entry: { kind: 'ensemble', model: 'refrigerator', version: 'strict', state: 'shadow' },
    });
  });

  describe('in SQL', () => {
    const change = (statement: ReturnType<typeof sql>) =>
      database()
        .withSystem((tx) => tx.execute(statement))
        .then(() => 'done', sqlState);

    it('never has two active versions of a tenant, model and kind, nor none', async () => {
      await register('strict');
      expect(await change(sql`UPDATE registry_entries SET state = 'active' WHERE version = 'strict'`)).toBe('23505');
      expect(await change(sql`UPDATE registry_entries SET state = 'retired' WHERE model = 'refrigerator'`)).toBe(
        '23514',
      );
      expect(await change(sql`UPDATE registry_entries SET state = 'asleep' WHERE version = 'strict'`)).toBe('23514');
    });

    it('never changes or deletes history, nor what a version is', async () => {
      for (const statement of [
        sql`UPDATE registry_changes SET reason = 'x'`,
        sql`DELETE FROM registry_changes`,
        sql`DELETE FROM registry_entries`,
        sql`UPDATE registry_entries SET parameters = NULL`,
        sql`UPDATE analytics_orders SET body = '{}'`,
      ]) {
        const asTenant = database().withTenant({ tenant: 'acme' }, (tx) => tx.execute(statement));
        expect(await asTenant.then(() => 'done', sqlState)).toBe('42501');
      }
      expect(await change(sql`UPDATE registry_entries SET parameters = NULL`)).toBe('42501');
      // Rows of what the build ships look as if they were not there.
      await database()
        .withTenant({ tenant: 'acme' }, (tx) => tx.execute(sql`UPDATE registry_entries SET revision = 9`))
        .then(() => 'done', sqlState)
        .then((outcome) => expect(outcome).toBe('42501'));
    });
  });

  describe('after an update of the program', () => {
    const later: ShippedVersion[] = versions.map((one) =>
      one.kind === 'ensemble'
        ? { ...one, version: 'build-later', parts: [...one.parts, { name: 'new-one', version: '1' }] }
        : one,
    );
    const successorOf = (version: { name: string; version: string }) => ({
      ...version,
      version: `${version.version}~12345678`,
      parameters: shipped.parameters,
      parts: [...(later[0] as ShippedVersion).parts],
    });
    const update = () => applyShipped(database(), later, { clock, successorOf });

    it('follows the build where nobody has changed anything', async () => {
      await update();
      expect((await list()).map(({ version, state }) => [version, state]).sort()).toEqual(
        [
          [shipped.version, 'retired'],
          ['build-later', 'active'],
        ].sort(),
      );
    });

    it('gives own versions a successor of the new parts, under another name and with an order to analytics', async () => {
      const { body: strict } = await register('strict');
      await move(strict, 'promote');
      await register('other');
      await update();
      const states = Object.fromEntries((await list()).map(({ version, state }) => [version, state]));
      expect(states).toEqual({
        [shipped.version]: 'retired',
        strict: 'retired',
        'strict~12345678': 'active',
        other: 'retired',
        'other~12345678': 'shadow',
        'build-later': 'retired',
      });
      expect((await sent()).at(-1)).toMatchObject({
        active: { version: 'strict~12345678' },
        shadows: [{ version: 'other~12345678' }],
      });
      const count = (await sent()).length;
      await update();
      expect((await sent()).length).toBe(count);
      expect((await move(await read(strict.id), 'promote')).body.detail).toMatch(/does not have the parts/);
    });
  });

  describe('the record of a version', () => {
    const by = { name: 'ensemble', version: 'strict' };
    const shadowOf = (over: Partial<ShadowFinding> = {}): ShadowFinding => {
      const { kind: _kind, evidence: _evidence, ...facts } = alertOf();
      return { ...facts, kind: 'shadowAlert', event: 'raised', by, score: 0.99, ...over };
    };
    const evidenceBeside = {
      ...alertOf().evidence,
      ensemble: { name: 'ensemble', version: shipped.version, beside: [by] },
    };

    it('counts what it would have raised, and how far it agreed with the active one; none of it is an alert or a ticket', async () => {
      const { body: strict } = await register('strict');
      const exposure = {
        tenant: 'acme',
        model: 'refrigerator',
        name: 'ensemble',
        firstAt: 1,
        lastAt: 9,
        refusedDevices: 2,
      };
      const book = {
        exposure: {
          a: { ...exposure, role: 'active', version: shipped.version, deviceDays: 400, devices: 0 },
          s: { ...exposure, role: 'shadow', version: 'strict', deviceDays: 250, devices: 3 },
        },
      };
      await createCheckpointStore(database(), 'analytics').save([{ ...ORDER_BOOK, state: book }], 1);
      harness.findings.add(
        shadowOf({ id: 's1' }),
        shadowOf({ id: 's2', event: 'cleared', at: T0 + 10 }),
        shadowOf({ id: 's3', episode: 'ep-2', device: 'fridge-2', onset: T0 }),
        shadowOf({ id: 's4', tenant: 'globex', episode: 'ep-9' }),
        alertOf({ episode: 'live-1', evidence: evidenceBeside }),
        alertOf({ episode: 'live-2', device: 'fridge-3', evidence: evidenceBeside }),
      );
      await waitFor('the alerts', async () => {
        const { body } = await harness.request(admin, 'GET', '/api/v1/alerts');
        return (body as { items: unknown[] }).items.length === 2;
      });
      const record = (await ask(admin, 'GET', `/${strict.id}/record`)).body as RegistryRecord;
      expect(record).toMatchObject({
        asActive: { deviceDays: 0, alerts: 0 },
        asShadow: { deviceDays: 250, alerts: 2, alertsPer1000DeviceDays: 8, devices: 3, refusedDevices: 2 },
        agreement: { both: 1, onlyShadow: 1, onlyActive: 1 },
        complete: true,
      });
      expect(record.asActive.alertsPer1000DeviceDays).toBeUndefined();
      const active = (await list()).find((one) => one.version === shipped.version);
      const served = (await ask(admin, 'GET', `/${active?.id}/record`)).body as RegistryRecord;
      expect(served.asActive).toMatchObject({ deviceDays: 400, alerts: 2, alertsPer1000DeviceDays: 5 });
      const listed = (await ask(admin, 'GET', `/${strict.id}/shadow-alerts?limit=1`)).body as {
        items: ShadowAlert[];
        nextCursor: string;
      };
      expect(listed.items).toMatchObject([{ by, device: expect.any(String) }]);
      const rest = (await ask(admin, 'GET', `/${strict.id}/shadow-alerts?cursor=${listed.nextCursor}`)).body as {
        items: ShadowAlert[];
      };
      expect(rest.items).toHaveLength(1);
      const { body: tickets } = await harness.request(admin, 'GET', '/api/v1/tickets');
      const devices = (tickets as { items: { device: string }[] }).items.map((one) => one.device);
      expect(devices).not.toContain('fridge-2');
    });
  });
});
