/** The hand-written door for telemetry, held against the schema of the device contract. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { refrigerator } from '../../contract/devices/refrigerator.ts';
import type { ErrorCode } from '../../contract/kernel/errors.ts';
import { MAX_PAYLOAD_BYTES, telemetryPayload } from '../../contract/wire/payloads.ts';
import { type DecodedTelemetry, decodeTelemetry, toMessage } from '../../ingest/decode.ts';

const NOW = 1_795_392_000_000;
const DECLARED = new Map<string, 'number' | 'boolean' | 'text'>([
  ['extraCount', 'number'],
  ['constructor', 'number'],
]);
const good = { v: 1, boot: 'k3f9q2', seq: 7, t: NOW, s: [[0, { freezerTempC: -18.4 }]] };

const decode = (payload: string | Buffer) => decodeTelemetry(Buffer.from(payload), 'refrigerator', DECLARED, NOW);
const decodeJson = (payload: unknown) => decode(JSON.stringify(payload));
const withSignals = (signals: unknown) => ({ ...good, s: [[0, signals]] });
/** Why and where the one sample or the message was refused; `undefined` when nothing was. */
function refusal(payload: string | Buffer): [ErrorCode, string] | undefined {
  const decoded = decode(payload);
  if (decoded.kind === 'refused') return [decoded.reason, decoded.at];
  const [first] = decoded.refusals;
  return first && [first.reason, first.at];
}
function accepted(payload: unknown): DecodedTelemetry {
  const decoded = decodeJson(payload);
  if (decoded.kind !== 'decoded') throw new Error(`refused: ${decoded.reason} at ${decoded.at}`);
  return decoded;
}

describe('decodeTelemetry', () => {
  it('takes a good message and logs the bytes as they came', () => {
    const text = ` { "s": [[0, {"freezerTempC": -18.40}]], "t": ${NOW}, "seq": 7, "boot":"k3f9q2","v":1.0 }`;
    const decoded = decode(text);
    expect(decoded).toMatchObject({ kind: 'decoded', boot: 'k3f9q2', seq: 7, hist: false, refusals: [] });
    expect(decoded.kind === 'decoded' && Buffer.from(decoded.body).toString()).toBe(text);
  });

  it('takes all kinds of values, declared signals, and values outside the physical range', () => {
    const signals = { freezerTempC: 1e9, mode: 'cooling', doorOpen: false, extraCount: 3 };
    expect(accepted(withSignals(signals)).samples).toEqual([[0, signals]]);
  });

  it('knows only the declared signals of a model that is not in the catalogue', () => {
    const text = JSON.stringify(withSignals({ extraCount: 1 }));
    expect(decodeTelemetry(Buffer.from(text), 'toaster', DECLARED, NOW).kind).toBe('decoded');
    expect(decodeTelemetry(Buffer.from(text), 'toaster', new Map(), NOW)).toMatchObject({ reason: 'SIGNAL_UNKNOWN' });
  });

  it.each<[string, string | Buffer, ErrorCode, string]>([
    ['no bytes', '', 'PAYLOAD_NOT_JSON', ''],
    ['text', 'hello', 'PAYLOAD_NOT_JSON', ''],
    ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'PAYLOAD_NOT_JSON', ''],
    ['NaN', '{"v":NaN}', 'PAYLOAD_NOT_JSON', ''],
    ['null', 'null', 'PAYLOAD_INVALID', ''],
    ['an array', '[]', 'PAYLOAD_INVALID', ''],
    ['64,000 arrays in each other', '['.repeat(64_000) + ']'.repeat(64_000), 'PAYLOAD_TOO_DEEP', ''],
    ['too many bytes', ' '.repeat(MAX_PAYLOAD_BYTES) + JSON.stringify(good), 'PAYLOAD_TOO_LARGE', ''],
    ['another version', JSON.stringify({ ...good, v: 2 }), 'PAYLOAD_INVALID', 'v'],
    ['a boot id with a slash', JSON.stringify({ ...good, boot: 'a/b' }), 'PAYLOAD_INVALID', 'boot'],
    ['a sequence number in quotes', JSON.stringify({ ...good, seq: '7' }), 'PAYLOAD_INVALID', 'seq'],
    ['a negative sequence number', JSON.stringify({ ...good, seq: -1 }), 'PAYLOAD_INVALID', 'seq'],
    [
      'a sequence number past 2^53',
      JSON.stringify(good).replace('"seq":7', '"seq":9007199254740993'),
      'PAYLOAD_INVALID',
      'seq',
    ],
    ['a time with a fraction', JSON.stringify({ ...good, t: 0.5 }), 'PAYLOAD_INVALID', 't'],
    ['hist as a number', JSON.stringify({ ...good, hist: 1 }), 'PAYLOAD_INVALID', 'hist'],
    ['no samples', JSON.stringify({ ...good, s: [] }), 'PAYLOAD_INVALID', 's'],
    ['501 samples', JSON.stringify({ ...good, s: Array(501).fill(good.s[0]) }), 'PAYLOAD_INVALID', 's'],
    ['an unknown key', JSON.stringify({ ...good, 'tenant\n': 'other' }), 'PAYLOAD_INVALID', 'tenant?'],
    [
      '__proto__ beside the samples',
      JSON.stringify(good).replace('{', '{"__proto__":{"x":1},'),
      'PAYLOAD_INVALID',
      '__proto__',
    ],
    [
      '__proto__ as a signal',
      '{"v":1,"boot":"b","seq":1,"t":1795392000000,"s":[[0,{"__proto__":1}]]}',
      'SAMPLE_INVALID',
      's[0].__proto__',
    ],
    [
      'constructor as a signal, though declared',
      JSON.stringify(withSignals({ constructor: 1 })),
      'SAMPLE_INVALID',
      's[0].constructor',
    ],
    ['a sample that is an object', JSON.stringify({ ...good, s: [{}] }), 'SAMPLE_INVALID', 's[0]'],
    ['a sample of three', JSON.stringify({ ...good, s: [[0, {}, 1]] }), 'SAMPLE_INVALID', 's[0]'],
    [
      'an offset with a fraction',
      JSON.stringify({ ...good, s: [[0.5, { freezerTempC: 1 }]] }),
      'SAMPLE_INVALID',
      's[0][0]',
    ],
    ['a sample without signals', JSON.stringify(withSignals({})), 'SAMPLE_INVALID', 's[0][1]'],
    ['signals in an array', JSON.stringify(withSignals([1])), 'SAMPLE_INVALID', 's[0][1]'],
    ['an unknown signal', JSON.stringify(withSignals({ freezerTempF: 1 })), 'SIGNAL_UNKNOWN', 's[0].freezerTempF'],
    ['a number in quotes', JSON.stringify(withSignals({ freezerTempC: '3' })), 'SIGNAL_TYPE', 's[0].freezerTempC'],
    ['null as a value', JSON.stringify(withSignals({ freezerTempC: null })), 'SIGNAL_TYPE', 's[0].freezerTempC'],
    ['0 for a boolean', JSON.stringify(withSignals({ doorOpen: 0 })), 'SIGNAL_TYPE', 's[0].doorOpen'],
    [
      '1e999',
      JSON.stringify(withSignals({ freezerTempC: 1 })).replace(':1}]', ':1e999}]'),
      'SIGNAL_NOT_FINITE',
      's[0].freezerTempC',
    ],
    ['a long text', JSON.stringify(withSignals({ mode: 'x'.repeat(257) })), 'SAMPLE_INVALID', 's[0].mode'],
    [
      'a value nested too deeply',
      JSON.stringify(withSignals({ freezerTempC: [[[[1]]]] })),
      'PAYLOAD_TOO_DEEP',
      's[0].freezerTempC',
    ],
    ['a time ten minutes ahead', JSON.stringify({ ...good, t: NOW + 600_000 }), 'TIME_IN_FUTURE', 's[0]'],
    ['seconds for milliseconds', JSON.stringify({ ...good, t: NOW / 1000 }), 'TIME_INVALID', 's[0]'],
  ])('refuses %s', (_what, payload, reason, at) => {
    expect(refusal(payload)).toEqual([reason, at]);
  });

  it('refuses a sample of more than 64 signals', () => {
    const declared = new Map(Array.from({ length: 65 }, (_, i) => [`s${i}`, 'number'] as const));
    const sample = (count: number) =>
      withSignals(Object.fromEntries([...declared.keys()].slice(0, count).map((name) => [name, 1])));
    const kinds = [64, 65].map(
      (count) => decodeTelemetry(Buffer.from(JSON.stringify(sample(count))), 'x', declared, NOW).kind,
    );
    expect(kinds).toEqual(['decoded', 'refused']);
  });

  it('takes the good samples beside a bad one and leaves a hole in its place', () => {
    const decoded = accepted({
      ...good,
      hist: true,
      s: [
        [0, { freezerTempC: 1 }],
        [1, { freezerTempC: '2' }],
        [2, { freezerTempC: 3 }],
      ],
    });
    expect(decoded.refusals).toEqual([{ index: 1, reason: 'SIGNAL_TYPE', at: 's[1].freezerTempC' }]);
    expect(JSON.parse(Buffer.from(decoded.body).toString())).toEqual({
      ...good,
      hist: true,
      s: [[0, { freezerTempC: 1 }], null, [2, { freezerTempC: 3 }]],
    });
    const message = toMessage(decoded, { tenant: 'acme', device: 'fridge-1', model: 'refrigerator' }, NOW);
    expect(message.samples.map((sample) => [sample.index, sample.observedAt])).toEqual([
      [0, NOW],
      [2, NOW + 2],
    ]);
    expect(message.backfill).toBe(true);
  });

  it('keeps the identity of what it refuses, as far as it can be read', () => {
    expect(decodeJson({ ...good, s: 1 })).toMatchObject({ boot: 'k3f9q2', seq: 7, samples: 0 });
    expect(decodeJson({ ...good, boot: 'a b', s: 1 })).not.toHaveProperty('boot');
    expect(
      decodeJson({
        ...good,
        s: [
          [0, {}],
          [1, {}],
        ],
      }),
    ).toMatchObject({ samples: 2 });
  });
});

/** JSON near to a good message, so that both sides of every rule are met. */
const value = fc.oneof(
  fc.double(),
  fc.boolean(),
  fc.string({ maxLength: 4 }),
  fc.constantFrom(null, 'x'.repeat(256), 'x'.repeat(257), 1e308, -0),
  fc.jsonValue({ maxDepth: 2 }),
);
const name = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('freezerTempC', 'mode', 'doorOpen', 'extraCount') },
  { weight: 1, arbitrary: fc.constantFrom('', '9a', 'a-b', 'x'.repeat(65), '__proto__', 'constructor') },
);
const typed = fc.record(
  {
    freezerTempC: fc.double({ noNaN: true, noDefaultInfinity: true }),
    doorOpen: fc.boolean(),
    mode: fc.string({ maxLength: 257 }),
  },
  { requiredKeys: [] },
);
const sample = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.integer({ min: -1e6, max: 1e5 }), typed) },
  { weight: 2, arbitrary: fc.tuple(fc.oneof(fc.integer(), fc.double()), fc.dictionary(name, value, { maxKeys: 3 })) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
);
const envelope = fc.record({
  v: fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.jsonValue() }),
  boot: fc.oneof({ weight: 9, arbitrary: fc.constant('b-1') }, { weight: 1, arbitrary: fc.jsonValue() }),
  seq: fc.oneof({ weight: 9, arbitrary: fc.nat() }, { weight: 1, arbitrary: fc.double() }),
  t: fc.oneof({ weight: 9, arbitrary: fc.constant(NOW - 1_000) }, { weight: 1, arbitrary: fc.double() }),
  s: fc.oneof({ weight: 9, arbitrary: fc.array(sample, { maxLength: 4 }) }, { weight: 1, arbitrary: fc.jsonValue() }),
});
const payload = fc.oneof(
  { weight: 6, arbitrary: envelope },
  {
    weight: 2,
    arbitrary: fc
      .tuple(envelope, fc.constantFrom({ hist: true }, { hist: false }, { hist: null }, { x: 1 }))
      .map(([a, b]) => ({ ...a, ...b })),
  },
  { weight: 1, arbitrary: fc.jsonValue() },
);

/** What the door refuses beyond the schema: docs/ingest.md lists the same. */
const BEYOND_SCHEMA: ReadonlySet<ErrorCode> = new Set([
  'SIGNAL_UNKNOWN',
  'SIGNAL_TYPE',
  'TIME_INVALID',
  'TIME_IN_FUTURE',
]);
function isBeyondSchema(reason: ErrorCode, at: string, json: unknown): boolean {
  if (BEYOND_SCHEMA.has(reason)) return true;
  if (/\.(__proto__|constructor)$/.test(at)) return true;
  const samples = (json as { s: [number, object][] }).s;
  const index = Number(/^s\[(\d+)\]\[1\]$/.exec(at)?.[1] ?? Number.NaN);
  return reason === 'SAMPLE_INVALID' && Object.keys(samples[index]?.[1] ?? { some: 1 }).length === 0;
}

describe('decodeTelemetry beside the schema', () => {
  it('refuses what the schema refuses, and beyond that only what it is known for', () => {
    const counts = { both: 0, neither: 0, beyond: 0 };
    fc.assert(
      fc.property(payload, (input) => {
        const text = JSON.stringify(input);
        const json: unknown = JSON.parse(text);
        const allowed = telemetryPayload.safeParse(json).success;
        const refused = refusal(text);
        if (!allowed) {
          expect(refused).toBeDefined();
          counts.both++;
        } else if (refused) {
          expect(isBeyondSchema(refused[0], refused[1], json)).toBe(true);
          counts.beyond++;
        } else counts.neither++;
      }),
      { numRuns: 5_000 },
    );
    expect(Math.min(counts.both, counts.neither, counts.beyond)).toBeGreaterThan(50);
  });

  it('never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(decodeTelemetry(bytes, 'refrigerator', DECLARED, NOW).kind).toBe('refused');
      }),
      { numRuns: 1_000 },
    );
  });

  it('knows every signal of the catalogue with its kind', () => {
    const example = { number: 1, boolean: true, text: 'x' };
    for (const signal of refrigerator.signals) {
      expect(refusal(JSON.stringify(withSignals({ [signal.name]: example[signal.kind] })))).toBeUndefined();
    }
  });
});
