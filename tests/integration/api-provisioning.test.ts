/** How a device gets, renews and loses its secret, and what remains visible of it when it changes hands. */
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { applySeed } from '../../api/db/seed.ts';
import type {
  Alert,
  CustodyEntry,
  Device,
  DeviceCreated,
  Problem,
  Ticket,
  TicketSummary,
} from '../../contract/http/resources.ts';
import { parseClientId } from '../../contract/kernel/ids.ts';
import { HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import {
  type ApiHarness,
  alertOf,
  startHarness,
  storedSample,
  T0,
  TEST_KEYS,
  testSeed,
} from '../support/api-harness.ts';
import { manualClock } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const clock = manualClock(T0);
const admin = { user: 'anna' };
const northAgent = { user: 'nora' };
const southManager = { user: 'stan' };
type Credentials = DeviceCreated['mqtt'];

describeOnDatabases('provisioning', clock, (database) => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await startHarness(database(), clock);
  });
  afterAll(() => harness?.api.stop());

  type As = Parameters<ApiHarness['request']>[0];
  const post = async <Body = Problem>(as: As, path: string, body: object) => {
    const answer = await harness.request(as, 'POST', `/api/v1/${path}`, { body });
    return { status: answer.status, body: answer.body as Body };
  };
  const canConnect = async ({ clientId, password }: Credentials) => {
    const ref = parseClientId(clientId);
    return ref !== undefined && (await harness.directory.authenticate(ref, password)) !== undefined;
  };
  const custodyOf = async (device: string) => {
    const { body } = await harness.request(admin, 'GET', `/api/v1/custody?device=${device}`);
    return (body as { items: CustodyEntry[] }).items;
  };
  const setRules = (body: object, as: As = admin) => harness.request(as, 'PUT', '/api/v1/provisioning', { body });
  const newClaim = async () => (await post<{ claim: string }>(admin, 'provisioning/claim-secrets', {})).body.claim;
  const claim = (body: object) =>
    post<Credentials & Problem>(undefined, 'claims', { tenant: 'acme', model: 'refrigerator', ...body });
  const addDevice = async (id: string, more: object = {}) =>
    (await post<DeviceCreated>(admin, 'devices', { id, model: 'refrigerator', ...more })).body;

  describe('claims', () => {
    it('are off until somebody allows them', async () => {
      expect((await harness.request(admin, 'GET', '/api/v1/provisioning')).body).toMatchObject({
        mode: 'off',
        hasClaimSecret: false,
      });
      expect((await post(admin, 'provisioning/claim-secrets', {})).status).toBe(409);
    });

    it('are the business of managers of the whole tenant', async () => {
      for (const as of [{ user: 'alan' }, southManager]) {
        expect((await setRules({ mode: 'off' }, as)).status).toBe(403);
        expect((await harness.request(as, 'GET', '/api/v1/provisioning')).status).toBe(403);
      }
      expect((await setRules({ mode: 'off', centre: 'nowhere' })).status).toBe(400);
    });

    it('are refused in the same words, whatever is wrong', async () => {
      await setRules({ mode: 'create_on_connect', models: ['refrigerator'], maxDevices: 2 });
      const old = await newClaim();
      const current = await newClaim();
      const guess = 'psc_guess-guess-guess-guess-guess';
      const details = [];
      for (const body of [
        { claim: guess, device: 'c-0' },
        { claim: old, device: 'c-0' },
        { claim: current, device: 'c-0', tenant: 'globex' },
        { claim: current, device: 'c-0', tenant: 'nobody' },
      ]) {
        const answer = await claim(body);
        details.push([answer.status, answer.body.detail]);
      }
      expect(new Set(details.map(String)).size).toBe(1);
      expect(details[0]?.[0]).toBe(401);
      await setRules({ mode: 'off' });
      expect((await claim({ claim: current, device: 'c-0' })).status).toBe(401);
    });

    it('create a device, which may ask again until it has connected', async () => {
      await setRules({ mode: 'create_on_connect', models: ['refrigerator'], maxDevices: 2, centre: 'south' });
      const secret = await newClaim();
      const first = await claim({ claim: secret, device: 'c-1', serial: 'SN-1' });
      expect([first.status, first.body.clientId]).toEqual([201, 'acme.c-1']);
      const second = await claim({ claim: secret, device: 'c-1', serial: 'SN-1' });
      expect(await canConnect(first.body)).toBe(false);
      expect(await canConnect(second.body)).toBe(true);
      expect((await claim({ claim: secret, device: 'c-1', serial: 'SN-1' })).status).toBe(409);
      expect(await canConnect(second.body)).toBe(true);
      const { body } = await harness.request(admin, 'GET', '/api/v1/devices/c-1');
      expect(body).toMatchObject({ serial: 'SN-1', centre: 'south', model: 'refrigerator' });
      expect((await custodyOf('c-1')).map((one) => one.event)).toEqual(['claimed', 'secretChanged']);
    });

    it('keep to the models, the number and the serial numbers', async () => {
      const secret = await newClaim();
      expect((await claim({ claim: secret, device: 'c-2', model: 'turbofan' })).status).toBe(422);
      expect((await claim({ claim: secret, device: 'c-2', serial: 'SN-1' })).status).toBe(409);
      expect((await claim({ claim: secret, device: 'fridge-1' })).status).toBe(409);
      expect((await claim({ claim: secret, device: 'c-2' })).status).toBe(201);
      expect((await claim({ claim: secret, device: 'c-3' })).status).toBe(422);
    });

    it('take over what was registered in advance, and nothing else', async () => {
      await setRules({ mode: 'pre_registered' });
      const secret = await newClaim();
      const made = await addDevice('p-1', { serial: 'SN-P1', claimable: true });
      expect(made).toMatchObject({ awaitsClaim: true });
      expect(made.mqtt).toBeUndefined();
      expect((await claim({ claim: secret, device: 'p-1', serial: 'SN-OTHER' })).status).toBe(422);
      expect((await claim({ claim: secret, device: 'p-1' })).status).toBe(422);
      expect((await claim({ claim: secret, device: 'p-1', serial: 'SN-P1', model: 'turbofan' })).status).toBe(422);
      expect((await claim({ claim: secret, device: 'p-2' })).status).toBe(422);
      const got = await claim({ claim: secret, device: 'p-1', serial: 'SN-P1' });
      expect(await canConnect(got.body)).toBe(true);
    });
  });

  describe('rotation', () => {
    const rotate = async (id: string, body: object = {}) =>
      (await post<DeviceCreated>(admin, `devices/${id}/rotate`, body)).body.mqtt;

    it('lets both secrets in until the new one was used', async () => {
      const { mqtt: old } = await addDevice('r-1');
      const next = await rotate('r-1');
      expect(harness.disconnected).not.toContainEqual({ tenant: 'acme', device: 'r-1' });
      expect(await canConnect(old)).toBe(true);
      expect(await canConnect(next)).toBe(true);
      expect(await canConnect(old)).toBe(false);
      expect(await canConnect(next)).toBe(true);
      const events = (await custodyOf('r-1')).map(({ seq, event, actor }) => [seq, event, actor]);
      expect(events).toEqual([
        [1, 'registered', 'anna'],
        [2, 'secretOffered', 'anna'],
        [3, 'secretChanged', 'device'],
      ]);
    });

    it('ends the old secret with the grace time', async () => {
      const { mqtt: old } = await addDevice('r-2');
      const next = await rotate('r-2', { graceHours: 1 });
      clock.advance(HOUR_MS - 1);
      expect(await canConnect(old)).toBe(true);
      clock.advance(1);
      expect(await canConnect(old)).toBe(false);
      expect(await canConnect(next)).toBe(true);
    });

    it('without grace cuts the device off', async () => {
      const { mqtt: old } = await addDevice('r-3');
      expect(await canConnect(old)).toBe(true);
      const next = await rotate('r-3', { graceHours: 0 });
      expect(harness.disconnected).toContainEqual({ tenant: 'acme', device: 'r-3' });
      expect([await canConnect(old), await canConnect(next)]).toEqual([false, true]);
    });

    it('by the device itself needs no visit and no operator', async () => {
      const { mqtt: old } = await addDevice('r-4');
      const renew = ({ clientId, password }: Credentials) =>
        post<Credentials>(undefined, 'device-secrets', { clientId, password });
      const lost = (await renew(old)).body;
      const { status, body: next } = await renew(old);
      expect(status).toBe(201);
      expect([await canConnect(lost), await canConnect(old), await canConnect(next)]).toEqual([false, true, true]);
      expect([(await renew(old)).status, (await renew(lost)).status]).toEqual([401, 401]);
      expect((await custodyOf('r-4')).map((one) => one.event)).toEqual([
        'registered',
        'secretOffered',
        'secretChanged',
      ]);
      await rotate('r-4');
      expect((await renew(next)).status).toBe(409);
    });

    it('is not undone by the seed file of the next start', async () => {
      const seeded = {
        clientId: 'acme.fridge-2',
        username: 'acme.fridge-2',
        password: 'secret-of-acme-fridge-2-0123456789',
      };
      expect(await canConnect(seeded)).toBe(true);
      const next = await rotate('fridge-2');
      expect(await canConnect(next)).toBe(true);
      await applySeed(database(), testSeed(), TEST_KEYS, clock);
      clock.advance(2 * MINUTE_MS);
      expect([await canConnect(seeded), await canConnect(next)]).toEqual([false, true]);
    });
  });

  describe('the end', () => {
    it('is for ever: no connection, no change, no second device of that id', async () => {
      const { mqtt } = await addDevice('d-1', { serial: 'SN-D1' });
      expect(await canConnect(mqtt)).toBe(true);
      const ended = await post<Device>(admin, 'devices/d-1/decommission', { reason: 'scrapped' });
      expect([ended.status, ended.body.status]).toEqual([200, 'decommissioned']);
      expect(harness.disconnected).toContainEqual({ tenant: 'acme', device: 'd-1' });
      expect(await canConnect(mqtt)).toBe(false);
      for (const [path, body] of [
        ['unblock', {}],
        ['block', {}],
        ['rotate', {}],
        ['transfer', { centre: 'south', reason: 'x' }],
        ['decommission', { reason: 'again' }],
      ] as const) {
        expect([path, (await post(admin, `devices/d-1/${path}`, body)).status]).toEqual([path, 409]);
      }
      expect((await post(admin, 'devices', { id: 'd-1', model: 'refrigerator' })).status).toBe(409);
      expect((await custodyOf('d-1')).at(-1)).toMatchObject({
        event: 'decommissioned',
        reason: 'scrapped',
        serial: 'SN-D1',
      });
    });

    it('gives the serial number free for the machine’s next life', async () => {
      expect((await addDevice('d-2', { serial: 'SN-D1' })).id).toBe('d-2');
      const rivals = ['d-3', 'd-4'].map((id) => post(admin, 'devices', { id, model: 'refrigerator', serial: 'SN-D3' }));
      expect((await Promise.all(rivals)).map((one) => one.status).sort()).toEqual([201, 409]);
      const { body } = await harness.request(admin, 'GET', '/api/v1/custody?serial=SN-D1');
      const devices = (body as { items: CustodyEntry[] }).items.map((one) => one.device);
      expect(devices).toEqual(['d-1', 'd-1', 'd-2']);
    });
  });

  describe('a transfer', () => {
    const southAgent = southManager;
    const list = async <Item>(as: As, path: string) =>
      ((await harness.request(as, 'GET', `/api/v1/${path}`)).body as { items: Item[] }).items;
    const times = async (as: As) => {
      const { text } = await harness.request(as, 'GET', '/api/v1/export/telemetry?device=fridge-1');
      return text
        .split('\n')
        .filter(Boolean)
        .map((line) => (JSON.parse(line) as { time: number }).time);
    };
    const raise = async (as: As, episode: string, at: number, facts: object = {}) => {
      harness.findings.add(alertOf({ episode, at, onset: at - HOUR_MS, ...facts }));
      return waitFor(`the ticket of ${episode}`, async () =>
        (await list<TicketSummary>(as, 'tickets')).find((one) => one.observedAt === at),
      );
    };
    let before = 0;
    let transferredAt = 0;
    let oldTicket: TicketSummary;

    it('is refused while a ticket is open', async () => {
      before = clock.now();
      harness.telemetry.samples.push(storedSample({ seq: 1, observedAt: before - MINUTE_MS }));
      oldTicket = await raise(northAgent, 'ep-before', before - MINUTE_MS);
      expect((await harness.request(northAgent, 'GET', '/api/v1/devices/fridge-1')).status).toBe(200);
      const refused = await post(admin, 'devices/fridge-1/transfer', { centre: 'south', reason: 'sold' });
      expect([refused.status, refused.body.detail]).toEqual([409, expect.stringContaining(oldTicket.key)]);
    });

    it('takes everything from the old centre and gives the new one nothing of before', async () => {
      const path = `tickets/${oldTicket.key}`;
      await waitFor('its evidence', async () => {
        const { body } = await harness.request(admin, 'GET', `/api/v1/${path}`);
        return (body as Ticket).evidence?.complete;
      });
      const { headers } = await harness.request(admin, 'GET', `/api/v1/${path}`);
      const cancelled = await harness.request(admin, 'POST', `/api/v1/${path}/transitions`, {
        body: { to: 'cancelled', reason: 'the machine was sold' },
        headers: { 'if-match': String(headers.etag) },
      });
      expect(cancelled.status).toBe(200);
      clock.advance(MINUTE_MS);
      transferredAt = clock.now();
      const body = { centre: 'south', reason: 'sold' };
      expect((await post<Device>(admin, 'devices/fridge-1/transfer', body)).body).toMatchObject({ centre: 'south' });
      expect((await post(admin, 'devices/fridge-1/transfer', body)).status).toBe(409);
      for (const as of [northAgent, southAgent]) {
        for (const closed of [path, 'devices/fridge-1', 'devices/fridge-1/latest', 'alerts/ep-before']) {
          expect([as.user, closed, (await harness.request(as, 'GET', `/api/v1/${closed}`)).status]).toEqual([
            as.user,
            closed,
            404,
          ]);
        }
        expect(await list(as, 'tickets')).toEqual([]);
      }
    });

    it('shows the new centre what comes after, and only that', async () => {
      clock.advance(10 * MINUTE_MS);
      const after = clock.now();
      harness.telemetry.samples.push(storedSample({ seq: 2, observedAt: after }));
      const fresh = await raise(southAgent, 'ep-after', after, { faultKey: 'doorSealLeak', component: 'door' });
      expect(fresh.centre).toBe('south');
      expect(await times(southAgent)).toEqual([after]);
      expect(await times(admin)).toEqual([before - MINUTE_MS, after]);
      expect((await list<Alert>(southAgent, 'alerts')).map((one) => one.id)).toEqual(['ep-after']);
      const whole = `from=${new Date(T0 - HOUR_MS).toISOString()}&to=${new Date(after + 1).toISOString()}`;
      const path = `/api/v1/devices/fridge-1/telemetry?signals=compressorVibrationMmPerS&${whole}`;
      const series = (await harness.request(southAgent, 'GET', path)).body as { series: { points: [number][] }[] };
      expect(series.series[0]?.points.map(([at]) => at)).toEqual([after]);
      const earlier = path.replace(/to=.*$/, `to=${new Date(transferredAt).toISOString()}`);
      expect((await harness.request(southAgent, 'GET', earlier)).body).toMatchObject({ series: [{ points: [] }] });
      const { body } = await harness.request(southAgent, 'GET', `/api/v1/tickets/${fresh.key}`);
      expect((body as Ticket).evidence?.from).toBeGreaterThanOrEqual(transferredAt);
      expect((await harness.request(northAgent, 'GET', `/api/v1/tickets/${fresh.key}`)).status).toBe(404);
      expect((await harness.request(northAgent, 'GET', '/api/v1/devices/fridge-1')).status).toBe(404);
    });

    it('keeps the whole story for users of the whole tenant', async () => {
      expect((await list<TicketSummary>(admin, 'tickets?device=fridge-1')).length).toBe(2);
      const [entry] = await custodyOf('fridge-1');
      expect(entry).toEqual({
        device: 'fridge-1',
        seq: 1,
        at: transferredAt,
        event: 'transferred',
        actor: 'anna',
        from: 'north',
        to: 'south',
        reason: 'sold',
      });
      expect((await harness.request(northAgent, 'GET', '/api/v1/custody')).status).toBe(403);
    });

    it.each(['withTenant', 'withSystem'] as const)('cannot be undone in the log %s', async (way) => {
      const forge = (statement: ReturnType<typeof sql>) =>
        way === 'withTenant'
          ? database().withTenant({ tenant: 'acme' }, (tx) => tx.execute(statement))
          : database().withSystem((tx) => tx.execute(statement));
      await expect(forge(sql`UPDATE custody SET at = 0`)).rejects.toThrow();
      await expect(forge(sql`DELETE FROM custody`)).rejects.toThrow();
    });
  });
});
