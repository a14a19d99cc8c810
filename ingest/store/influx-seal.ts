/**
 * Retention on InfluxDB 1.x: an hour of a model's samples becomes roll-ups in measurements of their own (`<model>.1m`,
 * `<model>.1h`) and is deleted. InfluxDB has no transactions, so a marker says how far the step is: written roll-ups are
 * written again under the same number, and a deletion is finished before anything new is written.
 */
import { escape as escapeLine } from '@influxdata/influxdb-client';
import { AppError } from '../../contract/kernel/errors.ts';
import { HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import type { RangeQuery, RetentionCut } from '../../contract/ports/telemetry-store.ts';
import { type InfluxConnection, type InfluxRows, quotedName } from './influx-connection.ts';
import { fieldOf, measurementOf, signalOf } from './influx-lines.ts';
import { fromDevice, millisecondOf, nanoseconds, text } from './influx-read.ts';
import { MINUTES_BELOW_MS } from './queries.ts';
import type { DeviceBucket, RollUpPart } from './roll-ups.ts';

const MARKERS = 'presage.seals';
const WIDTHS = [
  ['1m', MINUTE_MS],
  ['1h', HOUR_MS],
] as const;
/** Lines of one write request. */
const MAX_LINES = 2_000;
/** Parts of one bucket that the digits below the millisecond tell apart. */
const MAX_PARTS = 1_000_000;

interface Marker {
  readonly measurement: string;
  readonly part: number;
  readonly from: number;
  readonly phase: string;
}

/** Measurement of the roll-ups of a model's measurement. No model's own name holds a dot. */
export function rolledOf(measurement: string, bucketMs: number): string {
  return `${measurement}.${bucketMs === MINUTE_MS ? '1m' : '1h'}`;
}

/** Fields of signals that a roll-up measurement holds, from its field keys. */
export function sealedFields(fieldKeys: InfluxRows | undefined): string[] {
  return (fieldKeys?.values ?? [])
    .map(([field]) => String(field))
    .filter((field) => field.endsWith('.n'))
    .map((field) => field.slice(0, -2));
}

/** Finishes deletions that a crash interrupted. Must run before the first write: late samples of that hour would go too. */
export async function finishSeals(connection: InfluxConnection): Promise<void> {
  for (const marker of await readMarkers(connection)) if (marker.phase === 'deleting') await finish(connection, marker);
}

/** Seals the oldest due hour of a model. @returns its samples, or `undefined` when none is due */
export async function sealOldestHour(connection: InfluxConnection, cut: RetentionCut): Promise<number | undefined> {
  const markers = await readMarkers(connection);
  const [measurements] = await connection.query(['SHOW MEASUREMENTS']);
  const names = (measurements?.values ?? []).map(([name]) => String(name));
  // Only what this store wrote: the database may hold measurements of others.
  for (const { measurement } of markers) {
    const minutes = quotedName(rolledOf(measurement, MINUTE_MS));
    await connection.query([`DELETE FROM ${minutes} WHERE time < ${nanoseconds(cut.minutesBefore)}`]);
  }
  for (const measurement of names.filter((one) => !one.includes('.'))) {
    const before = markers.find((marker) => marker.measurement === measurement);
    // A step that was interrupted is repeated as it was, so that its roll-ups land on themselves.
    const from = before?.phase === 'writing' ? before.from : await dueHour(connection, measurement, cut.rawBefore);
    if (from === undefined) continue;
    const part = before?.phase === 'writing' ? before.part : (before?.part ?? 0) + 1;
    return sealHour(connection, { measurement, part, from, phase: 'writing' });
  }
  return undefined;
}

async function sealHour(connection: InfluxConnection, marker: Marker): Promise<number> {
  if (marker.part >= MAX_PARTS) throw new AppError('STORE_UNAVAILABLE', 'no numbers are left for roll-ups');
  await mark(connection, marker);
  const { measurement, from } = marker;
  const [counted] = await connection.query([
    `SELECT count("seq") FROM ${quotedName(measurement)} WHERE ${inHour(from)}`,
  ]);
  const [fields] = await connection.query([`SHOW FIELD KEYS FROM ${quotedName(measurement)}`]);
  for (const [field, type] of (fields?.values ?? []) as [string, string][]) {
    if (signalOf(field) === undefined || type !== 'float') continue;
    for (const [, widthMs] of WIDTHS) await rollUp(connection, marker, field, widthMs);
  }
  await mark(connection, { ...marker, phase: 'deleting' });
  await finish(connection, { ...marker, phase: 'deleting' });
  return Number(counted?.values[0]?.[1] ?? 0);
}

async function finish(connection: InfluxConnection, marker: Marker): Promise<void> {
  await connection.query([`DELETE FROM ${quotedName(marker.measurement)} WHERE ${inHour(marker.from)}`]);
  await mark(connection, { ...marker, phase: 'done' });
}

/** The server groups; extremes come from `bottom` and `top`, which know the time of their point. */
async function rollUp(connection: InfluxConnection, marker: Marker, field: string, widthMs: number): Promise<void> {
  const { measurement, from, part } = marker;
  const f = quotedName(field);
  const rest = `FROM ${quotedName(measurement)} WHERE ${inHour(from)} GROUP BY time(${widthMs}ms), "tenant", "device"`;
  const [sums, lows, highs] = await Promise.all([
    connection.queryGroups(`SELECT count(${f}), sum(${f}), last(${f}) ${rest} fill(none)`),
    connection.queryGroups(`SELECT bottom(${f}, 1) ${rest}`),
    connection.queryGroups(`SELECT top(${f}, 1) ${rest}`),
  ]);
  const [low, high] = [extremes(lows, widthMs), extremes(highs, widthMs)];
  const lines: string[] = [];
  for (const { tags = {}, values } of sums) {
    for (const row of values) {
      const [count, sum, last] = row.slice(1) as [number, number, number];
      const at = millisecondOf(row);
      const [lowAt, min] = low.get(keyOf(tags, at)) ?? [];
      const [highAt, max] = high.get(keyOf(tags, at)) ?? [];
      if (count === 0 || lowAt === undefined || highAt === undefined) continue;
      const facts = { n: count, sum, last, min, min_at: lowAt, max, max_at: highAt };
      const list = Object.entries(facts).map(([name, value]) => `${escapeLine.tag(`${field}.${name}`)}=${value}`);
      const series = `${escapeLine.measurement(rolledOf(measurement, widthMs))},device=${escapeLine.tag(tags.device ?? '')},tenant=${escapeLine.tag(tags.tenant ?? '')}`;
      lines.push(`${series} ${list.join(',')} ${at}${String(part).padStart(6, '0')}`);
    }
  }
  await writeAll(connection, lines);
}

function extremes(groups: readonly InfluxRows[], widthMs: number): ReadonlyMap<string, readonly [number, number]> {
  const found = new Map<string, readonly [number, number]>();
  for (const { tags = {}, values } of groups) {
    for (const row of values) {
      const at = millisecondOf(row);
      found.set(keyOf(tags, Math.floor(at / widthMs) * widthMs), [at, row[1] as number]);
    }
  }
  return found;
}

function keyOf({ tenant, device }: Readonly<Record<string, string>>, bucket: number): string {
  return `${tenant} ${device} ${bucket}`;
}

function inHour(from: number): string {
  return `time >= ${nanoseconds(from)} AND time < ${nanoseconds(from + HOUR_MS)}`;
}

/** Oldest hour of which every sample was received before. */
async function dueHour(
  connection: InfluxConnection,
  measurement: string,
  rawBefore: number,
): Promise<number | undefined> {
  const last = Math.floor(rawBefore / HOUR_MS) * HOUR_MS;
  const from = `FROM ${quotedName(measurement)} WHERE time < ${nanoseconds(last)}`;
  const [oldest] = await connection.query([`SELECT first("seq") ${from}`]);
  if (!oldest) return undefined;
  const start = Math.floor(millisecondOf(oldest.values[0]) / HOUR_MS) * HOUR_MS;
  const [hours] = await connection.query([
    `SELECT max("received_at") ${from} AND time >= ${nanoseconds(start)} GROUP BY time(1h) fill(none)`,
  ]);
  const due = hours?.values.find((row) => Number(row[1]) < rawBefore);
  return due && millisecondOf(due);
}

/** One marker a model, always at the same place. */
function mark(connection: InfluxConnection, { measurement, part, from, phase }: Marker): Promise<void> {
  const line = `${MARKERS},model=${escapeLine.tag(measurement)} part=${part}i,from=${from},phase=${escapeLine.quoted(phase)} 0`;
  return writeAll(connection, [line]);
}

async function readMarkers(connection: InfluxConnection): Promise<Marker[]> {
  const groups = await connection.queryGroups(
    `SELECT "part", "from", "phase" FROM ${quotedName(MARKERS)} GROUP BY "model"`,
  );
  return groups.flatMap(({ tags = {}, values: [row] }) => {
    if (!row) return [];
    const [, part, from, phase] = row as [unknown, number, number, string];
    return [{ measurement: tags.model ?? '', part, from, phase }];
  });
}

async function writeAll(connection: InfluxConnection, lines: readonly string[]): Promise<void> {
  for (let i = 0; i < lines.length; i += MAX_LINES) {
    const reply = await connection.write(lines.slice(i, i + MAX_LINES));
    if (reply.kind === 'refused') throw new AppError('STORE_UNAVAILABLE', `roll-ups were refused: ${reply.reason}`);
  }
}

/** Sealed parts of a device's buckets, in the order in which they were sealed. */
export async function readSealedParts(
  connection: InfluxConnection,
  query: RangeQuery & { readonly bucketMs: number },
  signals: readonly string[],
): Promise<RollUpPart[][]> {
  const from = fromDevice(query, rolledOf(measurementOf(query.model), query.bucketMs));
  const range = `${from} AND time >= ${nanoseconds(query.from)} AND time < ${nanoseconds(query.to)}`;
  const found = await connection.query(
    signals.map((signal) => `SELECT ${columns(signal, ['n', 'sum', 'min', 'max', 'last'])} ${range}`),
  );
  return found.map((rows) =>
    (rows?.values ?? []).map((row) => {
      const [count, sum, min, max, last] = row.slice(1) as [number, number, number, number, number];
      return { from: millisecondOf(row), count, sum, min, max, last };
    }),
  );
}

/** Sealed shares of all devices in a range. */
export async function readSealedShares(
  connection: InfluxConnection,
  {
    tenant,
    model,
    signal,
    from,
    to,
    bucketMs,
  }: Record<'tenant' | 'model' | 'signal', string> & Record<'from' | 'to' | 'bucketMs', number>,
): Promise<Map<string, DeviceBucket[]>> {
  const groups = await connection.queryGroups(
    `SELECT ${columns(signal, ['n', 'sum'])} FROM ${quotedName(rolledOf(measurementOf(model), bucketMs))} WHERE "tenant" = ${text(tenant)} AND time >= ${nanoseconds(from)} AND time < ${nanoseconds(to)} GROUP BY "device"`,
  );
  return new Map(
    groups.map(({ tags = {}, values }) => [
      tags.device ?? '',
      values.map((row) => ({ from: millisecondOf(row), count: row[1] as number, sum: row[2] as number })),
    ]),
  );
}

/** Where the extremes of sealed buckets of a range lie, for `BucketExtremes`. */
export async function readSealedExtremes(
  connection: InfluxConnection,
  query: RangeQuery,
  signal: string,
  bucketWidthMs: number,
): Promise<(readonly [at: number, value: number])[]> {
  const widths = WIDTHS.filter(([, widthMs]) => widthMs === HOUR_MS || bucketWidthMs < MINUTES_BELOW_MS);
  const found = await connection.query(
    widths.map(([, widthMs]) => {
      const from = fromDevice(query, rolledOf(measurementOf(query.model), widthMs));
      const range = `time > ${nanoseconds(query.from - widthMs)} AND time < ${nanoseconds(query.to)}`;
      return `SELECT ${columns(signal, ['min_at', 'min', 'max_at', 'max'])} ${from} AND ${range}`;
    }),
  );
  return found
    .flatMap((rows) => rows?.values ?? [])
    .flatMap((row) => {
      const [lowAt, low, highAt, high] = row.slice(1) as [number, number, number, number];
      return [[lowAt, low] as const, [highAt, high] as const];
    })
    .filter(([at]) => at >= query.from && at < query.to);
}

function columns(signal: string, facts: readonly string[]): string {
  return facts.map((fact) => quotedName(`${fieldOf(signal)}.${fact}`)).join(', ');
}
