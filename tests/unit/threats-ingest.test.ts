/** Hostile payloads against ingest, threat by threat: what docs/threats.md says that nothing else proves. */
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { quarantineRecordSchema } from '../../ingest/quarantine.ts';
import { unpack } from '../../ingest/unpack.ts';
import { disposeIngest, type Harness, startIngest, telemetry } from '../support/ingest-harness.ts';
import { RECEIVED_AT, textOf } from '../support/log-entries.ts';

const started: Harness[] = [];
afterEach(async () => {
  for (const harness of started.splice(0)) await disposeIngest(harness);
});

async function start(): Promise<Harness> {
  const harness = await startIngest();
  started.push(harness);
  return harness;
}

const quarantined = async (harness: Harness) =>
  (await harness.entries())
    .filter(({ kind }) => kind === 'quarantine')
    .map((entry) => quarantineRecordSchema.parse(JSON.parse(textOf(entry))));

const identity = { tenant: 'umbrella', device: 'victim', model: 'turbofan' };

describe('a payload that names another tenant, device or model', () => {
  it.each<[string, object]>([
    ['beside the samples', telemetry(1, identity)],
    ['as signals', telemetry(1, { s: [[0, { ...identity, freezerTempC: 1 }]] })],
    ['in a flat object', { ts: RECEIVED_AT - 1_000, freezerTempC: 1, ...identity }],
  ])('%s is quarantined, under whoever sent it', async (_where, payload) => {
    const harness = await start();
    await harness.send('telemetry', payload);
    const entries = await harness.entries();
    expect(entries.map(({ kind, tenant, device, model }) => [kind, tenant, device, model])).toEqual([
      ['quarantine', 'acme', 'fridge-1', 'refrigerator'],
    ]);
    expect(await quarantined(harness)).toMatchObject([{ tenant: 'acme', device: 'fridge-1' }]);
  });

  it('in its birth says what it is, and stays who it is', async () => {
    const harness = await start();
    await harness.send('birth', { v: 1, boot: 'boot-1', t: RECEIVED_AT, model: 'turbofan', serial: 'umbrella/victim' });
    await harness.send('telemetry', telemetry(1));
    const entries = await harness.entries();
    expect(entries.map(({ kind, tenant, device, model }) => [kind, tenant, device, model])).toEqual([
      ['birth', 'acme', 'fridge-1', 'refrigerator'],
      ['telemetry', 'acme', 'fridge-1', 'refrigerator'],
    ]);
  });
});

describe('a device that makes names up', () => {
  it('gets none of 10,000 new signals into the log, and every one of its messages is answered', async () => {
    const harness = await start();
    for (let seq = 1; seq <= 200; seq++) {
      const signals = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`made_up_${seq}_${i}`, 1]));
      await harness.send('telemetry', telemetry(seq, { s: [[0, signals]] }));
    }
    const kinds = new Set((await harness.entries()).map(({ kind }) => kind));
    expect([...kinds]).toEqual(['quarantine']);
    expect(new Set((await quarantined(harness)).map(({ reason }) => reason))).toEqual(new Set(['SIGNAL_UNKNOWN']));
  });
});

describe('a payload that is expensive to look at', () => {
  const deep = (levels: number, inside = '1') => '['.repeat(levels) + inside + ']'.repeat(levels);
  it.each<[string, string, string]>([
    [
      '60,000 levels as a signal',
      `{"v":1,"boot":"b","seq":1,"t":1,"s":[[0,{"freezerTempC":${deep(60_000)}}]]}`,
      'PAYLOAD_TOO_DEEP',
    ],
    ['60,000 levels in an unknown field', `{"x":${deep(60_000)}}`, 'PAYLOAD_TOO_DEEP'],
    ['a number of 100,000 digits', `{"v":1,"boot":"b","seq":${'9'.repeat(100_000)},"t":1,"s":[]}`, 'PAYLOAD_INVALID'],
    ['120,000 spaces', `{"v":1,${' '.repeat(120_000)}"boot":1}`, 'PAYLOAD_INVALID'],
    ['20,000 keys', `{${Array.from({ length: 15_000 }, (_, i) => `"k${i}":1`).join(',')}}`, 'PAYLOAD_TOO_LARGE'],
  ])('%s: is quarantined without ending the process, in a few milliseconds', async (_what, payload, reason) => {
    const harness = await start();
    const cpu = process.cpuUsage();
    for (let copy = 0; copy < 10; copy++) await harness.send('telemetry', payload);
    const { user, system } = process.cpuUsage(cpu);
    // A tenth of a second for ten of them, where each should take five: room for the machines that tests run on.
    expect((user + system) / 1_000 / 10).toBeLessThan(100);
    const reasons = (await quarantined(harness)).map((record) => record.reason);
    expect(reasons).toEqual(
      Array.from({ length: 10 }, () => (payload.length > 131_072 ? 'PAYLOAD_TOO_LARGE' : reason)),
    );
  });

  it('that inflates to 64 MiB: is given up while it inflates', () => {
    const { kind } = unpack(gzipSync(Buffer.alloc(64 * 1024 * 1024)));
    expect(kind).toBe('refused');
  });

  it.each(['event', 'birth', 'twin/reported', 'cmd/res'] as const)(
    'too deep on %s: is quarantined',
    async (channel) => {
      const harness = await start();
      await harness.send(channel, `{"v":1,"x":${deep(20_000)}}`);
      expect(await quarantined(harness)).toMatchObject([{ reason: 'PAYLOAD_TOO_DEEP', channel }]);
    },
  );
});

describe('names that would poison an object', () => {
  it.each(['__proto__', 'constructor', 'prototype'])(
    '%s is quarantined on every channel, and poisons nothing',
    async (name) => {
      const harness = await start();
      const hostile = `{"${name}":{"polluted":1}}`;
      await harness.send('telemetry', `{"v":1,"boot":"b","seq":1,"t":${RECEIVED_AT},"s":[[0,{"${name}":1}]]}`);
      await harness.send('telemetry', `{"ts":${RECEIVED_AT},"${name}":1}`);
      await harness.send('event', `{"v":1,"boot":"b","seq":1,"t":1,"events":[{"name":"x","detail":${hostile}}]}`);
      await harness.send('twin/reported', `{"v":1,"version":1,"values":${hostile}}`);
      await harness.send('birth', `{"v":1,"boot":"b","t":1,"signals":[{"name":"${name}"}]}`);
      expect(await quarantined(harness)).toHaveLength(5);
      expect(({} as Record<string, unknown>).polluted).toBeUndefined();
      expect([...(harness.directory.declared.get('acme.fridge-1')?.keys() ?? [])]).toEqual([]);
    },
  );
});

describe('text that a database cannot hold', () => {
  const NUL = '\\u0000';
  const HALF = '\\ud800';
  it.each([
    ['birth', `{"v":1,"boot":"b","t":1,"firmware":"1${NUL}"}`],
    ['birth', `{"v":1,"boot":"b","t":1,"serial":"${HALF}"}`],
    ['event', `{"v":1,"boot":"b","seq":1,"t":1,"faults":[{"code":"${NUL}"}]}`],
    ['event', `{"v":1,"boot":"b","seq":1,"t":1,"faults":[{"code":"x","status":{"${HALF}":true}}]}`],
    ['event', `{"v":1,"boot":"b","seq":1,"t":1,"events":[{"name":"x","detail":{"mode":"${HALF}"}}]}`],
    ['event', `{"v":1,"boot":"b","seq":1,"t":1,"faults":[{"code":"x","occurrences":2147483648}]}`],
    ['twin/reported', `{"v":1,"version":1,"values":{"mode":"${NUL}"}}`],
    ['telemetry', `{"v":1,"boot":"b","seq":1,"t":${RECEIVED_AT},"s":[[0,{"mode":"${NUL}"}]]}`],
  ] as const)('on %s is quarantined at the door: %s', async (channel, payload) => {
    const harness = await start();
    await harness.send(channel, payload);
    expect((await harness.entries()).map(({ kind }) => kind)).toEqual(['quarantine']);
  });

  it('may hold any other character', async () => {
    const harness = await start();
    await harness.send('telemetry', telemetry(1, { s: [[0, { mode: '\u0001 ü 冷 🧊' }]] }));
    expect((await harness.entries()).map(({ kind }) => kind)).toEqual(['telemetry']);
  });
});
