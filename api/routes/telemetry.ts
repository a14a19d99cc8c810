/** Telemetry of a device: ranges, latest values, and the export as a stream. */
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { z } from 'zod';
import { signalsOf } from '../../contract/devices/catalogue.ts';
import {
  type ExportedSample,
  exportedSample,
  modelAggregate,
  modelAggregateQuery,
  telemetryQuery,
  telemetrySeries,
} from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { deviceId } from '../../contract/kernel/ids.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import type { StoredSample } from '../../contract/ports/telemetry-store.ts';
import type { Principal } from '../accounts/principal.ts';
import type { Database } from '../db/database.ts';
import { selectSeals } from '../devices/custody.ts';
import { requireDevice, selectDevices, type VisibleDevice } from '../devices/device-view.ts';
import { principalOf } from '../plugins/authentication.ts';
import { invalidField } from '../plugins/problems.ts';
import { type App, answers, type RouteContext } from './context.ts';

const byId = z.object({ id: deviceId });
const byModel = z.object({ model: z.string().min(1).max(64) });
const MAX_RAW_RANGE_MS = 31 * DAY_MS;
const MAX_EXPORTS_PER_TENANT = 5;
/** Lines are sent in pieces of about this size. */
const EXPORT_CHUNK_CHARS = 64 * 1024;
const DEVICE_PAGE = 200;

const latestValues = z.object({
  device: deviceId,
  values: z.array(
    z.object({
      signal: z.string(),
      unit: z.string(),
      at: z.number(),
      value: z.union([z.number(), z.boolean(), z.string()]),
    }),
  ),
});

const exportQuery = z.strictObject({
  /** All devices you may see when absent, one after the other. */
  device: deviceId.optional(),
  from: z.iso.datetime({ offset: true }).optional(),
  to: z.iso.datetime({ offset: true }).optional(),
});

export function registerTelemetry(app: App, context: RouteContext): void {
  const { database, reader } = context;
  /** running exports, by tenant */
  const exporting = new Map<string, number>();

  app.get(
    '/api/v1/devices/:id/telemetry',
    {
      schema: {
        tags: ['telemetry'],
        params: byId,
        querystring: telemetryQuery,
        response: answers({ 200: telemetrySeries }),
      },
    },
    async (request) => {
      const { signals, points } = request.query;
      const from = Date.parse(request.query.from);
      const to = Date.parse(request.query.to);
      if (from >= to) throw invalidField('query.to', 'must be later than from');
      if (points === undefined && to - from > MAX_RAW_RANGE_MS) {
        throw new AppError('STORE_QUERY_INVALID', 'the range is longer than 31 days; ask for points');
      }
      const device = await visibleDevice(database, principalOf(request), request.params.id);
      const units = unitsOf(device);
      const unknown = signals.find((signal) => !units.has(signal));
      if (unknown !== undefined) throw invalidField('query.signals', `the device has no signal ${unknown}`);
      const visibleFrom = Math.max(from, device.sealedBefore);
      const wanted = { ...ref(device), from: visibleFrom, to, signals, ...(points === undefined ? {} : { points }) };
      const series =
        visibleFrom < to ? await reader.series(wanted) : signals.map((signal) => ({ signal, points: [] as const }));
      return {
        device: device.device,
        from,
        to,
        series: series.map((one) => ({
          signal: one.signal,
          unit: units.get(one.signal) ?? '',
          points: one.points.map(([at, value]): [number, number | boolean | string] => [at, value]),
        })),
      };
    },
  );

  app.get(
    '/api/v1/devices/:id/latest',
    { schema: { tags: ['telemetry'], params: byId, response: answers({ 200: latestValues }) } },
    async (request) => {
      const device = await visibleDevice(database, principalOf(request), request.params.id);
      const units = unitsOf(device);
      const latest = await reader.latest(ref(device));
      return {
        device: device.device,
        values: [...latest]
          .filter(([, { observedAt }]) => observedAt >= device.sealedBefore)
          .map(([signal, { observedAt, value }]) => ({
            signal,
            unit: units.get(signal) ?? '',
            at: observedAt,
            value,
          })),
      };
    },
  );

  app.get(
    '/api/v1/models/:model/aggregate',
    {
      schema: {
        tags: ['telemetry'],
        description:
          'A number signal across all devices of the model, at most 1,500 buckets of a minute or an hour. Not for users of one centre: they do not see all devices.',
        params: byModel,
        querystring: modelAggregateQuery,
        response: answers({ 200: modelAggregate }),
      },
    },
    async (request) => {
      const principal = principalOf(request);
      if (principal.centre !== undefined) throw new AppError('FORBIDDEN', 'users of one centre do not see the fleet');
      const { model } = request.params;
      const { signal, bucket } = request.query;
      const from = Date.parse(request.query.from);
      const to = Date.parse(request.query.to);
      if (from >= to) throw invalidField('query.to', 'must be later than from');
      const bucketMs = bucket === '1m' ? MINUTE_MS : HOUR_MS;
      const { tenant } = principal;
      const buckets = await reader.aggregateModel({ tenant, model, signal, from, to, bucketMs });
      const unit = signalsOf(model).get(signal)?.unit ?? '';
      return { model, signal, unit, bucketMs, buckets: buckets.map((one) => ({ ...one })) };
    },
  );

  app.get(
    '/api/v1/export/telemetry',
    {
      schema: {
        tags: ['telemetry'],
        description: 'NDJSON, one sample a line, ordered by device time, boot, seq and index of each device.',
        querystring: exportQuery,
        response: answers({ 200: exportedSample.describe('one line') }),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const from = request.query.from === undefined ? 0 : Date.parse(request.query.from);
      const to = request.query.to === undefined ? Number.MAX_SAFE_INTEGER : Date.parse(request.query.to);
      if (from >= to) throw invalidField('query.to', 'must be later than from');
      const devices = request.query.device
        ? [await visibleDevice(database, principal, request.query.device)]
        : visibleDevices(database, principal);
      const running = exporting.get(principal.tenant) ?? 0;
      if (running >= MAX_EXPORTS_PER_TENANT) throw new AppError('RATE_LIMITED', 'too many exports run for your tenant');
      exporting.set(principal.tenant, running + 1);
      const stream = Readable.from(exportLines(devices, { from, to }), {
        objectMode: false,
        highWaterMark: EXPORT_CHUNK_CHARS,
      });
      stream.once('close', () => exporting.set(principal.tenant, (exporting.get(principal.tenant) ?? 1) - 1));
      await firstByteOrError(stream);
      return reply
        .header('content-type', 'application/x-ndjson; charset=utf-8')
        .header('content-disposition', 'attachment; filename="telemetry.ndjson"')
        .send(stream as never);
    },
  );

  /** Pulled by the socket: nothing is read from the store before the client has taken what came before. */
  async function* exportLines(
    devices: Iterable<VisibleDevice> | AsyncIterable<VisibleDevice>,
    range: { from: number; to: number },
  ): AsyncGenerator<string> {
    let chunk = '';
    for await (const device of devices) {
      const from = Math.max(range.from, device.sealedBefore);
      if (from >= range.to) continue;
      for await (const sample of reader.export({ ...ref(device), from, to: range.to })) {
        chunk += `${JSON.stringify(exported(sample))}\n`;
        if (chunk.length < EXPORT_CHUNK_CHARS) continue;
        yield chunk;
        chunk = '';
      }
    }
    if (chunk !== '') yield chunk;
  }
}

/** A store that fails at once is answered with a problem; one that fails later cuts the connection, so nobody takes a part for the whole. */
async function firstByteOrError(stream: Readable): Promise<void> {
  await once(stream, 'readable');
}

function exported(sample: StoredSample): ExportedSample {
  const { device, boot, seq, index, observedAt, receivedAt, signals } = sample;
  return { device, boot, seq, index, time: observedAt, receivedAt, signals: { ...signals } };
}

const ref = ({ tenant, device, model }: VisibleDevice) => ({ tenant, device, model });

function visibleDevice(database: Database, principal: Principal, id: string): Promise<VisibleDevice> {
  return database.withTenant(principal, (tx) => requireDevice(tx, principal, id));
}

async function* visibleDevices(database: Database, principal: Principal): AsyncGenerator<VisibleDevice> {
  for (let afterId: string | undefined; ; ) {
    const [page, seals] = await database.withTenant(principal, async (tx) => {
      const found = await selectDevices(tx, principal, new Map(), { limit: DEVICE_PAGE, afterId });
      const ids = found.map((one) => one.id);
      return [found, await selectSeals(tx, principal, ids)] as const;
    });
    for (const { tenant, id, model } of page) {
      yield { tenant, device: id, model, declaredSignals: {}, sealedBefore: seals.get(id) ?? 0 };
    }
    afterId = page.at(-1)?.id;
    if (page.length < DEVICE_PAGE) return;
  }
}

/** Units of the signals that a device may have: those of its model and those it declared. */
function unitsOf(device: VisibleDevice): ReadonlyMap<string, string> {
  const units = new Map(Object.entries(device.declaredSignals).map(([name, signal]) => [name, signal.unit]));
  for (const [name, signal] of signalsOf(device.model)) units.set(name, signal.unit);
  return units;
}
