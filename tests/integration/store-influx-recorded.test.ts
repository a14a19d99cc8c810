/**
 * The InfluxDB store against what 2.x and 3.x answer according to their documentation, their sources and public reports. No
 * such server is run here: docs/stores.md says what this shows and what it does not.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { TelemetryStore } from '../../contract/ports/telemetry-store.ts';
import { createInfluxStore, type InfluxStoreOptions } from '../../ingest/store/influx.ts';
import { type AskedOf, readExchanges, startReplay } from '../support/influx-replay.ts';
import { BASE_TIME_MS, message, recordingMetrics, silentLogger } from '../support/store-samples.ts';

const stops: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

const BAD = 666;
/** 40 samples of one device, one of them with a value that a server is told to refuse. */
const batch = Array.from({ length: 40 }, (_, seq) =>
  message({ device: 'd', seq, samples: [[BASE_TIME_MS + seq, { compressorCurrentA: seq === 23 ? BAD : 1 }]] }),
);
const one = message({ device: 'd', seq: 1, samples: [[BASE_TIME_MS, { compressorCurrentA: 1 }]] });

type Version = 'v2' | 'v3';

/** A store that talks to a server which answers writes and questions as the exchanges of these names say. */
async function open(
  version: Version,
  onWrite: (asked: AskedOf) => string,
  onQuery: (asked: AskedOf) => string = () => 'queryNothing',
  options: InfluxStoreOptions = {},
) {
  const server = await startReplay(readExchanges(version), (asked) => {
    if (asked.path === '/ping') return 'ping';
    return asked.path === '/query' ? onQuery(asked) : onWrite(asked);
  });
  const org = version === 'v2' ? { org: 'my org' } : {};
  const tools = { logger: silentLogger, metrics: recordingMetrics() };
  const target = { url: server.url, bucket: 'bucket 1', token: 'secret', api: 'auto', ...org } as const;
  const store: TelemetryStore = createInfluxStore({ ...target, ...tools }, options);
  stops.push(
    () => server.stop(),
    () => store.stop(),
  );
  const writes = () => server.asked.filter(({ path }) => path.includes('write'));
  const statements = () =>
    server.asked.filter(({ path }) => path === '/query').map(({ body }) => new URLSearchParams(body).get('q') ?? '');
  return { ...server, store, writes, statements };
}

const accepted = () => 'writeAccepted';
const refusing = (exchange: string) => (asked: AskedOf) =>
  asked.body.includes(`compressorCurrentA=${BAD}`) ? exchange : 'writeAccepted';

describe.each(['v2', 'v3'] as const)('InfluxDB %s as it is documented', (version) => {
  it('is found by its ping, takes a batch in its own way, and is asked what it knows before', async () => {
    const { store, writes, statements, unlike } = await open(version, accepted);
    await store.ping();
    expect(await store.write(batch, 1)).toEqual([]);
    expect(writes()).toHaveLength(1);
    expect(writes()[0]?.body.split('\n')).toHaveLength(40);
    expect(writes()[0]?.body).toMatch(/^refrigerator,\S+ .*compressorCurrentA=1\b.* \d{19}\n/);
    expect(statements()[0]).toMatch(/^SHOW FIELD KEYS FROM "refrigerator"/);
    // No database is made, no roll-up finished: those are of 1.x.
    expect(statements().filter((statement) => /CREATE|DELETE/.test(statement))).toEqual([]);
    expect(await store.retain({ rawBefore: BASE_TIME_MS, minutesBefore: 0 })).toBeUndefined();
    expect(unlike).toEqual([]);
  });

  it.each(
    version === 'v2'
      ? [
          ['writePartial', /field type conflict: input field "value".*already exists as type float dropped=11$/],
          ['writeMalformed', /^unable to parse .*missing field value$/],
        ]
      : [
          ['writePartial', /^partial write.*: invalid column type for column 'temp', expected .*float, got .*string$/],
          ['writeRefusedWhole', /^parsing failed.*: invalid column type for column 'temp'/],
          ['writeOverLimit', /: Update to schema would exceed number of columns per table/],
        ],
  )(
    'hands the one bad line back on %s, with the server’s words about it, and stores the others',
    async (name, words) => {
      const { store, writes, unlike } = await open(version, refusing(name));
      const rejected = await store.write(batch, 1);
      expect(rejected.map(({ sample }) => sample.seq)).toEqual([23]);
      expect(rejected[0]?.reason).toMatch(words);
      const stored = writes().filter(({ body }) => !body.includes(`=${BAD}`));
      const lines = new Set(stored.flatMap(({ body }) => body.split('\n')));
      expect(lines.size).toBe(39);
      expect(unlike).toEqual([]);
    },
  );

  it('halves a batch that is too large for a request', async () => {
    const tooLarge = ({ body }: AskedOf) => (body.split('\n').length > 10 ? 'writeTooLarge' : 'writeAccepted');
    const { store, writes, unlike } = await open(version, tooLarge);
    expect(await store.write(batch, 1)).toEqual([]);
    const taken = writes().filter(({ body }) => body.split('\n').length <= 10);
    expect(taken.flatMap(({ body }) => body.split('\n'))).toHaveLength(40);
    expect(unlike).toEqual([]);
  });

  const LATER: readonly (readonly [name: string, status: number])[] = [
    ['unauthorized', 401],
    ['tooManyRequests', 429],
    ...(version === 'v2'
      ? ([
          ['bucketMissing', 404],
          ['overloaded', 503],
        ] as const)
      : []),
  ];
  it.each(LATER)('keeps everything for later on %s', async (name, status) => {
    let answer = name;
    const { store, unlike } = await open(version, () => answer);
    await expect(store.write([one], 1)).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      retriable: true,
      facts: { status },
    });
    answer = 'writeAccepted';
    expect(await store.write([one], 1)).toEqual([]);
    expect(unlike).toEqual([]);
  });
});

describe('InfluxDB 2.x as it is documented', () => {
  it('answers several statements in one request', async () => {
    const { store, statements, unlike } = await open('v2', accepted, () => 'queryTwoStatements');
    await store.write([one], 1);
    expect(statements().some((statement) => statement.includes(';'))).toBe(true);
    expect(unlike).toEqual([]);
  });

  it('says that the bucket has no mapping, and the data wait', async () => {
    const { store } = await open('v2', accepted, () => 'queryUnmapped');
    await expect(store.write([one], 1)).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      message: expect.stringContaining('database not found: bucket 1'),
    });
  });
});

describe('InfluxDB 3.x as it is documented', () => {
  const oneAtATime = (then: string) => (asked: AskedOf) =>
    new URLSearchParams(asked.body).get('q')?.includes(';') ? 'queryManyStatements' : then;

  it('is asked one statement at a time: it takes no second one', async () => {
    const { store, statements, unlike } = await open('v3', accepted, oneAtATime('queryNothing'));
    await store.write(batch, 1);
    await store.latest({ tenant: 'acme', device: 'd', model: 'refrigerator' });
    expect(statements().length).toBeGreaterThan(2);
    expect(statements().filter((statement) => statement.includes(';'))).toEqual([]);
    expect(unlike).toEqual([]);
  });

  it('has no database before the first write, which makes it: nothing is stored, and nothing is wrong', async () => {
    const { store, unlike } = await open('v3', accepted, oneAtATime('queryDatabaseMissing'));
    expect(await store.hasMessage({ tenant: 'acme', device: 'd', model: 'refrigerator', boot: 'b', seq: 1 })).toBe(
      false,
    );
    expect((await store.latest({ tenant: 'acme', device: 'd', model: 'refrigerator' })).size).toBe(0);
    expect(await store.write([one], 1)).toEqual([]);
    expect(unlike).toEqual([]);
  });
});
