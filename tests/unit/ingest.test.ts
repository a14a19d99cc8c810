/** What ingest decides about messages, what it writes into the log, and when it lets the broker acknowledge. */
import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { TelemetryMessage } from '../../contract/wire/sample.ts';
import { nodeDisk } from '../../ingest/log/log-disk.ts';
import { excerptOf, MAX_EXCERPT_BYTES, quarantineRecordSchema } from '../../ingest/quarantine.ts';
import { disposeIngest, type Harness, type HarnessOptions, startIngest, telemetry } from '../support/ingest-harness.ts';
import { appended, logEntry, textOf } from '../support/log-entries.ts';
import { waitFor } from '../support/wait-for.ts';

let harness: Harness | undefined;
afterEach(async () => {
  if (harness) await disposeIngest(harness);
  harness = undefined;
});

async function start(options: HarnessOptions = {}): Promise<Harness> {
  harness = await startIngest(options);
  return harness;
}

async function restart(): Promise<Harness> {
  if (!harness) throw new Error('nothing to restart');
  harness = await harness.again();
  return harness;
}

/** A disk on which nothing becomes durable between `hold` and `release`; `asked` resolves when somebody wants it to. */
function heldDisk() {
  let release: () => void = () => {};
  let ask: () => void = () => {};
  const asked = new Promise<void>((resolve) => {
    ask = resolve;
  });
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  let held = false;
  const sync = async (fd: number): Promise<void> => {
    if (held) ask();
    await (held ? gate : undefined);
    await nodeDisk.sync(fd);
  };
  return { hold: () => (held = true), asked, release: () => release(), disk: { ...nodeDisk, sync } };
}

const quarantined = async (h: Harness) =>
  (await h.entries())
    .filter((entry) => entry.kind === 'quarantine')
    .map((entry) => quarantineRecordSchema.parse(JSON.parse(textOf(entry))));

describe('ingest of telemetry', () => {
  it('logs a good message as the bytes that came, and then lets it be acknowledged', async () => {
    const h = await start();
    await h.send('telemetry', telemetry(1));
    const [entry] = await h.entries();
    expect(entry).toMatchObject({ kind: 'telemetry', tenant: 'acme', device: 'fridge-1', model: 'refrigerator' });
    expect(entry && JSON.parse(textOf(entry))).toEqual(telemetry(1));
  });

  it('lets nothing be acknowledged before it is durable', async () => {
    const { disk, hold, asked, release } = heldDisk();
    const h = await start({ log: { disk } });
    hold();
    let acknowledged = 0;
    const sent = [
      telemetry(1),
      telemetry(1),
      'no json',
      telemetry(2, {
        s: [
          [0, { freezerTempC: 1 }],
          [0, {}],
        ],
      }),
    ].map((payload) => h.send('telemetry', payload).then(() => acknowledged++));
    await asked;
    expect(acknowledged).toBe(0);
    release();
    await Promise.all(sent);
    expect((await h.entries()).map((entry) => entry.kind)).toEqual([
      'telemetry',
      'quarantine',
      'quarantine',
      'telemetry',
    ]);
  });

  it('acknowledges a message that comes again, and stores it once', async () => {
    const h = await start();
    await Promise.all([h.send('telemetry', telemetry(1)), h.send('telemetry', telemetry(1))]);
    await h.send('telemetry', telemetry(1));
    await h.send('telemetry', telemetry(1, { boot: 'boot-2' }));
    await h.send('telemetry', telemetry(1), 'fridge-2');
    expect(await h.entries()).toHaveLength(3);
    await h.ingest.stop();
    expect(h.metrics.values.get('presage_ingest_duplicates_total{channel=telemetry}')).toBe(2);
  });

  it('takes a message that failed when it comes again, and fails its copies with it', async () => {
    const h = await start({ log: { maxBytes: 1_000, consumers: ['store'] } });
    const long = (seq: number) => telemetry(seq, { s: [[0, { mode: 'x'.repeat(250) }]] });
    await h.send('telemetry', long(1));
    await h.send('telemetry', long(2));
    const both = await Promise.allSettled([h.send('telemetry', long(3)), h.send('telemetry', long(3))]);
    expect(both.map((outcome) => outcome.status)).toEqual(['rejected', 'rejected']);
    await h.segmentLog.log.commit('store', h.segmentLog.log.end());
    await h.send('telemetry', long(3));
    expect((await h.logged()).at(-1)).toContain('"seq":3');
  });

  it('quarantines a bad sample with its excerpt and takes the good ones', async () => {
    const h = await start();
    const s = [
      [0, { freezerTempC: 1 }],
      [1, { freezerTempC: 'cold\u0007' }],
      [2, { freezerTempC: 3 }],
    ];
    await h.send('telemetry', telemetry(1, { s }));
    const [record] = await quarantined(h);
    expect(record).toEqual({
      tenant: 'acme',
      device: 'fridge-1',
      reason: 'SIGNAL_TYPE',
      at: 's[1].freezerTempC',
      channel: 'telemetry',
      receivedAt: record?.receivedAt,
      sha256: createHash('sha256')
        .update(JSON.stringify(telemetry(1, { s })))
        .digest('hex'),
      excerpt: '[1,{"freezerTempC":"cold\\u0007"}]',
      boot: 'boot-1',
      seq: 1,
      samples: 1,
      model: 'refrigerator',
      places: [1],
      payload: Buffer.from(JSON.stringify(telemetry(1, { s }))).toString('base64'),
    });
    const stored = (await h.entries()).find((entry) => entry.kind === 'telemetry');
    expect(stored && JSON.parse(textOf(stored)).s).toEqual([s[0], null, s[2]]);
    await h.send('telemetry', telemetry(1, { s }));
    expect(await h.entries()).toHaveLength(2);
  });

  it('acknowledges and quarantines what it cannot read, in a bounded entry', async () => {
    const h = await start();
    await h.send('telemetry', `{"v":1,${'x'.repeat(200_000)}`);
    await h.send('telemetry', Buffer.from([0, 1, 2, 255]));
    const records = await quarantined(h);
    expect(records.map((record) => record.reason)).toEqual(['PAYLOAD_TOO_LARGE', 'PAYLOAD_NOT_JSON']);
    expect(records[1]?.excerpt).toBe('\\u0000\\u0001\\u0002\uFFFD');
    expect(h.segmentLog.log.end()).toBeLessThan(1_500);
  });

  it('looks a message up in the store when it is too far behind to be remembered', async () => {
    const stored = new Set([3]);
    const passedAt: number[] = [];
    const h = await start({
      reader: { hasMessage: async ({ seq }) => stored.has(seq) },
      passed: async (position) => {
        passedAt.push(position);
      },
    });
    await h.send('telemetry', telemetry(10_000));
    const end = h.segmentLog.log.end();
    await Promise.all([h.send('telemetry', telemetry(3)), h.send('telemetry', telemetry(3))]);
    await Promise.all([h.send('telemetry', telemetry(4)), h.send('telemetry', telemetry(4))]);
    expect((await h.entries()).map((entry) => JSON.parse(textOf(entry)).seq)).toEqual([10_000, 4]);
    expect(passedAt[0]).toBe(end);
  });

  it('does not acknowledge what it cannot look up', async () => {
    const h = await start({ reader: { hasMessage: () => Promise.reject(new Error('away')) } });
    await h.send('telemetry', telemetry(10_000));
    const both = await Promise.allSettled([h.send('telemetry', telemetry(3)), h.send('telemetry', telemetry(3))]);
    expect(both.map((outcome) => outcome.status)).toEqual(['rejected', 'rejected']);
  });

  it('gives up a look-up that takes too long, and bounds how many wait', async () => {
    const never = { hasMessage: () => new Promise<boolean>(() => {}) };
    const h = await start({ reader: never, ingest: { lookupTimeoutMs: 20, maxLookups: 2 } });
    await h.send('telemetry', telemetry(10_000));
    const outcomes = await Promise.allSettled([1, 2, 3].map((seq) => h.send('telemetry', telemetry(seq))));
    const codes = outcomes.map((outcome) => outcome.status === 'rejected' && outcome.reason.code);
    expect(codes).toEqual(['STORE_UNAVAILABLE', 'STORE_UNAVAILABLE', 'NOT_READY']);
  });

  it('tells listeners of accepted messages once they are durable, until they leave', async () => {
    const h = await start();
    const heard: TelemetryMessage[] = [];
    const leave = h.ingest.onAccepted((message) => heard.push(message));
    h.ingest.onAccepted(() => {
      throw new Error('a listener of somebody else');
    });
    await h.send('telemetry', telemetry(1, { hist: true }));
    await h.send('telemetry', telemetry(1));
    leave();
    await h.send('telemetry', telemetry(2));
    expect(heard).toHaveLength(1);
    expect(heard[0]).toMatchObject({
      identity: { tenant: 'acme', device: 'fridge-1', boot: 'boot-1', seq: 1 },
      backfill: true,
      samples: [{ index: 0, signals: { freezerTempC: 1 } }],
    });
  });

  it('takes nothing before it is started or after it was stopped', async () => {
    const h = await start();
    await h.ingest.stop();
    await expect(h.send('telemetry', telemetry(1))).rejects.toMatchObject({ code: 'NOT_READY' });
  });
});

describe('ingest after a restart', () => {
  it.each([
    ['from its snapshot', false],
    ['from the log alone', true],
  ])('remembers %s what it has taken', async (_how, withoutSnapshot) => {
    const h = await start();
    for (const seq of [1, 2, 4]) await h.send('telemetry', telemetry(seq));
    await h.send('event', { v: 1, boot: 'boot-1', seq: 1, t: 1 });
    expect(h.segmentLog.log.committed('sequence')).toBe(0);
    await h.stop();
    if (withoutSnapshot) await rm(join(h.folder, 'sequence.json'));
    const again = await restart();
    for (const seq of [1, 2, 3, 4, 5]) await again.send('telemetry', telemetry(seq));
    await again.send('event', { v: 1, boot: 'boot-1', seq: 1, t: 1 });
    const seqs = (await again.logged())
      .filter((line) => line.startsWith('telemetry'))
      .map((line) => /"seq":(\d+)/.exec(line)?.[1]);
    expect(seqs).toEqual(['1', '2', '4', '3', '5']);
    expect((await again.logged()).filter((line) => line.startsWith('event'))).toHaveLength(1);
  });

  it('reads on from its snapshot what came later, as after a kill', async () => {
    const h = await start({ log: { consumers: ['sequence'] } });
    await h.send('telemetry', telemetry(1));
    await restart();
    // Durable in the log, but not in any snapshot.
    await appended(harness?.segmentLog.log ?? h.segmentLog.log, logEntry({ text: JSON.stringify(telemetry(2)) }));
    const snapshot = JSON.parse(await readFile(join(h.folder, 'sequence.json'), 'utf8'));
    const again = await restart();
    expect(snapshot.position).toBeLessThan(again.segmentLog.log.end());
    await again.send('telemetry', telemetry(2));
    expect(await again.entries()).toHaveLength(2);
  });

  it('writes a snapshot while it runs and lets the log go', async () => {
    const h = await start({ log: { consumers: ['sequence'] }, ingest: { snapshotEveryBytes: 1 } });
    await h.send('telemetry', telemetry(1));
    const { log } = h.segmentLog;
    await waitFor('the snapshot', () => log.committed('sequence') === log.end());
  });

  it('asks the store about everybody when its snapshot is not of this log', async () => {
    const h = await start({ reader: { hasMessage: async () => true } });
    await h.send('telemetry', telemetry(1));
    await h.stop();
    await rm(join(h.folder, 'log'), { recursive: true });
    const again = await restart();
    await again.send('telemetry', telemetry(7), 'fridge-9');
    expect(await again.entries()).toEqual([]);
  });
});

describe('ingest of the other channels', () => {
  const birth = { v: 1, boot: 'boot-1', t: 1, signals: [{ name: 'oilTempC' }, { name: 'lidOpen', kind: 'boolean' }] };

  it('knows the signals of a birth at once, also for telemetry right behind it', async () => {
    const h = await start();
    const oil = telemetry(1, { s: [[0, { oilTempC: 80, lidOpen: true }]] });
    await expect(h.send('telemetry', oil)).resolves.toBeUndefined();
    await Promise.all([h.send('birth', birth), h.send('telemetry', { ...oil, seq: 2 })]);
    expect((await h.entries()).map((entry) => entry.kind)).toEqual(['quarantine', 'birth', 'telemetry']);
    expect([...(h.directory.declared.get('acme.fridge-1') ?? [])]).toEqual([
      ['oilTempC', 'number'],
      ['lidOpen', 'boolean'],
    ]);
  });

  it('still knows them after a restart when the registry has not stored the birth yet', async () => {
    const h = await start();
    await h.send('birth', birth);
    const again = await restart();
    await again.send('telemetry', telemetry(1, { s: [[0, { oilTempC: 80 }]] }));
    expect((await again.entries()).map((entry) => entry.kind)).toEqual(['birth', 'telemetry']);
  });

  it('does not let the last will of an old boot end a newer one', async () => {
    const h = await start();
    await h.send('birth', birth);
    await h.send('birth', { ...birth, boot: 'boot-2' });
    await h.send('state', { v: 1, boot: 'boot-1', state: 'offline' });
    await h.send('state', { v: 1, boot: 'boot-2', state: 'offline' });
    await h.send('state', { v: 1, boot: 'boot-3', state: 'online' });
    await h.send('state', { v: 1, boot: 'boot-2', state: 'offline' });
    const kinds = (await h.entries()).map((entry) => entry.kind);
    expect(kinds).toEqual(['birth', 'birth', 'other', 'state', 'state', 'other']);
    const again = await restart();
    await again.send('state', { v: 1, boot: 'boot-1', state: 'offline' });
    expect((await again.entries()).at(-1)?.kind).toBe('other');
  });

  it('logs an event once, and log chunks, command answers and reported twins as they are', async () => {
    const h = await start();
    const event = { v: 1, boot: 'boot-1', seq: 4, t: 1, faults: [{ code: 'E05' }] };
    await Promise.all([h.send('event', event), h.send('event', event)]);
    await h.send('log', { v: 1, session: 's', chunk: 0, data: 'aGk=' });
    await h.send('cmd/res', { v: 1, id: 'c1', state: 'done' });
    await h.send('twin/reported', { v: 1, version: 3, values: { setpointC: -18 } });
    expect((await h.entries()).map((entry) => entry.kind)).toEqual(['event', 'other', 'other', 'other']);
  });

  it.each([
    ['birth', { v: 1, boot: 'b', t: 1, signals: [{ name: 'a b' }] }, 'PAYLOAD_INVALID', 'signals.0.name'],
    ['birth', { v: 1, boot: 'b', t: 1, owner: 'x' }, 'PAYLOAD_INVALID', 'owner'],
    ['state', { v: 1, boot: 'b', state: 'asleep' }, 'PAYLOAD_INVALID', 'state'],
    [
      'event',
      '{"v":1,"boot":"b","seq":1,"t":1,"events":[{"name":"x","detail":{"__proto__":1}}]}',
      'PAYLOAD_INVALID',
      '__proto__',
    ],
    ['event', { v: 1, boot: 'b', seq: 1, t: 1, faults: [[[[[[[]]]]]]] }, 'PAYLOAD_TOO_DEEP', ''],
    ['log', 'not json', 'PAYLOAD_NOT_JSON', ''],
    ['cmd/res', [], 'PAYLOAD_INVALID', ''],
  ] as const)('quarantines a bad %s and acknowledges it (%#)', async (channel, payload, reason, at) => {
    const h = await start();
    await h.send(channel, payload);
    expect(await quarantined(h)).toMatchObject([{ channel, reason, at, samples: 0 }]);
  });
});

describe('numbers of ingest', () => {
  it('add up: received = logged + duplicates + quarantined + unacknowledged', async () => {
    const h = await start();
    await h.send('birth', { v: 1, boot: 'boot-1', t: 1 });
    await h.send('telemetry', telemetry(1));
    await h.send('telemetry', telemetry(1));
    await h.send(
      'telemetry',
      telemetry(5, {
        s: [
          [0, { freezerTempC: 1 }],
          [0, { x: 1 }],
        ],
      }),
    );
    await h.send('telemetry', telemetry(3));
    await h.send('telemetry', 'bad');
    await h.ingest.stop();
    const { values } = h.metrics;
    expect(values.get('presage_ingest_received_total{channel=telemetry}')).toBe(5);
    expect(values.get('presage_ingest_received_total{channel=birth}')).toBe(1);
    expect(values.get('presage_ingest_logged_total{kind=telemetry}')).toBe(3);
    expect(values.get('presage_ingest_duplicates_total{channel=telemetry}')).toBe(1);
    expect(values.get('presage_ingest_quarantined_total{reason=PAYLOAD_NOT_JSON}')).toBe(1);
    expect(values.get('presage_ingest_quarantined_samples_total{reason=SIGNAL_UNKNOWN}')).toBe(1);
    expect(values.get('presage_ingest_acked_total')).toBe(6);
    expect(values.get('presage_ingest_missing_total')).toBe(3);
    expect(values.get('presage_ingest_late_total')).toBe(1);
  });
});

describe('excerptOf', () => {
  it('escapes what could turn, break or fake a line, and keeps the rest', () => {
    expect(excerptOf('a\n\u202E\u2028\ud800ü€')).toBe('a\\u000a\\u202e\\u2028\\ud800ü€');
  });

  it('keeps within its bytes, whatever the characters', () => {
    for (const text of ['x'.repeat(500), '€'.repeat(500), '\u0000'.repeat(500), '𝕏'.repeat(500)]) {
      expect(Buffer.byteLength(excerptOf(text))).toBeLessThanOrEqual(MAX_EXCERPT_BYTES);
      expect(Buffer.byteLength(excerptOf(text))).toBeGreaterThan(MAX_EXCERPT_BYTES - 12);
    }
  });
});
