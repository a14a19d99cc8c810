/** Sessions and live streams over real sockets, and the door's behaviour towards clients that misbehave. */
import { once } from 'node:events';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOwnerLink } from '../../api/accounts/owner-links.ts';
import type { Problem, StreamEvent } from '../../contract/http/resources.ts';
import { streamEvent } from '../../contract/http/resources.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { TelemetryMessage } from '../../contract/wire/sample.ts';
import { type ApiHarness, alertOf, startHarness, storedSample, T0, token } from '../support/api-harness.ts';
import { manualClock } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const clock = manualClock(T0);

interface LiveStream {
  readonly status: number;
  readonly events: { id?: string; data: StreamEvent }[];
  ended: boolean;
  close(): void;
}

async function openStream(
  harness: ApiHarness,
  user: string,
  path = '/api/v1/stream',
  headers: Record<string, string> = {},
): Promise<LiveStream> {
  const request = httpGet(`${harness.api.publicUrl()}${path}`, {
    headers: { authorization: `Bearer ${token('acme', user)}`, ...headers },
  });
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  const stream: LiveStream = {
    status: answer.statusCode ?? 0,
    events: [],
    ended: false,
    close: () => request.destroy(),
  };
  let text = '';
  answer.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const block = text.slice(0, end);
      text = text.slice(end + 2);
      const field = (name: string) =>
        block
          .split('\n')
          .find((line) => line.startsWith(`${name}: `))
          ?.slice(name.length + 2);
      const data = field('data');
      const id = field('id');
      if (data) stream.events.push({ ...(id ? { id } : {}), data: streamEvent.parse(JSON.parse(data)) });
    }
  });
  answer.on('close', () => {
    stream.ended = true;
  });
  answer.on('error', () => undefined);
  request.on('error', () => undefined);
  return stream;
}

const message = (facts: Partial<TelemetryMessage> = {}): TelemetryMessage => ({
  identity: { tenant: 'acme', device: 'fridge-1', boot: 'b', seq: 1 },
  model: 'refrigerator',
  receivedAt: T0,
  backfill: false,
  samples: [{ index: 0, observedAt: T0, signals: { freshFoodTempC: 4 } }],
  ...facts,
});

describeOnDatabases('live', clock, (database) => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await startHarness(database(), clock);
  });
  afterAll(() => harness?.api.stop());

  describe('sessions', () => {
    const open = (link: string, headers: Record<string, string> = {}) =>
      harness.request(undefined, 'POST', '/api/v1/sessions', { body: { link }, headers });
    const cookieOf = (answer: { headers: Record<string, unknown> }) =>
      String(answer.headers['set-cookie']).split(';')[0] ?? '';
    const me = (cookie: string) => harness.request(undefined, 'GET', '/api/v1/me', { headers: { cookie } });

    it('open once for a link, also when two visitors come at the same time', async () => {
      const link = await createOwnerLink(database(), { tenant: 'acme', user: 'owner' }, clock);
      const answers = await Promise.all([open(link), open(link), open(link)]);
      expect(answers.map((answer) => answer.status).sort()).toEqual([201, 401, 401]);
      const opened = answers.find((answer) => answer.status === 201);
      expect(String(opened?.headers['set-cookie'])).toMatch(/HttpOnly.*SameSite=Strict/);
      expect(opened?.body).toEqual({ tenant: 'acme', user: 'owner', role: 'admin' });
    });

    it('end with the sign-out, after a day without a request, and after a week in any case', async () => {
      const sessions = await Promise.all(
        [0, 1, 2].map(async () =>
          cookieOf(await open(await createOwnerLink(database(), { tenant: 'acme', user: 'owner' }, clock))),
        ),
      );
      const [one = '', idle = '', busy = ''] = sessions;
      expect((await me(one)).status).toBe(200);
      expect(
        (await harness.request(undefined, 'DELETE', '/api/v1/sessions', { headers: { cookie: one } })).status,
      ).toBe(204);
      expect((await me(one)).status).toBe(401);
      for (let halfDays = 1; halfDays <= 13; halfDays++) {
        clock.advance(DAY_MS / 2);
        expect((await me(busy)).status).toBe(200);
      }
      expect((await me(idle)).status).toBe(401);
      clock.advance(DAY_MS / 2 + 1);
      expect((await me(busy)).status).toBe(401);
    });

    it('make an address wait that guesses, and nobody else', async () => {
      const app = await harness.api.app();
      const good = await createOwnerLink(database(), { tenant: 'acme', user: 'owner' }, clock);
      const from = (remoteAddress: string, link: string) =>
        app.inject({ method: 'POST', url: '/api/v1/sessions', remoteAddress, payload: { link } });
      for (let guess = 0; guess < 5; guess++) {
        expect((await from('10.9.9.9', `guess-number-${guess}-of-a-link`)).statusCode).toBe(401);
      }
      const waits = await from('10.9.9.9', good);
      expect([waits.statusCode, waits.headers['retry-after'], waits.json().code]).toEqual([429, '900', 'RATE_LIMITED']);
      expect((await from('10.9.9.8', 'guess-from-another-address')).statusCode).toBe(401);
      clock.advance(15 * 60_000);
      expect((await from('10.9.9.9', good)).statusCode).toBe(201);
    });

    it('do not open with a link that is old, or for a user who was disabled', async () => {
      const old = await createOwnerLink(database(), { tenant: 'acme', user: 'owner' }, clock);
      clock.advance(DAY_MS + 1);
      expect((await open(old)).status).toBe(401);
      const link = await createOwnerLink(database(), { tenant: 'acme', user: 'gone' }, clock);
      await database().withSystem((tx) => tx.execute(sql`UPDATE users SET disabled = true WHERE id = 'gone'`));
      expect((await open(link)).status).toBe(401);
    });

    it('are of no use to another site', async () => {
      const cookie = cookieOf(await open(await createOwnerLink(database(), { tenant: 'acme', user: 'owner' }, clock)));
      const post = (origin: string) =>
        harness.request(undefined, 'POST', '/api/v1/devices/fridge-1/unblock', {
          headers: { cookie, origin, host: 'console.example' },
        });
      expect((await post('https://evil.example')).status).toBe(403);
      expect((await post('null')).status).toBe(403);
      expect((await post('https://console.example')).status).toBe(200);
    });

    it('cannot be guessed for long', async () => {
      const statuses: number[] = [];
      for (let n = 0; n < 14; n++) statuses.push((await open(`guess-${String(n).padStart(20, '0')}`)).status);
      expect(statuses.at(-1)).toBe(429);
      const refused = await open('guess-00000000000000000000');
      expect((refused.body as Problem).code).toBe('RATE_LIMITED');
      expect(refused.headers['retry-after']).toBeDefined();
    });
  });

  describe('the stream', () => {
    it('tells of alerts and tickets as they happen, to whom they concern', async () => {
      const [everybody, north, south] = await Promise.all(
        ['vera', 'nora', 'stan'].map((user) => openStream(harness, user)),
      );
      harness.findings.add(alertOf(), alertOf({ tenant: 'globex', episode: 'foreign' }));
      await waitFor(
        'ticket events',
        () => everybody?.events.some((event) => event.data.kind === 'ticket') && (north?.events.length ?? 0) > 0,
      );
      await waitFor(
        'the pinned evidence',
        () => (everybody?.events.filter((event) => event.data.kind === 'ticket').length ?? 0) >= 2,
      );
      const kinds = (stream: LiveStream | undefined) => new Set(stream?.events.map((event) => event.data.kind));
      expect(kinds(everybody)).toEqual(new Set(['alert', 'ticket']));
      expect(kinds(north)).toEqual(new Set(['ticket']));
      expect(south?.events).toEqual([]);
      expect(JSON.stringify(everybody?.events)).not.toContain('foreign');
      for (const stream of [everybody, north, south]) stream?.close();
    });

    it('sends what was missed to a client that comes back', async () => {
      const first = await openStream(harness, 'vera');
      harness.findings.add(alertOf({ episode: 'miss-1', device: 'fridge-2' }));
      await waitFor('the first event', () => first.events.length > 0);
      const lastId = first.events[0]?.id ?? '';
      first.close();
      harness.findings.add(alertOf({ episode: 'miss-2', device: 'fridge-3' }));
      const again = await openStream(harness, 'vera', '/api/v1/stream', { 'last-event-id': lastId });
      await waitFor('the missed event', () => JSON.stringify(again.events).includes('miss-2'));
      expect(again.events.some((event) => event.id === lastId)).toBe(false);
      again.close();
    });

    it('carries live samples of one device, and only of that one', async () => {
      const stream = await openStream(harness, 'vera', '/api/v1/stream?device=fridge-1');
      const deaf = await openStream(harness, 'vera');
      harness.live(message({ identity: { tenant: 'globex', device: 'fridge-1', boot: 'b', seq: 1 } }));
      harness.live(message({ identity: { tenant: 'acme', device: 'fridge-2', boot: 'b', seq: 1 } }));
      harness.live(message({ backfill: true }));
      harness.live(message({ samples: [{ index: 0, observedAt: T0 + 7, signals: { freshFoodTempC: 5 } }] }));
      await waitFor('the sample', () => stream.events.length > 0);
      expect(stream.events).toEqual([
        { data: { kind: 'sample', device: 'fridge-1', time: T0 + 7, signals: { freshFoodTempC: 5 } } },
      ]);
      // Evidence of an earlier ticket may be completed just now.
      expect(deaf.events.filter(({ data }) => (data as { kind: string }).kind === 'sample')).toEqual([]);
      stream.close();
      deaf.close();
    });

    it('refuses a device that is not to be seen', async () => {
      expect((await openStream(harness, 'vera', '/api/v1/stream?device=absent')).status).toBe(404);
      expect((await openStream(harness, 'stan', '/api/v1/stream?device=fridge-1')).status).toBe(404);
    });
  });

  describe('the export', () => {
    it('reads from the store no faster than the client takes, and stops when the client goes', async () => {
      let read = 0;
      let finished = false;
      const original = harness.telemetry.export;
      harness.telemetry.export = async function* () {
        try {
          for (; read < 5_000_000; read++) yield storedSample({ seq: read });
        } finally {
          finished = true;
        }
      };
      const request = httpGet(`${harness.api.publicUrl()}/api/v1/export/telemetry?device=fridge-1`, {
        headers: { authorization: `Bearer ${token('acme', 'vera')}` },
      });
      request.on('error', () => undefined);
      const [answer] = (await once(request, 'response')) as [IncomingMessage];
      answer.on('error', () => undefined);
      answer.pause();
      let before = -1;
      await waitFor('the stream to stand still', async () => {
        const still = read === before;
        before = read;
        return still && read > 0;
      });
      expect(read).toBeLessThan(500_000);
      request.destroy();
      await waitFor('the store to be left', () => finished);
      harness.telemetry.export = original;
    });

    it('answers a problem when the store is away, and cuts the line when it fails half way', async () => {
      const original = harness.telemetry.export;
      harness.telemetry.export = async function* () {
        yield* [];
        throw new Error('secret inside');
      };
      const broken = await harness.request({ user: 'vera' }, 'GET', '/api/v1/export/telemetry?device=fridge-1');
      expect(broken.status).toBe(500);
      expect(broken.text).not.toContain('secret inside');
      harness.telemetry.export = async function* () {
        for (let n = 0; n < 5_000; n++) yield storedSample({ seq: n });
        throw new Error('half way');
      };
      const request = httpGet(`${harness.api.publicUrl()}/api/v1/export/telemetry?device=fridge-1`, {
        headers: { authorization: `Bearer ${token('acme', 'vera')}` },
      });
      const [answer] = (await once(request, 'response')) as [IncomingMessage];
      const outcome = await new Promise((done) => {
        answer.resume();
        answer.once('end', () => done('complete'));
        answer.once('error', () => done('cut'));
      });
      expect(outcome).toBe('cut');
      harness.telemetry.export = original;
    });
  });

  it('answers nonsense on the socket with a problem and goes on', async () => {
    const port = harness.api.ports().http;
    const socket = connect(port, '127.0.0.1');
    socket.write('\x16\x03\x01 this is not http\r\n\r\n');
    const [data] = (await once(socket, 'data')) as [Buffer];
    expect(data.toString()).toContain('400 Bad Request');
    expect(data.toString()).toContain('REQUEST_INVALID');
    socket.destroy();
    expect((await harness.request(undefined, 'GET', '/healthz')).status).toBe(200);
  });
});
