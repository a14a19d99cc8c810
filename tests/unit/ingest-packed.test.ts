/** Telemetry as gzip, CBOR and flat objects: the same validation and the same identity as plain JSON. */
import { createHash, randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { encode } from 'cborg';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { decodeTelemetryEntry } from '../../contract/wire/log-entry.ts';
import { flatTelemetryPayload, MAX_PAYLOAD_BYTES } from '../../contract/wire/payloads.ts';
import { decodeTelemetry } from '../../ingest/decode.ts';
import { quarantineRecordSchema } from '../../ingest/quarantine.ts';
import { isPacked, unpack } from '../../ingest/unpack.ts';
import { disposeIngest, type Harness, startIngest, telemetry } from '../support/ingest-harness.ts';
import { RECEIVED_AT, textOf } from '../support/log-entries.ts';
import { readTracked } from '../support/source-files.ts';

let harness: Harness | undefined;
afterEach(async () => {
  if (harness) await disposeIngest(harness);
  harness = undefined;
});

async function start(): Promise<Harness> {
  harness = await startIngest();
  return harness;
}

const cbor = (value: unknown): Buffer => Buffer.from(encode(value));
const gzip = (value: unknown): Buffer => gzipSync(JSON.stringify(value));
const textFrom = (payload: Uint8Array): string => {
  const unpacked = unpack(payload);
  return unpacked.kind === 'json' ? Buffer.from(unpacked.payload).toString() : unpacked.reason;
};
const quarantined = async (h: Harness) =>
  (await h.entries())
    .filter((entry) => entry.kind === 'quarantine')
    .map((entry) => quarantineRecordSchema.parse(JSON.parse(textOf(entry))));

describe('a packed payload', () => {
  it.each([
    ['gzip', gzip],
    ['CBOR', cbor],
    ['CBOR that says so', (value: unknown) => Buffer.concat([Buffer.from('d9d9f7', 'hex'), cbor(value)])],
    ['CBOR in gzip', (value: unknown) => gzipSync(cbor(value))],
  ])('in %s is logged as the JSON it stands for, once', async (_name, pack) => {
    const h = await start();
    await h.send('telemetry', pack(telemetry(1)));
    await h.send('telemetry', pack(telemetry(1)));
    await h.send('telemetry', pack(telemetry(1, { s: [[0, { freezerTempC: 99 }]] })));
    const entries = await h.entries();
    expect(entries.map((entry) => entry.kind)).toEqual(['telemetry', 'quarantine']);
    expect(entries[0] && JSON.parse(textOf(entries[0]))).toEqual(telemetry(1));
    expect((await quarantined(h))[0]?.reason).toBe('SEQUENCE_CONFLICT');
  });

  it('may be a birth, whose signals count at once', async () => {
    const h = await start();
    const signals = [{ name: 'iceMakerTempC', unit: '°C' }];
    await h.send('birth', cbor({ v: 1, boot: 'boot-1', t: RECEIVED_AT, signals }));
    await h.send('telemetry', cbor(telemetry(1, { s: [[0, { iceMakerTempC: -4 }]] })));
    expect((await h.entries()).map((entry) => entry.kind)).toEqual(['birth', 'telemetry']);
  });

  it.each<[string, Buffer, string]>([
    ['gzip that is cut off', gzip(telemetry(1)).subarray(0, 30), 'PAYLOAD_ENCODING'],
    ['gzip of a gigabyte-like bomb', gzipSync(Buffer.alloc(64 * 1024 * 1024)), 'PAYLOAD_TOO_LARGE'],
    ['gzip in gzip', gzipSync(gzip(telemetry(1))), 'PAYLOAD_NOT_JSON'],
    ['gzip of no JSON', gzipSync('hello'), 'PAYLOAD_NOT_JSON'],
    ['CBOR that is cut off', cbor(telemetry(1)).subarray(0, 30), 'PAYLOAD_ENCODING'],
    ['CBOR with bytes behind it', Buffer.concat([cbor(telemetry(1)), Buffer.from([0])]), 'PAYLOAD_ENCODING'],
    ['a byte string', cbor({ v: Buffer.from('x') }), 'PAYLOAD_ENCODING'],
    ['a text that is not UTF-8', Buffer.from('a1617662c328', 'hex'), 'PAYLOAD_ENCODING'],
    ['a repeated key', Buffer.from('a2617601617602', 'hex'), 'PAYLOAD_ENCODING'],
    ['a key that is a number', Buffer.from('a10101', 'hex'), 'PAYLOAD_ENCODING'],
    ['a tag', Buffer.from('a16176c101', 'hex'), 'PAYLOAD_ENCODING'],
    ['undefined', Buffer.from('a16176f7', 'hex'), 'PAYLOAD_ENCODING'],
    ['a map that claims 4 billion entries', Buffer.from('baffffffff', 'hex'), 'PAYLOAD_ENCODING'],
    ['100,000 arrays in each other', Buffer.from(`a16176${'81'.repeat(100_000)}01`, 'hex'), 'PAYLOAD_TOO_DEEP'],
    ['8 arrays in each other', Buffer.from(`a16176${'81'.repeat(8)}01`, 'hex'), 'PAYLOAD_TOO_DEEP'],
    ['CBOR that is too long', cbor({ v: 'x'.repeat(MAX_PAYLOAD_BYTES) }), 'PAYLOAD_TOO_LARGE'],
  ])('that is %s is quarantined with the hash of what came', async (_name, payload, reason) => {
    const h = await start();
    await h.send('telemetry', payload);
    const sha256 = createHash('sha256').update(payload).digest('hex');
    expect(await quarantined(h)).toMatchObject([{ reason, sha256 }]);
  });

  it('refuses only the sample whose number is not finite, and keeps its neighbours', async () => {
    const h = await start();
    const s = [Number.NaN, -4, Number.POSITIVE_INFINITY].map((value, index) => [index, { freezerTempC: value }]);
    await h.send('telemetry', cbor(telemetry(1, { s })));
    expect(await quarantined(h)).toMatchObject([{ reason: 'SIGNAL_NOT_FINITE', at: 's[0].freezerTempC', samples: 2 }]);
    const [entry] = (await h.entries()).filter(({ kind }) => kind === 'telemetry');
    expect(entry && decodeTelemetryEntry(entry).samples).toMatchObject([{ index: 1, signals: { freezerTempC: -4 } }]);
  });

  it('never poisons an object by its keys', async () => {
    const h = await start();
    const key = Buffer.concat([Buffer.from([0x69]), Buffer.from('__proto__')]);
    await h.send('telemetry', Buffer.concat([Buffer.from([0xa1]), key, cbor({ polluted: 1 })]));
    expect(await quarantined(h)).toMatchObject([{ reason: 'PAYLOAD_INVALID', at: '__proto__' }]);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it('says in CBOR exactly what JSON says', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 8 }), (value) => {
        fc.pre(!JSON.stringify(value).includes('\ufffd'));
        const packed = cbor(value);
        fc.pre(isPacked(packed));
        expect(JSON.parse(textFrom(packed))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
      { numRuns: 300 },
    );
  });

  it('survives any bytes', () => {
    for (let round = 0; round < 2_000; round++) {
      const bytes = randomBytes(1 + (round % 60));
      bytes[0] = 0xa0 + (round % 32);
      unpack(bytes);
    }
  });
});

describe('a flat object', () => {
  const flat = (ts: number, signals: object = { freezerTempC: -18 }): object => ({ ts, ...signals });
  const then = RECEIVED_AT - 1_000;

  it('is one sample whose sequence number is its time', async () => {
    const h = await start();
    await h.send('telemetry', flat(then, { freezerTempC: -18, mode: 'cooling', doorOpen: false }));
    const [entry] = await h.entries();
    expect(entry && decodeTelemetryEntry(entry)).toMatchObject({
      identity: { boot: 'flat', seq: then },
      samples: [{ index: 0, observedAt: then, signals: { freezerTempC: -18, mode: 'cooling', doorOpen: false } }],
    });
  });

  it('is taken once, also after a restart, and reports no gaps', async () => {
    let h = await start();
    for (const payload of [flat(then), flat(then), flat(then + 500), cbor(flat(then + 500))]) {
      await h.send('telemetry', payload);
    }
    h = harness = await h.again();
    await h.send('telemetry', flat(then + 500));
    expect((await h.entries()).map((entry) => entry.kind)).toEqual(['telemetry', 'telemetry']);
    await h.ingest.stop();
    expect(h.metrics.values.get('presage_ingest_missing_total') ?? 0).toBe(0);
  });

  it.each<[string, object, string, string]>([
    ['an unknown signal', flat(then, { nonsense: 1 }), 'SIGNAL_UNKNOWN', 'nonsense'],
    ['a value of another type', flat(then, { freezerTempC: '1' }), 'SIGNAL_TYPE', 'freezerTempC'],
    ['no signal', flat(then, {}), 'SAMPLE_INVALID', ''],
    ['a time in seconds', flat(1_795_392_000), 'TIME_INVALID', ''],
    ['a time ahead of us', flat(RECEIVED_AT + 600_000), 'TIME_IN_FUTURE', ''],
    ['a time that is text', { ts: '2026-01-01', freezerTempC: 1 }, 'PAYLOAD_INVALID', 'ts'],
    ['a nested value', flat(then, { freezerTempC: { value: 1 } }), 'SIGNAL_TYPE', 'freezerTempC'],
  ])('with %s is quarantined at its place', async (_name, payload, reason, at) => {
    const h = await start();
    await h.send('telemetry', payload);
    expect(await quarantined(h)).toMatchObject([{ reason, at }]);
  });

  it('is refused where its schema refuses it', () => {
    const value = fc.oneof(fc.double(), fc.boolean(), fc.string(), fc.constant(null), fc.array(fc.integer()));
    const object = fc.record({ ts: fc.oneof(fc.nat(), fc.constant(then), value) }, { requiredKeys: [] });
    fc.assert(
      fc.property(object, fc.dictionary(fc.constantFrom('freezerTempC', 'mode', 'x y'), value), (head, signals) => {
        const payload: unknown = JSON.parse(JSON.stringify({ ...head, ...signals }));
        const decoded = decodeTelemetry(Buffer.from(JSON.stringify(payload)), 'refrigerator', new Map(), RECEIVED_AT);
        if (!flatTelemetryPayload.safeParse(payload).success) expect(decoded.kind).toBe('refused');
      }),
    );
  });
});

describe('docs/device-contract.md', () => {
  const page = readTracked('docs/device-contract.md');
  const example = (name: string): string => {
    const found = new RegExp(`<!-- ${name} -->\\n\`\`\`\\w+\\n([\\s\\S]*?)\\n\`\`\``).exec(page)?.[1];
    if (found === undefined) throw new Error(`no example ${name}`);
    return found;
  };

  it('shows a flat object that is taken', () => {
    const payload = Buffer.from(example('flat telemetry'));
    expect(decodeTelemetry(payload, 'refrigerator', new Map(), 1_795_392_000_123).kind).toBe('decoded');
  });

  it.each(['CBOR', 'gzip'])('shows a message in %s that stands for the JSON beside it', (encoding) => {
    const packed = Buffer.from(example(`${encoding} telemetry`).replace(/\s/g, ''), 'hex');
    expect(JSON.parse(textFrom(packed))).toEqual(JSON.parse(example('packed telemetry')));
  });
});
