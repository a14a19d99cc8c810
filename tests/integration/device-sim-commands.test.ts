/** `presage sim` and `presage replay` as programs: complete, resumable after kill -9, clear about mistakes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CMAPSS_SIGNALS } from '../../contract/devices/turbofan.ts';
import { type SeedFile, seedFile } from '../../contract/kernel/seed.ts';
import { HOUR_MS } from '../../contract/kernel/time.ts';
import { PAYLOADS } from '../../contract/wire/payloads.ts';
import {
  type RecordingBroker,
  type RecordingBrokerOptions,
  startRecordingBroker,
} from '../support/recording-broker.ts';
import { waitFor } from '../support/wait-for.ts';

const PROGRAM = new URL('../support/device-commands.ts', import.meta.url).pathname;
const SECRET = 'a-secret-of-at-least-22-characters';
let folder: string;
const cleanUp: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'presage-sim-'));
});
afterEach(async () => {
  for (const task of cleanUp.splice(0).reverse()) await task();
  await rm(folder, { recursive: true, force: true });
});

async function broker(options: RecordingBrokerOptions = { password: SECRET }): Promise<RecordingBroker> {
  const server = await startRecordingBroker(options);
  cleanUp.push(() => server.close());
  return server;
}

interface Run {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; stdout: string; stderr: string }>;
}
function presage(...args: string[]): Run {
  const child = spawn(process.execPath, ['--import', 'tsx', PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }));
  cleanUp.push(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return { child, ended };
}

const LIVES = [60, 90, 75];
/** Values with many digits, so that a rounding anywhere would show. */
const recordedValue = (unit: number, cycle: number, column: number): number =>
  Math.sin(unit * 7 + cycle * 3 + column) * 10 ** (column % 5);
async function recordingFile(): Promise<string> {
  const path = join(folder, 'recording.txt');
  const lines = LIVES.flatMap((life, u) =>
    Array.from({ length: life }, (_, c) =>
      [u + 1, c + 1, ...CMAPSS_SIGNALS.map((_s, i) => recordedValue(u + 1, c + 1, i))].join(' '),
    ),
  );
  await writeFile(path, lines.join('\n'));
  return path;
}
async function seedOf(ids: readonly string[], model = 'turbofan'): Promise<string> {
  const seed: SeedFile = {
    tenants: [
      {
        id: 'acme',
        name: 'Acme',
        centres: [{ id: 'c', name: 'C', timeZone: 'UTC' }],
        users: [],
        devices: ids.map((id) => ({ id, model, secret: SECRET })),
      },
    ],
  };
  const path = join(folder, 'seed.json');
  await writeFile(path, JSON.stringify(seed));
  return path;
}
const engines = (count = 3): string[] => Array.from({ length: count }, (_, i) => `engine-00${i + 1}`);
const telemetryOf = (server: RecordingBroker, device: string) =>
  server.received
    .filter((message) => message.device === device && message.channel === 'telemetry')
    .map(({ payload }) => PAYLOADS.telemetry.parse(payload));
const countTelemetry = (server: RecordingBroker): number =>
  server.received.filter(({ channel }) => channel === 'telemetry').length;

/** What a server that removes repetitions has in the end: every row once, values equal, one boot, intervals kept. */
function expectWholeRecording(server: RecordingBroker): void {
  const ends: number[] = [];
  LIVES.forEach((life, u) => {
    const messages = telemetryOf(server, `engine-00${u + 1}`);
    expect(new Set(messages.map(({ boot }) => boot)).size).toBe(1);
    const bySeq = new Map<number, string>();
    for (const message of messages) {
      const text = JSON.stringify(message);
      expect(bySeq.get(message.seq) ?? text).toBe(text);
      bySeq.set(message.seq, text);
    }
    const samples = [...bySeq]
      .sort(([a], [b]) => a - b)
      .flatMap(([, text]) => {
        const { t, s } = PAYLOADS.telemetry.parse(JSON.parse(text));
        return s.map(([offset, signals]) => ({ at: t + offset, signals }));
      });
    expect(samples.map(({ signals }) => signals.cycle)).toEqual(Array.from({ length: life }, (_, c) => c + 1));
    samples.forEach(({ at, signals }, c) => {
      expect(at - (samples[0]?.at ?? 0)).toBe(c * HOUR_MS);
      CMAPSS_SIGNALS.forEach((name, i) => {
        if (signals[name] !== recordedValue(u + 1, c + 1, i))
          expect.fail(`${name} of cycle ${c + 1}: ${signals[name]}`);
      });
    });
    ends.push((samples[0]?.at ?? 0) + (Math.max(...LIVES) - 1) * HOUR_MS);
  });
  expect(new Set(ends).size).toBe(1);
}

describe('presage replay', () => {
  it('sends a recording whole and in time order, and says what it did', async () => {
    const server = await broker();
    const end = '2026-05-01T00:00:00Z';
    const run = presage(
      'replay',
      await recordingFile(),
      '--broker',
      server.url,
      '--seed',
      await seedOf(engines()),
      '--end',
      end,
      '--json',
    );
    const { code, stdout, stderr } = await run.ended;
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      devices: 3,
      samplesSent: 225,
      samplesAcked: 225,
      samplesResumed: 0,
      complete: true,
    });
    expectWholeRecording(server);
    const times = server.received
      .filter(({ channel }) => channel === 'telemetry')
      .map(({ payload }) => PAYLOADS.telemetry.parse(payload).t);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(Math.max(...telemetryOf(server, 'engine-002').flatMap(({ t, s }) => s.map(([o]) => t + o)))).toBe(
      Date.parse(end),
    );
  });

  it('takes some units and a share of their lives, in messages of the size asked for', async () => {
    const server = await broker();
    const run = presage(
      'replay',
      await recordingFile(),
      '--broker',
      server.url,
      '--seed',
      await seedOf(['x-001', 'x-002', 'x-003']),
      ...'--prefix x- --units 2-3 --until-fraction 0.2 --batch 4'.split(' '),
    );
    const { code, stdout, stderr } = await run.ended;
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^2 devices, 33 samples sent, 33 acknowledged, 0 messages resent/);
    expect(stderr).toMatch(/shift: cycle 0 of the recording is /);
    expect(telemetryOf(server, 'x-001')).toEqual([]);
    expect(telemetryOf(server, 'x-002').map(({ s }) => s.length)).toEqual([4, 4, 4, 4, 2]);
  });

  it.each([7, 23])(
    'goes on after kill -9 with the same identities, and nothing is missing (%d messages in)',
    async (killAfter) => {
      const server = await broker();
      const state = join(folder, 'state.json');
      const args = [
        'replay',
        await recordingFile(),
        '--broker',
        server.url,
        '--seed',
        await seedOf(engines()),
        '--state',
        state,
        '--json',
        ...'--speed 40 --batch 3'.split(' '),
      ];
      const first = presage(...args);
      await waitFor('part of the recording', () => countTelemetry(server) >= killAfter);
      first.child.kill('SIGKILL');
      await first.ended;
      const before = countTelemetry(server);
      expect(before).toBeLessThan(75);
      const { code, stdout, stderr } = await presage(...args).ended;
      expect(code, stderr).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ complete: true });
      expectWholeRecording(server);
      expect((await stat(state)).mode & 0o777).toBe(0o600);
      const again = await presage(...args).ended;
      expect(JSON.parse(again.stdout)).toMatchObject({ samplesSent: 0, samplesResumed: 225, complete: true });
    },
  );

  it('survives a broker that is killed twice', async () => {
    const server = await broker();
    const run = presage(
      'replay',
      await recordingFile(),
      '--broker',
      server.url,
      '--seed',
      await seedOf(engines()),
      ...'--speed 60 --batch 2 --json'.split(' '),
    );
    for (const count of [20, 60]) {
      await waitFor('part of the recording', () => countTelemetry(server) >= count);
      await server.kill();
      await server.restart();
    }
    const { code, stdout, stderr } = await run.ended;
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout).reconnects).toBeGreaterThanOrEqual(3);
    expectWholeRecording(server);
  });

  it('ends with 1 and the number that is missing when it is interrupted', async () => {
    const server = await broker();
    const run = presage(
      'replay',
      await recordingFile(),
      '--broker',
      server.url,
      '--seed',
      await seedOf(engines()),
      ...'--speed 5 --json'.split(' '),
    );
    await waitFor('the beginning', () => countTelemetry(server) >= 3);
    run.child.kill('SIGINT');
    const { code, stdout } = await run.ended;
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ complete: false });
  });

  it('replays NAB files as devices of their names, each value at its time', async () => {
    const server = await broker();
    const start = Date.UTC(2014, 3, 10, 0, 4);
    const times = Array.from({ length: 70 }, (_, i) => start + (i < 40 ? i : i + 7) * 5 * 60_000);
    const text = (at: number): string => new Date(at).toISOString().slice(0, 19).replace('T', ' ');
    const nab = (name: string, scale: number): Promise<string> => {
      const path = join(folder, name);
      const lines = times.map((at, i) => `${text(at)},${(scale * Math.sin(i)).toFixed(6)}`);
      return writeFile(path, ['timestamp,value', ...lines].join('\n')).then(() => path);
    };
    const args = [
      'replay',
      await nab('machine_temperature.csv', 80),
      await nab('cpu-5f5533.csv', 3),
      '--broker',
      server.url,
    ];
    const seed = await seedOf(['machine_temperature', 'cpu-5f5533'], 'series');
    const run = presage(...args, '--seed', seed, '--end', '2026-05-01T00:00:00Z', '--state', join(folder, 's.json'));
    const { code, stderr, stdout } = await run.ended;
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^2 devices, 140 samples sent, 140 acknowledged/);
    expect(stderr).toMatch(/a row every 5m/);
    expect(stderr).toMatch(/not in model series, declared: value/);
    const birth = server.received.find(({ channel, device }) => channel === 'birth' && device === 'cpu-5f5533');
    expect(PAYLOADS.birth.parse(birth?.payload)).toMatchObject({
      model: 'series',
      signals: [{ name: 'value', kind: 'number', intervalMs: 300_000 }],
    });
    const samples = telemetryOf(server, 'machine_temperature').flatMap(({ t, s }) =>
      s.map(([offset, signals]) => [t + offset, signals.value]),
    );
    const shift = Date.parse('2026-05-01T00:00:00Z') - (times.at(-1) ?? 0);
    expect(samples).toEqual(times.map((at, i) => [at + shift, Number((80 * Math.sin(i)).toFixed(6))]));
    const again = await presage(...args, '--seed', seed, '--state', join(folder, 's.json'), '--json').ended;
    expect(JSON.parse(again.stdout)).toMatchObject({ samplesSent: 0, samplesResumed: 140, complete: true });
  });

  it('replays OBD-II logs of several trips as one car, by a file that says which column is what', async () => {
    const server = await broker();
    const header =
      'TIME_S (), ENGINE_RPM (),VEHICLE_SPEED (),COOLANT_TEMPERATURE (),CONTROL_MODULE_VOLTAGE (),X_UNUSED ()';
    const row = (i: number): string => `${i / 2}, ${800 + i}.0, ${i}, ${20 + i}, 14.1, 7,`;
    const trip = (name: string, rows: number, tail = ''): Promise<string> => {
      const path = join(folder, name);
      const lines = Array.from({ length: rows }, (_, i) => row(i));
      return writeFile(path, `${[header, ...lines].join('\r\n')}\r\n${tail}`).then(() => path);
    };
    const columns = join(folder, 'obd.json');
    await writeFile(
      columns,
      JSON.stringify({
        model: 'combustionCar',
        time: { column: 'TIME_S ()', unit: 's' },
        device: { name: 'car-7', pause: '8h' },
        signals: {
          'ENGINE_RPM ()': 'engineSpeedRpm',
          'VEHICLE_SPEED ()': { signal: 'vehicleSpeedKmH', factor: 1.609344 },
          'COOLANT_TEMPERATURE ()': 'coolantTempC',
          'CONTROL_MODULE_VOLTAGE ()': 'moduleVoltageV',
        },
      }),
    );
    const files = [await trip('drive1.csv', 30), await trip('drive2.csv', 20, '10, 8')];
    const seed = await seedOf(['car-7'], 'combustionCar');
    const run = presage(
      'replay',
      ...files,
      '--columns',
      columns,
      '--broker',
      server.url,
      '--seed',
      seed,
      '--batch',
      '8',
    );
    const { code, stderr, stdout } = await run.ended;
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^1 devices, 50 samples sent, 50 acknowledged/);
    expect(stderr).not.toMatch(/declared/);
    const messages = telemetryOf(server, 'car-7');
    expect(Math.max(...messages.map(({ s }) => s.length))).toBe(8);
    const samples = messages.flatMap(({ t, s }) => s.map(([offset, signals]) => ({ at: t + offset, signals })));
    expect(samples.map(({ at }) => at - (samples[0]?.at ?? 0))).toEqual([
      ...Array.from({ length: 30 }, (_, i) => i * 500),
      ...Array.from({ length: 20 }, (_, i) => 14_500 + 8 * HOUR_MS + i * 500),
    ]);
    expect(samples[3]?.signals).toEqual({
      engineSpeedRpm: 803,
      vehicleSpeedKmH: 3 * 1.609344,
      coolantTempC: 23,
      moduleVoltageV: 14.1,
    });
  });

  it('can be interrupted while it waits for a broker that is not there', async () => {
    const server = await broker();
    await server.close();
    const state = join(folder, 'state.json');
    const run = presage(
      'replay',
      await recordingFile(),
      '--broker',
      server.url,
      '--seed',
      await seedOf(engines()),
      '--state',
      state,
    );
    await waitFor('the state file', () => stat(state).catch(() => undefined));
    run.child.kill('SIGTERM');
    const { code, stdout } = await run.ended;
    expect(code).toBe(1);
    expect(stdout).toMatch(/0 samples sent.*\(incomplete\)/);
  });

  it.each([
    ['a bad recording', ['--units', '1'], '1 1 x\n', /RECORDING_INVALID.*bad\.txt, line 1, column 4/],
    ['a device without a secret', ['--prefix', 'other-'], undefined, /CONFIG_INVALID.*has no device other-001/],
    ['an unknown model', ['--model', 'toaster'], undefined, /CONFIG_INVALID.*toaster/],
    ['a speed of nothing', ['--speed', '0'], undefined, /CONFIG_INVALID.*--speed/],
    ['a share above 1', ['--until-fraction', '3'], undefined, /CONFIG_INVALID.*--until-fraction/],
    ['a time without zone', ['--end', '2026-05-01'], undefined, /CONFIG_INVALID.*--end/],
    [
      'an address that is none',
      ['--broker', '127.0.0.1:1883'],
      undefined,
      /CONFIG_INVALID.*--broker must begin with mqtt/,
    ],
    ['two sources of secrets', ['--provision'], undefined, /CONFIG_INVALID.*not both/],
  ])('refuses %s before it sends anything', async (_what, extra, content, words) => {
    const server = await broker();
    const path = content === undefined ? await recordingFile() : join(folder, 'bad.txt');
    if (content !== undefined) await writeFile(path, content);
    const { code, stderr } = await presage(
      'replay',
      path,
      '--broker',
      server.url,
      '--seed',
      await seedOf(engines()),
      ...extra,
    ).ended;
    expect(stderr).toMatch(words);
    expect(code).toBe(1);
    expect(server.received).toEqual([]);
  });
});

describe('presage sim', () => {
  it('plays every model with confounders and lying sensors, and tells the truth in the file alone', async () => {
    const server = await broker();
    const models = ['combustionCar', 'electricVan', 'heatPump', 'refrigerator', 'turbofan', 'washingMachine'];
    const seed = join(folder, 'all.json');
    const devices = models.map((model) => ({ id: `d-${model}`, model, secret: SECRET }));
    const tenant = { id: 'acme', name: 'Acme', centres: [{ id: 'c', name: 'C', timeZone: 'UTC' }], users: [], devices };
    await writeFile(seed, JSON.stringify({ tenants: [tenant] } satisfies SeedFile));
    const truth = join(folder, 'truth.json');
    const run = presage(
      ...['sim', '--broker', server.url, '--seed', seed, '--truth', truth, '--devices', '6', '--days', '2'],
      ...'--faults tyreSlowLeak:0.5-1.5,drainPumpClog:0.5-1.5@0.6 --confounders 1 --lies 1 --json'.split(' '),
    );
    const { code, stdout, stderr } = await run.ended;
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ devices: 6, complete: true });
    for (const model of models) expect(telemetryOf(server, `d-${model}`).length).toBeGreaterThan(0);
    const told = JSON.parse(await readFile(truth, 'utf8'));
    expect(told.faults).toMatchObject([{ faultKey: 'tyreSlowLeak' }, { faultKey: 'drainPumpClog' }]);
    expect(told.faults[1].failsAt).toBeUndefined();
    expect(told.disturbed).toHaveLength(6);
    expect(told.disturbed[0]).toMatchObject({ device: 'd-combustionCar', lies: [{ strength: expect.any(Number) }] });
    expect(JSON.stringify(server.received)).not.toMatch(/Leak|Clog|stuck|dropOut|loadStep|relocation|strength/);
  });

  const sim = '--devices 4 --days 2 --faults hpcDegradation:0.5-1.5 --random-seed 3 --json'.split(' ');

  it('creates devices through the API, keeps their secrets, and uses them again', async () => {
    const server = await broker();
    const api = await fakeApi();
    const saved = join(folder, 'fleet.json');
    const truth = join(folder, 'truth.json');
    const args = [
      'sim',
      '--broker',
      server.url,
      '--provision',
      '--api',
      api.url,
      '--token',
      'good',
      '--save-seed',
      saved,
      '--truth',
      truth,
      ...sim,
    ];
    const { code, stdout, stderr } = await presage(...args).ended;
    expect(code, stderr).toBe(0);
    const summary = JSON.parse(stdout);
    expect(summary).toMatchObject({
      devices: 4,
      complete: true,
      truth: [{ faultKey: 'hpcDegradation', device: 'sim-0002' }],
    });
    expect(JSON.parse(await readFile(truth, 'utf8')).faults).toEqual(summary.truth);
    expect(JSON.stringify(server.received)).not.toMatch(/hpcDegradation|severity|failsAt/);
    expect((await stat(saved)).mode & 0o777).toBe(0o600);
    expect(seedFile.parse(JSON.parse(await readFile(saved, 'utf8'))).tenants[0]?.devices).toHaveLength(4);
    expect(api.created).toHaveLength(4);
    const again = await presage(...args).ended;
    expect(again.code, again.stderr).toBe(0);
    expect(api.created).toHaveLength(4);
    const seeded = await presage('sim', '--broker', server.url, '--seed', saved, ...sim).ended;
    expect(seeded.code, seeded.stderr).toBe(0);
  });

  it('says which device exists already, and when the token is refused', async () => {
    const server = await broker();
    const api = await fakeApi();
    api.created.push('sim-0003');
    const base = ['sim', '--broker', server.url, '--provision', '--api', api.url, ...sim];
    const taken = await presage(...base, '--token', 'good').ended;
    expect(taken.stderr).toMatch(/CONFLICT.*sim-0003 exists already; choose other names with --prefix/);
    expect(taken.code).toBe(1);
    expect((await presage(...base, '--token', 'bad').ended).stderr).toMatch(/UNAUTHENTICATED/);
    expect(server.received).toEqual([]);
  });

  it.each([
    ['too few devices', ['--devices', '9'], /has 2 devices that can be simulated, not 9/],
    ['an unknown fault', ['--faults', 'rust'], /"rust" is not a fault/],
    ['a fault without a device', ['--faults', 'refrigerantLeak'], /No healthy refrigerator/],
    ['chances above the limit', ['--loss', '0.6', '--duplicate', '0.6'], /at most 0\.9/],
    ['a count that is none', ['--devices', 'many'], /--devices must be a number/],
  ])('refuses %s', async (_what, extra, words) => {
    const server = await broker();
    const { code, stderr } = await presage(
      'sim',
      '--broker',
      server.url,
      '--seed',
      await seedOf(engines(2)),
      '--devices',
      '2',
      ...extra,
    ).ended;
    expect(stderr).toMatch(words);
    expect(code).toBe(1);
    expect(server.received).toEqual([]);
  });
});

/** `POST /api/v1/devices` as the API answers it; the first request is told to come back. */
async function fakeApi(): Promise<{ url: string; created: string[] }> {
  const created: string[] = [];
  let busy = true;
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      const answer = (status: number, value: unknown): void => {
        response.writeHead(status, {
          'content-type': 'application/json',
          ...(status === 429 ? { 'retry-after': '0' } : {}),
        });
        response.end(JSON.stringify(value));
      };
      if (request.headers.authorization !== 'Bearer good') return answer(401, {});
      if (busy) {
        busy = false;
        return answer(429, {});
      }
      const { id, model } = JSON.parse(body) as { id: string; model: string };
      if (created.includes(id)) return answer(409, {});
      created.push(id);
      answer(201, {
        tenant: 'acme',
        id,
        model,
        centre: 'north',
        status: 'active',
        connected: false,
        createdAt: 1,
        mqtt: { clientId: `acme.${id}`, username: `acme.${id}`, password: SECRET },
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanUp.push(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  return { url: `http://127.0.0.1:${address.port}`, created };
}
