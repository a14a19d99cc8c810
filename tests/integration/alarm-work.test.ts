/** What people do about alarms over HTTP: acts, versions, roles, walls, windows, groups, KPIs. */
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { applySeed } from '../../api/db/seed.ts';
import type { AlarmGroup, AlarmKpis, Silence, SilenceReport } from '../../contract/http/alarms.ts';
import type { Alert, Problem } from '../../contract/http/resources.ts';
import { HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import { alarmHarness, emptyAlarms } from '../support/alarm-harness.ts';
import { type ApiHarness, alertOf, startHarness, T0, TEST_KEYS, testSeed } from '../support/api-harness.ts';
import { manualClock } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const SECRET = `whsec_${Buffer.from('a secret of at least 24 bytes').toString('base64')}`;
const clock = manualClock(T0 + 60_000);
const viewer = { user: 'vera' };
const agent = { user: 'alan' };
const admin = { user: 'anna' };
const northAgent = { user: 'nora' };
const southManager = { user: 'stan' };
const stranger = { user: 'anna', tenant: 'globex' };

type Answer<Body> = { status: number; body: Body; headers: Record<string, unknown>; text: string };

const seed = testSeed((file) => {
  for (const tenant of file.tenants) {
    for (const centre of tenant.centres) centre.webhook = { url: 'http://127.0.0.1:9/hook', secret: SECRET };
    for (let n = 4; n <= 8; n++) {
      tenant.devices.push({ id: `fridge-${n}`, model: 'refrigerator', secret: `secret-of-fridge-${n}-0123456789` });
    }
  }
});

describeOnDatabases('work on alarms', clock, (database) => {
  const desk = alarmHarness(database, clock);
  let api: ApiHarness;

  beforeAll(() => applySeed(database(), seed, TEST_KEYS, clock));
  beforeEach(async () => {
    await emptyAlarms(database());
    api = await startHarness(database(), clock, { seed });
  });
  afterEach(() => api.api.stop());

  const get = <Body>(as: { user: string; tenant?: string }, url: string) =>
    api.request(as, 'GET', url) as Promise<Answer<Body>>;
  const read = async (id = 'ep-1', as = admin) =>
    (await get<Alert & { history: { type: string }[] }>(as, `/api/v1/alerts/${id}`)).body;
  const act = async (
    name: string,
    body: object,
    {
      as = agent,
      id = 'ep-1',
      version,
    }: { as?: { user: string; tenant?: string }; id?: string; version?: number } = {},
  ) => {
    const etag = `"${version ?? (await read(id)).version}"`;
    return api.request(as, 'POST', `/api/v1/alerts/${id}/${name}`, {
      body,
      headers: { 'if-match': etag },
    }) as Promise<Answer<Alert & Problem>>;
  };
  const list = async (query: string, as = admin) =>
    (await get<{ items: Alert[] }>(as, `/api/v1/alerts?${query}`)).body.items.map((one) => one.id);
  const changes = async () =>
    (await desk.webhooks()).flatMap((body) => (body.type === 'alert.changed' ? [body.data] : []));
  const cleared = (facts: Partial<AlertFinding> = {}) => alertOf({ kind: 'alertCleared', at: T0 + 1, ...facts });

  describe('an alert', () => {
    it('says which rule made it: detector, version, score and threshold (mainflux #853)', async () => {
      await desk.apply([alertOf()]);
      const { history, evidence } = (await read()) as never as {
        history: { type: string; actor: string; facts: object }[];
        evidence: { detector: object };
      };
      expect(evidence.detector).toEqual({ name: 'cusum', version: '1.2.0' });
      expect(history[0]).toMatchObject({
        type: 'raised',
        actor: 'system',
        facts: { detector: { name: 'cusum', version: '1.2.0' }, score: 0.999, threshold: 0.99 },
      });
    });

    it('is acknowledged by somebody who has read its last version, once', async () => {
      await desk.apply([alertOf()]);
      const { version } = await read();
      expect((await act('acknowledge', {}, { version: version - 1 })).status).toBe(412);
      const unversioned = await api.request(agent, 'POST', '/api/v1/alerts/ep-1/acknowledge', { body: {} });
      expect(unversioned.status).toBe(428);
      const done = await act('acknowledge', { comment: 'I call them' });
      expect(done).toMatchObject({
        status: 200,
        headers: { etag: `"${version + 1}"` },
        body: { alarmState: 'acknowledged', acknowledgedBy: 'alan', acknowledgedAt: clock.now(), version: version + 1 },
      });
      const again = await act('acknowledge', {}, { as: admin });
      expect(again).toMatchObject({ status: 200, body: { acknowledgedBy: 'alan', version: version + 1 } });
      expect((await desk.events('ep-1')).filter((type) => type === 'acknowledged')).toHaveLength(1);
      expect(await changes()).toMatchObject([{ change: 'acknowledged', actor: 'alan', reason: 'I call them' }]);
      await desk.apply([cleared()]);
      expect(await read()).toMatchObject({ alarmState: 'normal', closedAt: clock.now() });
      expect(await act('acknowledge', {})).toMatchObject({ status: 200 });
      expect(await act('assign', { assignee: 'nora' })).toMatchObject({ status: 409, body: { code: 'CONFLICT' } });
    });

    it('waits to be acknowledged after it has cleared', async () => {
      await desk.apply([alertOf(), cleared()]);
      expect(await read()).toMatchObject({ state: 'cleared', alarmState: 'returned' });
      expect(await list('standing=true')).toEqual(['ep-1']);
      expect((await act('acknowledge', {})).body.alarmState).toBe('normal');
      expect(await list('standing=true')).toEqual([]);
    });

    it('has one winner when twenty acknowledge at once', async () => {
      await desk.apply([alertOf()]);
      const { version } = await read();
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, n) => act('comments', { comment: `I am ${n}` }, { version })),
      );
      expect(answers.map((one) => one.status).sort()).toEqual([200, ...Array(19).fill(412)]);
      expect((await desk.events('ep-1')).filter((type) => type === 'commented')).toHaveLength(1);
    });

    it('tells the assignee by name: webhook and list (OpenRemote #1313)', async () => {
      await desk.apply([alertOf()]);
      expect((await act('assign', { assignee: 'nobody' })).body.errors?.[0]).toMatchObject({ path: 'body.assignee' });
      expect((await act('assign', { assignee: 'vera' })).status).toBe(400);
      expect((await act('assign', { assignee: 'nora', comment: 'your street' })).status).toBe(200);
      expect(await changes()).toMatchObject([
        { change: 'assigned', actor: 'alan', reason: 'your street', alert: { id: 'ep-1', assignee: 'nora' } },
      ]);
      expect(await list('assignee=nora', northAgent)).toEqual(['ep-1']);
      const same = await act('assign', { assignee: 'nora' });
      expect([same.status, (await changes()).length]).toEqual([200, 1]);
      await act('assign', { assignee: null });
      expect((await read()).assignee).toBeUndefined();
    });

    it('is shelved for a time, and is back in the queue when somebody ends that', async () => {
      await desk.apply([alertOf({ confirmed: false, evidence: { ...alertOf().evidence, prediction: undefined } })]);
      expect((await act('shelve', { minutes: 4_321, reason: 'later' })).body.detail).toMatch(/4320 minutes at most/);
      const shelved = await act('shelve', { minutes: 60, reason: 'the part is on its way' });
      expect(shelved.body).toMatchObject({
        alarmState: 'shelved',
        silencedBy: [{ kind: 'shelve', by: 'alan', until: clock.now() + HOUR_MS, reason: 'the part is on its way' }],
      });
      expect([await list('shelved=true'), await list('shelved=false')]).toEqual([['ep-1'], []]);
      await desk.apply([alertOf({ kind: 'alertUpdated', at: T0 + 2 })]);
      expect(await desk.tickets()).toEqual([]);
      // A second shelf changes the first.
      await act('shelve', { minutes: 120, reason: 'it is late' });
      expect(await desk.silences()).toMatchObject([{ until: clock.now() + 2 * HOUR_MS, version: 2 }]);
      expect((await act('unshelve', {})).body).toMatchObject({ alarmState: 'unacknowledged', silencedBy: [] });
      await waitFor('the ticket', async () => (await desk.tickets()).length === 1);
      const report = await waitFor('the report', async () => (await desk.reports())[0]);
      expect(report).toMatchObject({ endedBy: 'alan', silenced: 1, acted: 1 });
    });

    it('that latched is reset with a reason, after the fault has gone', async () => {
      await desk.setPolicy({ alarms: { latch: ['compressorBearingWear'] } });
      await desk.apply([alertOf()]);
      expect((await act('reset', { reason: 'looked at it' })).body.detail).toMatch(/still there/);
      await desk.apply([cleared()]);
      expect(await read()).toMatchObject({ alarmState: 'latchedUnacknowledged', latched: true });
      expect(await list('latched=true')).toEqual(['ep-1']);
      expect((await act('reset', {})).status).toBe(400);
      await act('acknowledge', {});
      expect((await act('reset', { reason: 'insulation measured: good' })).body.alarmState).toBe('normal');
      expect((await read()).history.at(-1)).toMatchObject({
        type: 'reset',
        actor: 'alan',
        reason: 'insulation measured: good',
      });
      expect((await act('reset', { reason: 'again' })).status).toBe(409);
    });

    it('is acknowledged by whoever moves its ticket', async () => {
      await desk.apply([alertOf()]);
      // The worker that pins the evidence is at work beside us.
      await waitFor('the transition', async () => {
        const { headers } = await get<object>(agent, '/api/v1/tickets/SC-26-000001');
        const moved = await api.request(agent, 'POST', '/api/v1/tickets/SC-26-000001/transitions', {
          headers: { 'if-match': String(headers.etag) },
          body: { to: 'triaged', reason: 'seen' },
        });
        return moved.status === 200;
      });
      expect(await read()).toMatchObject({ acknowledgedBy: 'alan', alarmState: 'acknowledged' });
      expect(await desk.alarm('ep-1')).toMatchObject({ escalateAt: null });
    });

    it('keeps words of devices and people as they are, and answers them as data', async () => {
      const odd = '<script>alert(1)</script>\u202e=1+1\'"; DROP TABLE alerts;--';
      await desk.apply([alertOf({ faultKey: odd, component: odd, severity: 'minor' })]);
      await act('comments', { comment: odd });
      const found = (await get<{ items: Alert[] }>(admin, `/api/v1/alerts?faultKey=${encodeURIComponent(odd)}`)).body;
      expect(found.items[0]).toMatchObject({ faultKey: odd });
      expect((await read()).history.at(-1)).toMatchObject({ reason: odd });
    });

    it.each([
      ['severity=major', ['a', 'b']],
      ['severity=minor,info', ['c']],
      ['model=refrigerator&faultKey=evaporatorFanWear', ['b']],
      ['acknowledged=true', ['a']],
      ['acknowledged=false&state=open', ['b', 'c']],
      ['suppressed=true', []],
    ])('is found by %s', async (query, expected) => {
      await desk.apply([
        alertOf({ episode: 'a' }),
        alertOf({ episode: 'b', device: 'fridge-2', faultKey: 'evaporatorFanWear', component: 'evaporatorFan' }),
        alertOf({ episode: 'c', device: 'fridge-3', severity: 'minor' }),
      ]);
      await act('acknowledge', {}, { id: 'a' });
      expect((await list(query)).sort()).toEqual(expected);
    });

    it('stays in its place in the pages while others are raised and worked on', async () => {
      await desk.apply([1, 2, 3, 4].map((n) => alertOf({ episode: `p${n}`, device: `fridge-${n}`, at: T0 + n })));
      const first = (await get<{ items: Alert[]; nextCursor: string }>(admin, '/api/v1/alerts?limit=2')).body;
      await desk.apply([alertOf({ episode: 'p5', device: 'fridge-5', at: T0 + 5 })]);
      await act('acknowledge', {}, { id: 'p3' });
      const rest = (await get<{ items: Alert[] }>(admin, `/api/v1/alerts?limit=9&cursor=${first.nextCursor}`)).body;
      expect([...first.items, ...rest.items].map((one) => one.id)).toEqual(['p4', 'p3', 'p2', 'p1']);
    });
  });

  describe('the walls', () => {
    it('let a viewer read and nothing else, and a stranger see nothing', async () => {
      await desk.apply([alertOf()]);
      for (const [name, body] of [
        ['acknowledge', {}],
        ['shelve', { minutes: 5, reason: 'r' }],
        ['unshelve', {}],
        ['reset', { reason: 'r' }],
        ['assign', { assignee: null }],
        ['comments', { comment: 'c' }],
      ] as const) {
        expect([name, (await act(name, body, { as: viewer })).status]).toEqual([name, 403]);
        expect([name, (await act(name, body, { as: stranger })).status]).toEqual([name, 404]);
      }
      expect(await desk.events('ep-1')).toEqual(['raised', 'annunciated']);
    });

    it('let a centre work on alarms of its tickets only', async () => {
      await desk.apply([alertOf(), alertOf({ episode: 'south', device: 'fridge-2' })]);
      expect((await act('acknowledge', {}, { as: northAgent })).status).toBe(200);
      expect((await act('acknowledge', {}, { as: northAgent, id: 'south' })).status).toBe(404);
      expect((await read('ep-1', northAgent)).history.length).toBeGreaterThan(1);
      for (const url of [
        '/api/v1/alert-groups',
        `/api/v1/alerts/kpis?from=2026-11-01T00:00:00Z&to=2026-11-02T00:00:00Z`,
      ]) {
        expect([url, (await get(northAgent, url)).status]).toEqual([url, 403]);
      }
    });

    it('let managers plan, and the manager of a centre for that centre', async () => {
      const until = new Date(clock.now() + HOUR_MS).toISOString();
      const plan = (as: object, body: object) =>
        api.request(as as never, 'POST', '/api/v1/maintenance-windows', { body: { reason: 'r', until, ...body } });
      expect((await plan(agent, { all: true })).status).toBe(403);
      expect((await plan(southManager, { all: true })).status).toBe(403);
      expect((await plan(southManager, { centre: 'north' })).status).toBe(403);
      expect((await plan(southManager, { centre: 'south' })).status).toBe(201);
      expect((await plan(admin, { device: 'unknown' })).status).toBe(404);
      expect((await plan(admin, { centre: 'unknown' })).status).toBe(400);
      const seen = async (as: { user: string; tenant?: string }) =>
        (await get<{ items: Silence[] }>(as, '/api/v1/silences')).body.items.length;
      expect(await Promise.all([admin, southManager, northAgent, stranger].map(seen))).toEqual([1, 1, 0, 0]);
    });
  });

  describe('a maintenance window', () => {
    const plan = (body: object) =>
      api.request(admin, 'POST', '/api/v1/maintenance-windows', {
        body: { reason: 'new filters', ...body },
      }) as Promise<Answer<Silence & Problem>>;

    it('is planned, seen on the alarms that it keeps quiet, ended, and tells what it silenced', async () => {
      const id = crypto.randomUUID();
      const body = { id, model: 'refrigerator', until: new Date(clock.now() + HOUR_MS).toISOString() };
      const made = await plan(body);
      expect(made).toMatchObject({ status: 201, body: { id, running: true, version: 1 }, headers: { etag: '"1"' } });
      expect((await plan(body)).body).toEqual(made.body);
      expect((await plan({ ...body, reason: 'something else' })).status).toBe(409);
      await desk.apply([alertOf()]);
      expect(await read()).toMatchObject({
        alarmState: 'suppressed',
        silencedBy: [{ id, kind: 'maintenance', by: 'anna' }],
      });
      const end = (version: string) =>
        api.request(admin, 'POST', `/api/v1/silences/${id}/end`, {
          body: { reason: 'done early' },
          headers: { 'if-match': version },
        });
      expect((await end('"9"')).status).toBe(412);
      expect((await end('"1"')).status).toBe(200);
      expect((await end('"2"')).status).toBeGreaterThanOrEqual(409);
      const told = await waitFor('the report', async () => {
        const found = (await get<{ reports: SilenceReport[] }>(admin, `/api/v1/silences/${id}`)).body;
        return found.reports.length > 0 ? found : undefined;
      });
      expect(told).toMatchObject({
        running: false,
        endedBy: 'anna',
        endReason: 'done early',
        reports: [{ silenced: 1, acted: 1, items: [{ alert: 'ep-1', outcome: 'ticket' }] }],
      });
      expect((await read()).alarmState).toBe('unacknowledged');
    });

    it('names the field or the rule that refuses it', async () => {
      expect((await plan({ all: true, until: 'tomorrow' })).body.errors?.[0]?.path).toBe('body.until');
      expect((await plan({ until: new Date(clock.now() + HOUR_MS).toISOString() })).body.detail).toMatch(/exactly one/);
      const long = await plan({ all: true, until: new Date(clock.now() + 169 * HOUR_MS).toISOString() });
      expect(long).toMatchObject({ status: 422, body: { code: 'REQUEST_NOT_ALLOWED' } });
    });
  });

  it('puts a device out of service until somebody puts it back', async () => {
    const made = (await api.request(admin, 'POST', '/api/v1/out-of-service', {
      body: { device: 'fridge-1', reason: 'in the workshop' },
    })) as Answer<Silence>;
    expect(made).toMatchObject({ status: 201, body: { kind: 'outOfService', running: true } });
    await desk.apply([alertOf()]);
    expect((await read()).alarmState).toBe('outOfService');
    const kpis = await get<AlarmKpis>(
      admin,
      `/api/v1/alerts/kpis?from=${new Date(T0).toISOString()}&to=${new Date(T0 + HOUR_MS).toISOString()}`,
    );
    expect(kpis.body).toMatchObject({ outOfServiceNow: 1, annunciated: 0 });
    await api.request(admin, 'POST', `/api/v1/silences/${made.body.id}/end`, {
      body: { reason: 'repaired' },
      headers: { 'if-match': '"1"' },
    });
    await waitFor('the ticket', async () => (await desk.tickets()).length === 1);
  });

  describe('devices above others', () => {
    const patch = (id: string, body: object) => api.request(admin, 'PATCH', `/api/v1/devices/${id}`, { body });

    it('are set, changed and removed, in a tree without circles', async () => {
      expect((await patch('fridge-2', { parent: 'fridge-1', batch: 'B7' })).body).toMatchObject({
        parent: 'fridge-1',
        batch: 'B7',
      });
      expect((await patch('fridge-3', { parent: 'fridge-2' })).status).toBe(200);
      expect((await patch('fridge-1', { parent: 'fridge-3' })).status).toBe(409);
      expect((await patch('fridge-1', { parent: 'fridge-1' })).status).toBe(409);
      expect((await patch('fridge-1', { parent: 'nowhere' })).status).toBe(400);
      expect((await patch('fridge-4', { parent: 'fridge-3' })).status).toBe(200);
      expect((await patch('fridge-5', { parent: 'fridge-4' })).status).toBe(200);
      expect((await patch('fridge-6', { parent: 'fridge-5' })).status).toBe(409);
      expect(((await patch('fridge-3', { parent: null })).body as { parent?: string }).parent).toBeUndefined();
      expect((await api.request(agent, 'PATCH', '/api/v1/devices/fridge-1', { body: { name: 'x' } })).status).toBe(403);
    });

    it('may be named when a device is created', async () => {
      const body = { id: `new-${clock.now()}`, model: 'refrigerator', parent: 'fridge-1', batch: 'B9' };
      clock.advance(1);
      const made = await api.request(admin, 'POST', '/api/v1/devices', { body });
      expect(made).toMatchObject({ status: 201, body: { parent: 'fridge-1', batch: 'B9' } });
    });
  });

  it('lets somebody decide about a group: tickets for all, or one campaign', async () => {
    await desk.setPolicy({ alarms: { group: { holdBelow: 'critical' } } });
    await desk.apply([1, 2, 3, 4, 5, 6].map((n) => alertOf({ episode: `g${n}`, device: `fridge-${n}`, at: T0 + n })));
    const { items } = (await get<{ items: AlarmGroup[] }>(viewer, '/api/v1/alert-groups?state=open')).body;
    const [group] = items;
    expect(group).toMatchObject({ devices: 6, active: 6, faultKey: 'compressorBearingWear' });
    expect((await list(`group=${group?.id}`)).length).toBe(6);
    expect(await desk.tickets()).toHaveLength(4);
    const decide = (as: object, version: number, decision: string) =>
      api.request(as as never, 'POST', `/api/v1/alert-groups/${group?.id}/decide`, {
        body: { decision, reason: 'the supplier was told' },
        headers: { 'if-match': `"${version}"` },
      }) as Promise<Answer<AlarmGroup>>;
    expect((await decide(agent, 1, 'campaign')).status).toBe(403);
    expect((await decide(admin, 7, 'campaign')).status).toBe(412);
    const campaign = await decide(admin, 1, 'campaign');
    expect(campaign).toMatchObject({ status: 200, body: { decision: 'campaign', decidedBy: 'anna' } });
    clock.advance(48 * HOUR_MS);
    await desk.settle();
    expect(await desk.tickets()).toHaveLength(4);
    const { version } = (await get<AlarmGroup>(admin, `/api/v1/alert-groups/${group?.id}`)).body;
    expect((await decide(admin, version, 'tickets')).status).toBe(200);
    await waitFor('their tickets', async () => (await desk.tickets()).length === 6);
  });

  it('counts what was asked of people, as worked out by hand', async () => {
    const from = clock.now();
    await desk.apply([alertOf({ episode: 'k1', at: T0 + 1 })]);
    clock.advance(10 * MINUTE_MS);
    await desk.apply([alertOf({ episode: 'k2', device: 'fridge-2', at: T0 + 2 })]);
    await act('acknowledge', {}, { id: 'k1' });
    await desk.apply([alertOf({ episode: 'k3', device: 'fridge-3', severity: 'minor', at: T0 + 3 })]);
    clock.advance(5 * HOUR_MS);
    const range = `from=${new Date(from).toISOString()}&to=${new Date(from + 5 * HOUR_MS).toISOString()}`;
    expect((await get<AlarmKpis>(admin, `/api/v1/alerts/kpis?${range}`)).body).toMatchObject({
      // k3 is minor: it is watched. Two in five hours.
      annunciated: 2,
      perOperatorHour: 0.4,
      peakPerTenMinutes: 1,
      topShare: 1,
      acknowledged: { due: 2, withinTarget: 1, share: 0.5 },
      stale: 0,
    });
    expect((await get(admin, `/api/v1/alerts/kpis?from=2026-01-01T00:00:00Z&to=2026-02-02T00:00:00Z`)).status).toBe(
      400,
    );
    expect((await get(admin, `/api/v1/alerts/kpis?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z`)).status).toBe(
      400,
    );
  });
});
