/** Roll-ups and fleet-wide questions of the InfluxDB store: the server groups, `roll-ups.ts` joins. */

import { TENANT_PATTERN } from '../../contract/kernel/ids.ts';
import type {
  AggregateQuery,
  LatestPage,
  LatestPageQuery,
  ModelAggregateQuery,
  ModelBucket,
  RollUpSeries,
} from '../../contract/ports/telemetry-store.ts';
import { type InfluxConnection, type InfluxRows, quotedName } from './influx-connection.ts';
import { fieldOf, measurementOf } from './influx-lines.ts';
import { inRange, millisecondOf, nanoseconds, readKinds, readLatest, text } from './influx-read.ts';
import { readSealedParts, readSealedShares } from './influx-seal.ts';
import { compareText } from './latest-values.ts';
import { isStorableRef } from './queries.ts';
import { type DeviceBucket, joinParts, modelBuckets, type RollUpPart } from './roll-ups.ts';

/** Rows that one reply of a fleet-wide question may have. */
const MAX_REPLY_ROWS = 100_000;
/** Devices that are asked about at once. */
const PARALLEL_DEVICES = 8;

/** Roll-ups of the query's signals in its order; the range is whole buckets. */
export async function readRollUps(connection: InfluxConnection, query: AggregateQuery): Promise<RollUpSeries[]> {
  const bySignal = new Map<string, readonly RollUpPart[]>();
  if (isStorableRef(query) && query.from < query.to) {
    const kinds = new Map(await readKinds(connection, query.model));
    const wanted = [...new Set(query.signals)].filter((signal) => kinds.get(signal) === 'number');
    const sealed = await readSealedParts(connection, query, wanted);
    const found = await connection.query(wanted.map((signal) => rollUpStatement(query, signal)));
    found.forEach((rows, i) => {
      bySignal.set(wanted[i] as string, [...(sealed[i] ?? []), ...partsOf(rows)]);
    });
  }
  return query.signals.map((signal) => ({ signal, buckets: joinParts(bySignal.get(signal) ?? []) }));
}

/** The sum rather than the mean: the server divides and multiplies again when it joins means. */
function rollUpStatement(query: AggregateQuery, signal: string): string {
  const f = quotedName(fieldOf(signal));
  return `SELECT count(${f}), sum(${f}), min(${f}), max(${f}), last(${f}) ${inRange(query)} GROUP BY time(${query.bucketMs}ms) fill(none)`;
}

function partsOf(rows: InfluxRows | undefined): RollUpPart[] {
  return (rows?.values ?? []).flatMap((row) => {
    const [count, sum, min, max, last] = row.slice(1) as [number, number, number, number, number];
    return count > 0 ? [{ from: millisecondOf(row), count, sum, min, max, last }] : [];
  });
}

/** A signal across all devices of a tenant; the range is whole buckets. Memory: a reply, and a mean a device and bucket of it. */
export async function readModelBuckets(
  connection: InfluxConnection,
  query: ModelAggregateQuery,
): Promise<ModelBucket[]> {
  const { tenant, model, signal, from, to, bucketMs } = query;
  if (!TENANT_PATTERN.test(tenant) || from >= to) return [];
  if (new Map(await readKinds(connection, model)).get(signal) !== 'number') return [];
  const devices = await readDevices(connection, tenant, model);
  const stepMs = bucketMs * Math.max(1, Math.floor(MAX_REPLY_ROWS / Math.max(1, devices.length)));
  const buckets: ModelBucket[] = [];
  for (let start = from; start < to; start += stepMs) {
    const f = quotedName(fieldOf(signal));
    const groups = await connection.queryGroups(
      `SELECT count(${f}), sum(${f}) FROM ${quotedName(measurementOf(model))} WHERE "tenant" = ${text(tenant)} AND time >= ${nanoseconds(start)} AND time < ${nanoseconds(Math.min(to, start + stepMs))} GROUP BY time(${bucketMs}ms), "device" fill(none)`,
    );
    const sealed = await readSealedShares(connection, { ...query, from: start, to: Math.min(to, start + stepMs) });
    buckets.push(...modelBuckets(joinShares(sealed, groups)));
  }
  return buckets;
}

/** Shares of each device, the sealed and the raw part of a bucket as one. */
function* joinShares(
  sealed: ReadonlyMap<string, readonly DeviceBucket[]>,
  groups: readonly InfluxRows[],
): Generator<DeviceBucket> {
  const raw = new Map(groups.map(({ tags = {}, values }) => [tags.device ?? '', values]));
  for (const device of new Set([...sealed.keys(), ...raw.keys()])) {
    const shares = new Map<number, DeviceBucket>();
    const add = (share: DeviceBucket): void => {
      const { count = 0, sum = 0 } = shares.get(share.from) ?? {};
      shares.set(share.from, { from: share.from, count: count + share.count, sum: sum + share.sum });
    };
    for (const share of sealed.get(device) ?? []) add(share);
    for (const row of raw.get(device) ?? []) {
      const [count, sum] = row.slice(1) as [number, number];
      if (count > 0) add({ from: millisecondOf(row), count, sum });
    }
    yield* shares.values();
  }
}

/** Latest values of the next devices; asks device by device, so a page costs its devices and not the fleet. */
export async function readLatestPage(
  connection: InfluxConnection,
  { tenant, model, limit, after = '' }: LatestPageQuery,
): Promise<LatestPage> {
  if (!TENANT_PATTERN.test(tenant)) return { devices: [] };
  const all = (await readDevices(connection, tenant, model)).filter((device) => device > after).sort(compareText);
  const devices: LatestPage['devices'][number][] = [];
  for (let i = 0; i < all.length && devices.length < limit; i += PARALLEL_DEVICES) {
    const asked = all.slice(i, i + PARALLEL_DEVICES);
    const found = await Promise.all(
      asked.map(async (device) => ({ device, values: await readLatest(connection, { tenant, device, model }) })),
    );
    devices.push(...found.filter(({ values }) => values.size > 0));
  }
  const page = devices.slice(0, limit);
  const last = page.at(-1)?.device;
  return { devices: page, ...(page.length === limit && last !== undefined && { next: last }) };
}

async function readDevices(connection: InfluxConnection, tenant: string, model: string): Promise<string[]> {
  const [rows] = await connection.query([
    `SHOW TAG VALUES FROM ${quotedName(measurementOf(model))} WITH KEY = "device" WHERE "tenant" = ${text(tenant)}`,
  ]);
  return (rows?.values ?? []).map((row) => String(row[1]));
}
