/** The HTTP API as a client meets it, on real databases: good answers, and every way to be refused. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Alert, Device, DeviceCreated, Problem, Ticket } from '../../contract/http/resources.ts';
import { problem } from '../../contract/http/resources.ts';
import {
  type ApiHarness,
  alertOf,
  predictionOf,
  startHarness,
  storedSample,
  T0,
  token,
} from '../support/api-harness.ts';
import { manualClock } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const clock = manualClock(T0 + 60_000);
const admin = { user: 'anna' };
const agent = { user: 'alan' };
const viewer = { user: 'vera' };
const northAgent = { user: 'nora' };
const southManager = { user: 'stan' };
const foreigner = { tenant: 'globex', user: 'anna' };

describeOnDatabases('the API', clock, (database) => {
  let harness: ApiHarness;
  let ticketKey: string;

  beforeAll(async () => {
    harness = await startHarness(database(), clock);
    harness.telemetry.samples.push(
      ...Array.from({ length: 50 }, (_, n) =>
        storedSample({
          seq: n,
          observedAt: T0 - (50 - n) * 300_000,
          signals: { compressorVibrationMmPerS: 2 + n / 100, mode: 'cooling' },
        }),
      ),
    );
    harness.findings.add(
      alertOf(),
      alertOf({ episode: 'ep-g', tenant: 'globex', device: 'fridge-2' }),
      { ...alertOf({ episode: 'ep-2', device: 'fridge-2', severity: 'minor', confirmed: false }) },
      {
        kind: 'prediction',
        id: 'p1',
        tenant: 'acme',
        device: 'fridge-1',
        model: 'refrigerator',
        at: T0 + 1,
        position: 100,
        prediction: predictionOf({ median: 190, lower: 110, upper: 290, unit: 'h' }),
      },
    );
    ticketKey = await waitFor('the ticket', async () => {
      const { body } = await harness.request(admin, 'GET', '/api/v1/tickets');
      return (body as { items: Ticket[] }).items[0]?.key;
    });
    await waitFor(
      'its evidence',
      async () =>
        ((await harness.request(admin, 'GET', `/api/v1/tickets/${ticketKey}`)).body as Ticket).evidence?.complete,
    );
  });
  afterAll(() => harness?.api.stop());

  const get = (as: { tenant?: string; user: string } | undefined, url: string) => harness.request(as, 'GET', url);

  describe('who may come in', () => {
    it('refuses no, wrong and malformed credentials alike', async () => {
      for (const headers of [
        {},
        { authorization: 'Bearer psg_wrong' },
        { authorization: 'Bearer' },
        { authorization: `Basic ${token('acme', 'anna')}` },
        { authorization: `Bearer ${'x'.repeat(500)}` },
        { cookie: 'presage_session=nonsense' },
      ]) {
        const answer = await harness.request(undefined, 'GET', '/api/v1/devices', { headers });
        expect(answer.status).toBe(401);
        expect(problem.parse(answer.body).code).toBe('UNAUTHENTICATED');
        expect(answer.headers['content-type']).toContain('application/problem+json');
      }
    });

    it('says who one is', async () => {
      expect((await get(northAgent, '/api/v1/me')).body).toEqual({
        tenant: 'acme',
        user: 'nora',
        role: 'agent',
        centre: 'north',
      });
    });

    it('asks credentials on every route below /api/v1 but those that give them', async () => {
      const doors = ['/api/v1/sessions', '/api/v1/claims', '/api/v1/device-secrets'];
      const document = (await harness.api.openapi()) as { paths: Record<string, Record<string, unknown>> };
      const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
        Object.keys(methods).map((method) => [method.toUpperCase() as 'GET', path.replace(/\{\w+\}/g, 'x')] as const),
      );
      const inside = routes.filter(
        ([method, path]) =>
          path.startsWith('/api/v1') &&
          !path.startsWith('/api/v1/public/') &&
          !((method as string) === 'POST' && doors.includes(path)),
      );
      expect(inside.length).toBeGreaterThan(25);
      for (const [method, path] of inside) {
        expect([method, path, (await harness.request(undefined, method, path)).status]).toEqual([method, path, 401]);
      }
    });

    it('asks the secret of a link on the routes for customers, and says that it takes no other credentials', async () => {
      const document = (await harness.api.openapi()) as {
        paths: Record<string, Record<string, { security?: object[] }>>;
      };
      const open = Object.entries(document.paths).filter(([path]) => path.startsWith('/api/v1/public/'));
      expect(open.length).toBeGreaterThan(0);
      for (const [path, methods] of open) {
        for (const [method, { security }] of Object.entries(methods)) {
          expect([path, method, security]).toEqual([path, method, []]);
          const answer = await harness.request(undefined, method.toUpperCase() as 'GET', path, { body: {} });
          expect([path, method, answer.status]).toEqual([path, method, 400]);
        }
      }
    });
  });

  describe('walls', () => {
    it('show each tenant its own', async () => {
      for (const [as, tenant] of [
        [admin, 'acme'],
        [foreigner, 'globex'],
      ] as const) {
        const { body } = await get(as, '/api/v1/devices');
        expect(new Set((body as { items: Device[] }).items.map((device) => device.tenant))).toEqual(new Set([tenant]));
      }
    });

    it('make what is foreign look absent, to the letter', async () => {
      const paths = (key: string, device: string, alert: string) => [
        `/api/v1/tickets/${key}`,
        `/api/v1/devices/${device}`,
        `/api/v1/devices/${device}/latest`,
        `/api/v1/alerts/${alert}`,
        `/api/v1/export/telemetry?device=${device}`,
        `/api/v1/stream?device=${device}`,
      ];
      await harness.request(foreigner, 'POST', '/api/v1/devices', {
        body: { id: 'only-globex', model: 'refrigerator' },
      });
      const foreign = paths('SC-26-999998', 'only-globex', 'ep-g');
      const absent = paths('SC-26-999998', 'only-absent', 'ep-absent');
      for (const [index, path] of foreign.entries()) {
        const [one, other] = await Promise.all([get(admin, path), get(admin, absent[index] ?? '')]);
        expect([path, one.status]).toEqual([path, 404]);
        const plain = (text: string) =>
          text.replace(/"requestId":"[^"]+"/, '').replace(/only-absent|only-globex|ep-absent|ep-g/g, 'x');
        expect(plain(one.text)).toBe(plain(other.text));
      }
    });

    it('show a centre its tickets, their devices, and nothing else', async () => {
      expect(((await get(northAgent, '/api/v1/tickets')).body as { items: Ticket[] }).items).toHaveLength(1);
      expect(
        ((await get(northAgent, '/api/v1/devices')).body as { items: Device[] }).items.map((one) => one.id),
      ).toEqual(['fridge-1']);
      expect(((await get(northAgent, '/api/v1/alerts')).body as { items: Alert[] }).items.map((one) => one.id)).toEqual(
        ['ep-1'],
      );
      expect((await get(northAgent, '/api/v1/devices/fridge-2')).status).toBe(404);
      expect((await get(northAgent, '/api/v1/devices/fridge-3/latest')).status).toBe(404);
      expect(((await get(southManager, '/api/v1/tickets')).body as { items: Ticket[] }).items).toEqual([]);
      expect((await get(southManager, `/api/v1/tickets/${ticketKey}`)).status).toBe(404);
      const attempt = await harness.request(southManager, 'POST', `/api/v1/tickets/${ticketKey}/transitions`, {
        body: { to: 'triaged', reason: 'mine now' },
        headers: { 'if-match': '"1"' },
      });
      expect(attempt.status).toBe(404);
      expect(
        (await harness.request(southManager, 'POST', '/api/v1/devices', { body: { id: 'd', model: 'refrigerator' } }))
          .status,
      ).toBe(403);
      const lines = (await get(northAgent, '/api/v1/export/telemetry')).text.trim().split('\n');
      expect(new Set(lines.map((line) => JSON.parse(line).device))).toEqual(new Set(['fridge-1']));
    });

    it('keep viewers from changing anything', async () => {
      for (const [url, body] of [
        ['/api/v1/devices', { id: 'x1', model: 'refrigerator' }],
        ['/api/v1/devices/fridge-1/block', undefined],
        [`/api/v1/tickets/${ticketKey}/transitions`, { to: 'triaged', reason: 'r' }],
      ] as const) {
        const answer = await harness.request(viewer, 'POST', url, {
          ...(body ? { body } : {}),
          headers: { 'if-match': '"1"' },
        });
        expect([url, answer.status]).toEqual([url, 403]);
      }
    });
  });

  describe('devices', () => {
    it('are created with a secret shown once, and refused when they exist or are malformed', async () => {
      const created = await harness.request(admin, 'POST', '/api/v1/devices', {
        body: { id: 'new-1', model: 'refrigerator', name: 'New' },
      });
      expect(created.status).toBe(201);
      const device = created.body as DeviceCreated;
      expect(device).toMatchObject({ id: 'new-1', centre: 'north', status: 'active', connected: false });
      expect(device.mqtt).toMatchObject({ clientId: 'acme.new-1', username: 'acme.new-1' });
      expect(device.mqtt.password.length).toBeGreaterThanOrEqual(43);
      expect((await get(admin, '/api/v1/devices/new-1')).text).not.toContain('password');
      const again = await harness.request(admin, 'POST', '/api/v1/devices', {
        body: { id: 'new-1', model: 'refrigerator' },
      });
      expect([again.status, (again.body as Problem).code]).toEqual([409, 'CONFLICT']);
      const unknownCentre = await harness.request(admin, 'POST', '/api/v1/devices', {
        body: { id: 'new-2', model: 'm', centre: 'moon' },
      });
      expect((unknownCentre.body as Problem).errors).toEqual([
        { path: 'body.centre', message: 'there is no centre moon' },
      ]);
    });

    it('may not be told what is not theirs to tell, nor with another type', async () => {
      for (const [body, path] of [
        [{ id: 'bad id', model: 'refrigerator' }, 'body.id'],
        [{ id: 'd', model: 7 }, 'body.model'],
        [{ id: 'd' }, 'body.model'],
        [{ id: 'd', model: 'm', tenant: 'globex' }, 'body'],
        [{ id: 'd', model: 'm', status: 'blocked' }, 'body'],
        [{ id: null, model: 'm' }, 'body.id'],
        [[], 'body'],
      ] as const) {
        const answer = await harness.request(admin, 'POST', '/api/v1/devices', { body });
        expect([JSON.stringify(body), answer.status]).toEqual([JSON.stringify(body), 400]);
        expect(problem.parse(answer.body).errors?.map((error) => error.path)).toContain(path);
      }
    });

    it('are listed in pages', async () => {
      const seen: string[] = [];
      for (let cursor = ''; ; ) {
        const { body } = await get(admin, `/api/v1/devices?limit=2${cursor && `&cursor=${cursor}`}`);
        const page = body as { items: Device[]; nextCursor?: string };
        seen.push(...page.items.map((device) => device.id));
        if (!page.nextCursor) break;
        cursor = page.nextCursor;
      }
      expect(seen).toEqual([...new Set(seen)].sort());
      expect(seen.length).toBeGreaterThanOrEqual(3);
    });

    it('tell whether they are connected and how badly they do', async () => {
      harness.presence({ tenant: 'acme', device: 'fridge-1', connected: true, at: T0, remoteAddress: '::1' });
      expect((await get(admin, '/api/v1/devices/fridge-1')).body).toMatchObject({
        connected: true,
        worstAlert: 'major',
      });
      harness.presence({ tenant: 'acme', device: 'fridge-1', connected: false, at: T0, remoteAddress: '::1' });
      expect((await get(admin, '/api/v1/devices/fridge-1')).body).toMatchObject({ connected: false });
    });

    it('are cut off when they are blocked', async () => {
      const blocked = await harness.request(admin, 'POST', '/api/v1/devices/fridge-3/block');
      expect(blocked.body).toMatchObject({ status: 'blocked' });
      expect(harness.disconnected).toContainEqual({ tenant: 'acme', device: 'fridge-3' });
      expect((await harness.request(admin, 'POST', '/api/v1/devices/fridge-3/unblock')).body).toMatchObject({
        status: 'active',
      });
      expect((await harness.request(admin, 'POST', '/api/v1/devices/absent/block')).status).toBe(404);
    });
  });

  describe('telemetry', () => {
    const range = `from=${new Date(T0 - 86_400_000).toISOString()}&to=${new Date(T0 + 1).toISOString()}`;

    it('is read by range, with units', async () => {
      const { body } = await get(
        viewer,
        `/api/v1/devices/fridge-1/telemetry?signals=compressorVibrationMmPerS,mode&${range}`,
      );
      const { series } = body as { series: { signal: string; unit: string; points: unknown[] }[] };
      expect(series.map((one) => [one.signal, one.unit, one.points.length])).toEqual([
        ['compressorVibrationMmPerS', 'mm/s', 50],
        ['mode', '', 50],
      ]);
    });

    it('is refused with the reason when the question is not a good one', async () => {
      const base = '/api/v1/devices/fridge-1/telemetry';
      for (const [url, path] of [
        [`${base}?${range}`, 'query.signals'],
        [`${base}?signals=noSuchSignal&${range}`, 'query.signals'],
        [`${base}?signals=mode&from=yesterday&to=now`, 'query.from'],
        [`${base}?signals=mode&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z`, 'query.to'],
        [`${base}?signals=mode;drop&${range}`, 'query.signals.0'],
        [`${base}?signals=mode&${range}&points=1e9`, 'query.points'],
        [`${base}?signals=mode&${range}&limit=3`, 'query'],
        ['/api/v1/devices?limit=0', 'query.limit'],
        ['/api/v1/devices?cursor=%00', 'query.cursor'],
        ['/api/v1/tickets?state=lost', 'query.state.0'],
      ] as const) {
        const answer = await get(admin, url);
        expect([url, answer.status]).toEqual([url, 400]);
        expect(problem.parse(answer.body).errors?.map((error) => error.path)).toContain(path);
      }
      const long = await get(admin, `${base}?signals=mode&from=2026-01-01T00:00:00Z&to=2026-03-01T00:00:00Z`);
      expect((long.body as Problem).code).toBe('STORE_QUERY_INVALID');
    });

    it('is compared across a model for those who see all devices', async () => {
      const url = `/api/v1/models/refrigerator/aggregate?signal=compressorVibrationMmPerS&${range}`;
      const { status, body } = await get(viewer, url);
      expect([status, body]).toEqual([
        200,
        {
          model: 'refrigerator',
          signal: 'compressorVibrationMmPerS',
          unit: 'mm/s',
          bucketMs: 3_600_000,
          buckets: [expect.objectContaining({ devices: 1, count: 50 })],
        },
      ]);
      expect((await get(foreigner, url)).body).toMatchObject({ buckets: [] });
      expect((await get(viewer, `${url}&bucket=1m`)).body).toMatchObject({ bucketMs: 60_000 });
      for (const as of [northAgent, southManager]) expect((await get(as, url)).status).toBe(403);
      expect((await get(undefined, url)).status).toBe(401);
      for (const [question, path] of [
        [`signal=mode;drop&${range}`, 'query.signal'],
        [range, 'query.signal'],
        [`signal=mode&${range}&bucket=5s`, 'query.bucket'],
        ['signal=mode&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z', 'query.to'],
        [`signal=mode&${range}&tenant=globex`, 'query'],
      ]) {
        const answer = await get(admin, `/api/v1/models/refrigerator/aggregate?${question}`);
        expect([question, answer.status]).toEqual([question, 400]);
        expect(problem.parse(answer.body).errors?.map((error) => error.path)).toContain(path);
      }
    });

    it('tells the latest values', async () => {
      const { body } = await get(viewer, '/api/v1/devices/fridge-1/latest');
      expect((body as { values: unknown[] }).values).toContainEqual({
        signal: 'mode',
        unit: '',
        at: T0 - 300_000,
        value: 'cooling',
      });
    });

    it('is exported line by line with its whole identity', async () => {
      const answer = await get(viewer, '/api/v1/export/telemetry?device=fridge-1');
      expect(answer.headers['content-type']).toContain('application/x-ndjson');
      const lines = answer.text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      expect(lines).toHaveLength(50);
      expect(lines[0]).toEqual({
        device: 'fridge-1',
        boot: 'b1',
        seq: 0,
        index: 0,
        time: T0 - 50 * 300_000,
        receivedAt: T0 + 50,
        signals: { compressorVibrationMmPerS: 2, mode: 'cooling' },
      });
      expect((await get(viewer, '/api/v1/export/telemetry?device=fridge-2')).text).toBe('');
    });
  });

  describe('alerts and predictions', () => {
    it('are listed, filtered and read', async () => {
      const all = (await get(viewer, '/api/v1/alerts')).body as { items: Alert[] };
      expect(all.items.map((one) => [one.id, one.state, one.ticketKey])).toEqual([
        ['ep-2', 'open', undefined],
        ['ep-1', 'open', ticketKey],
      ]);
      expect(
        ((await get(viewer, '/api/v1/alerts?device=fridge-2&state=open')).body as { items: Alert[] }).items,
      ).toHaveLength(1);
      expect(((await get(viewer, '/api/v1/alerts?state=cleared')).body as { items: Alert[] }).items).toEqual([]);
      expect((await get(viewer, '/api/v1/alerts/ep-1')).body).toMatchObject({ evidence: { score: 0.999 } });
      expect((await get(viewer, '/api/v1/predictions?device=fridge-1')).body).toMatchObject({
        items: [{ device: 'fridge-1', remainingLife: { median: 190, unit: 'h' } }],
      });
    });
  });

  describe('tickets', () => {
    const transition = (as: { user: string }, to: string, headers: Record<string, string> = {}) =>
      harness.request(as, 'POST', `/api/v1/tickets/${ticketKey}/transitions`, {
        body: { to, reason: 'because' },
        headers,
      });

    it('stand in the queue with the newest remaining life', async () => {
      const { body } = await get(agent, '/api/v1/tickets?state=open&device=fridge-1&centre=north');
      expect((body as { items: Ticket[] }).items).toMatchObject([
        {
          key: ticketKey,
          source: 'preemptive',
          state: 'new',
          severity: 'major',
          title: 'Compressor bearing wear: act before it fails',
          centre: 'north',
          remainingLife: { median: 190, lower: 110, upper: 290, unit: 'h' },
        },
      ]);
      expect(ticketKey).toMatch(/^SC-26-\d{6}$/);
    });

    it('carry their evidence, history and an ETag', async () => {
      const answer = await get(agent, `/api/v1/tickets/${ticketKey}`);
      const ticket = answer.body as Ticket & { next: string[] };
      expect(answer.headers.etag).toBe(`"${ticket.version}"`);
      expect(ticket.next).toEqual(['triaged', 'cancelled']);
      expect(ticket.alerts).toEqual(['ep-1']);
      expect(ticket.evidence?.complete).toBe(true);
      expect(ticket.history.map((event) => event.type)).toEqual(['opened', 'evidencePinned']);
    });

    it('change only for somebody who has read the last version', async () => {
      const missing = await transition(agent, 'triaged');
      expect([missing.status, (missing.body as Problem).code]).toEqual([428, 'VERSION_REQUIRED']);
      const stale = await transition(agent, 'triaged', { 'if-match': '"99"' });
      expect([stale.status, (stale.body as Problem).code]).toEqual([412, 'VERSION_STALE']);
      expect((await transition(agent, 'triaged', { 'if-match': '*' })).status).toBe(412);
      const etag = String((await get(agent, `/api/v1/tickets/${ticketKey}`)).headers.etag);
      const racers = await Promise.all(
        Array.from({ length: 8 }, () => transition(agent, 'triaged', { 'if-match': etag })),
      );
      expect(racers.map((one) => one.status).sort()).toEqual([200, ...Array(7).fill(412)]);
      const changed = (await get(agent, `/api/v1/tickets/${ticketKey}`)).body as Ticket;
      expect(changed.state).toBe('triaged');
      expect(changed.history.at(-1)).toMatchObject({
        type: 'transition',
        actor: 'alan',
        from: 'new',
        to: 'triaged',
        reason: 'because',
      });
    });

    it('refuse a step that the life of a ticket does not know, and name what it does', async () => {
      const etag = String((await get(agent, `/api/v1/tickets/${ticketKey}`)).headers.etag);
      const refused = await transition(agent, 'closed', { 'if-match': etag });
      expect(refused.status).toBe(409);
      expect((refused.body as Problem).detail).toContain(
        'triaged cannot become closed; it can become remote_diagnosis, scheduled',
      );
      for (const body of [
        { to: 'gone', reason: 'r' },
        { to: 'scheduled' },
        { to: 'scheduled', reason: '' },
        { to: 'scheduled', reason: 'r', actor: 'x' },
      ]) {
        const broken = await harness.request(agent, 'POST', `/api/v1/tickets/${ticketKey}/transitions`, {
          body,
          headers: { 'if-match': etag },
        });
        expect(broken.status).toBe(400);
      }
    });
  });

  describe('the HTTP door', () => {
    it('answers problems to unknown routes, bad JSON, other media and oversized bodies', async () => {
      const cases = [
        await get(admin, '/api/v1/nothing'),
        await get(undefined, '/nothing'),
        await harness.request(admin, 'POST', '/api/v1/devices', {
          body: '{"id":',
          headers: { 'content-type': 'application/json' },
        }),
        await harness.request(admin, 'POST', '/api/v1/devices', {
          body: '',
          headers: { 'content-type': 'application/json' },
        }),
        await harness.request(admin, 'POST', '/api/v1/devices', {
          body: '<a/>',
          headers: { 'content-type': 'application/xml' },
        }),
        await harness.request(admin, 'POST', '/api/v1/devices', { body: { id: 'x'.repeat(70_000), model: 'm' } }),
        await harness.request(admin, 'POST', '/api/v1/devices', {
          body: '{"__proto__":{"x":1}}',
          headers: { 'content-type': 'application/json' },
        }),
        await get(admin, '/api/v1/devices/%E0%A4%A'),
        await get(admin, '/api/v1/devices/%00'),
      ];
      expect(cases.map((one) => one.status)).toEqual([404, 404, 400, 400, 415, 413, 400, 400, 400]);
      for (const one of cases) expect(problem.parse(one.body).requestId).toMatch(/^[0-9a-f-]{36}$/);
    });

    it('sends the headers that keep a browser safe', async () => {
      const { headers } = await get(undefined, '/');
      expect(headers['content-security-policy']).toContain("default-src 'self'");
      expect(headers['content-security-policy']).not.toContain('unsafe-inline');
      expect(headers['x-content-type-options']).toBe('nosniff');
    });

    it('serves health, readiness, metrics, version, the page and the documents to everybody', async () => {
      expect((await get(undefined, '/healthz')).body).toEqual({ ok: true });
      expect((await get(undefined, '/version')).body).toEqual({ name: 'presage', version: '0.1.0-test' });
      expect((await get(undefined, '/metrics')).text).toContain('presage_up');
      expect((await get(undefined, '/readyz')).status).toBe(200);
      harness.readiness = { sql: { ok: true }, store: { ok: false, detail: 'refused' } };
      const notReady = await get(undefined, '/readyz');
      expect(notReady.status).toBe(503);
      expect(notReady.body).toMatchObject({ ok: false, components: { store: { ok: false, detail: 'refused' } } });
      harness.readiness = { sql: { ok: true } };
      expect((await get(undefined, '/openapi.json')).body).toMatchObject({ openapi: '3.1.0' });
      for (const page of ['/', '/docs', '/vendor/uplot/uPlot.esm.js']) {
        expect([page, (await get(undefined, page)).status]).toEqual([page, 200]);
      }
    });
  });
});
