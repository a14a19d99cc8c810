/** What was refused at the device door: readable, and to be decoded again after the cause was corrected. */
import { and, asc, desc, eq, isNotNull, ne, type SQL, sql } from 'drizzle-orm';
import { z } from 'zod';
import {
  page,
  pageQuery,
  type QuarantineReplay,
  type QuarantineReplayed,
  quarantineEntry,
  quarantineReplayed,
  quarantineReplayRequest,
  quarantineState,
} from '../../contract/http/resources.ts';
import { AppError, ERRORS, type ErrorCode } from '../../contract/kernel/errors.ts';
import type { ReplayRequest, ReplayResult } from '../../contract/ports/replay.ts';
import { type Principal, requireWholeTenant } from '../accounts/principal.ts';
import type { Transaction } from '../db/database.ts';
import { devices, quarantine } from '../db/schema.ts';
import { principalOf } from '../plugins/authentication.ts';
import { type App, answers, decodeCursor, encodeCursor, pageOf, type RouteContext } from './context.ts';

const query = pageQuery
  .extend({
    device: z.string().min(1).max(64).optional(),
    reason: z.string().min(1).max(64).optional(),
    state: quarantineState.optional(),
  })
  .strict();
const byId = z.object({ id: z.string().min(1).max(64) });
/** Payloads of one replay in memory; the rest waits for the next page. */
const MAX_REPLAY_BYTES = 8 * 1024 * 1024;

const COLUMNS = {
  id: quarantine.id,
  device: quarantine.device,
  reason: quarantine.reason,
  at: quarantine.at,
  channel: quarantine.channel,
  receivedAt: quarantine.receivedAt,
  sha256: quarantine.sha256,
  excerpt: quarantine.excerpt,
  boot: quarantine.boot,
  seq: quarantine.seq,
  samples: quarantine.samples,
  state: quarantine.state,
  replayable: sql<boolean>`${quarantine.payload} IS NOT NULL`,
  replay: quarantine.replay,
};
type Row = { [Name in keyof Omit<typeof COLUMNS, 'replayable'>]: (typeof quarantine.$inferSelect)[Name] } & {
  replayable: boolean;
};

export function registerQuarantine(app: App, context: RouteContext): void {
  const { database } = context;
  app.get(
    '/api/v1/quarantine',
    { schema: { tags: ['quarantine'], querystring: query, response: answers({ 200: page(quarantineEntry) }) } },
    async (request) => {
      const principal = principalOf(request);
      const { limit, cursor, device, reason, state } = request.query;
      const conditions = [eq(quarantine.tenant, principal.tenant), ...those({ device, reason })];
      if (state !== undefined) conditions.push(eq(quarantine.state, state));
      const after = decodeCursor(cursor);
      if (after) conditions.push(sql`(${quarantine.receivedAt}, ${quarantine.id}) < (${after[0]}, ${after[1]})`);
      const rows = await database.withTenant(principal, (tx) =>
        tx
          .select(COLUMNS)
          .from(quarantine)
          .where(and(...conditions))
          .orderBy(desc(quarantine.receivedAt), desc(quarantine.id))
          .limit(limit + 1),
      );
      return pageOf(rows, limit, entryOf, (row) => encodeCursor(row.receivedAt, row.id));
    },
  );

  app.get(
    '/api/v1/quarantine/:id',
    { schema: { tags: ['quarantine'], params: byId, response: answers({ 200: quarantineEntry }) } },
    async (request) => {
      const principal = principalOf(request);
      const [row] = await database.withTenant(principal, (tx) => selectRows(tx, principal, [request.params.id]));
      if (!row) throw new AppError('NOT_FOUND', `quarantine entry ${request.params.id}`);
      return entryOf(row);
    },
  );

  app.post(
    '/api/v1/quarantine/:id/replay',
    {
      schema: {
        tags: ['quarantine'],
        description:
          'Decodes the payload again with today’s rules. What is good now is stored with its original receive time, once; `replay` says how it went.',
        params: byId,
        response: answers({ 200: quarantineEntry }, 409),
      },
    },
    async (request) => {
      const principal = requireWholeTenant(principalOf(request), 'manageDevices');
      const { id } = request.params;
      const [found] = await pending(principal, [eq(quarantine.id, id)], 1, false);
      if (!found) throw new AppError('NOT_FOUND', `quarantine entry ${id}`);
      await replayAll(principal, [found]);
      const [row] = await database.withTenant(principal, (tx) => selectRows(tx, principal, [id]));
      if (!row) throw new AppError('NOT_FOUND', `quarantine entry ${id}`);
      return entryOf(row);
    },
  );

  app.post(
    '/api/v1/quarantine/replay',
    {
      schema: {
        tags: ['quarantine'],
        description:
          'The same for the entries of a device or reason, oldest first, at most `limit` in one request; go on with `cursor` = `nextCursor`.',
        body: quarantineReplayRequest,
        response: answers({ 200: quarantineReplayed }, 409),
      },
    },
    async (request) => {
      const principal = requireWholeTenant(principalOf(request), 'manageDevices');
      const { device, reason, limit, cursor } = request.body;
      const conditions = those({ device, reason });
      const after = decodeCursor(cursor);
      if (after) conditions.push(sql`(${quarantine.receivedAt}, ${quarantine.id}) > (${after[0]}, ${after[1]})`);
      const found = await pending(principal, conditions, limit + 1, true);
      const taken = withinBytes(found.slice(0, limit));
      const results = await replayAll(principal, taken);
      const ids = taken.map(({ id }) => id);
      const rows = await database.withTenant(principal, (tx) => selectRows(tx, principal, ids));
      const last = taken.at(-1);
      return {
        items: rows.map(entryOf),
        ...sumOf(results),
        ...(found.length > taken.length && last ? { nextCursor: encodeCursor(last.receivedAt, last.id) } : {}),
      };
    },
  );

  type Pending = Awaited<ReturnType<typeof pending>>[number];

  /** Entries with what a replay needs, oldest first; `open` leaves out those that have nothing to replay. */
  function pending(principal: Principal, conditions: readonly SQL[], limit: number, open: boolean) {
    const worthIt = open ? [isNotNull(quarantine.payload), ne(quarantine.state, 'replayed')] : [];
    return database.withTenant(principal, (tx) =>
      tx
        .select({
          id: quarantine.id,
          device: quarantine.device,
          reason: quarantine.reason,
          channel: quarantine.channel,
          receivedAt: quarantine.receivedAt,
          state: quarantine.state,
          replay: quarantine.replay,
          payload: quarantine.payload,
          refusedModel: quarantine.model,
          places: quarantine.places,
          model: devices.model,
          declared: devices.declaredSignals,
        })
        .from(quarantine)
        .leftJoin(devices, and(eq(devices.tenant, quarantine.tenant), eq(devices.id, quarantine.device)))
        .where(and(eq(quarantine.tenant, principal.tenant), ...worthIt, ...conditions))
        .orderBy(asc(quarantine.receivedAt), asc(quarantine.id))
        .limit(limit),
    );
  }

  /** An entry that was replayed before is left as it is: its payload is gone, and its samples are there. */
  async function replayAll(principal: Principal, found: readonly Pending[]): Promise<readonly ReplayResult[]> {
    const done: ReplayResult = { outcome: 'alreadyThere', entered: 0, present: 0 };
    const open = found.filter(({ state }) => state !== 'replayed');
    const results = await context.replay(open.map((one) => requestOf(principal.tenant, one)));
    const at = context.clock.now();
    await database.withTenant(principal, async (tx) => {
      for (const [index, { id }] of open.entries()) {
        const result = results[index];
        if (result) await note(tx, { tenant: principal.tenant, id }, result, { at, by: principal.user });
      }
    });
    return [...results, ...found.slice(open.length).map(() => done)];
  }
}

const those = ({ device, reason }: { device: string | undefined; reason: string | undefined }): SQL[] => [
  ...(device === undefined ? [] : [eq(quarantine.device, device)]),
  ...(reason === undefined ? [] : [eq(quarantine.reason, reason)]),
];

function selectRows(tx: Transaction, principal: Principal, ids: readonly string[]): Promise<Row[]> {
  const isOne = sql`${quarantine.id} = ANY(${sql.param([...ids])}::text[])`;
  return tx
    .select(COLUMNS)
    .from(quarantine)
    .where(and(eq(quarantine.tenant, principal.tenant), isOne))
    .orderBy(asc(quarantine.receivedAt), asc(quarantine.id));
}

function entryOf({ boot, seq, replay, ...row }: Row): z.infer<typeof quarantineEntry> {
  return {
    ...row,
    ...(boot === null ? {} : { boot }),
    ...(seq === null ? {} : { seq }),
    ...(replay === null ? {} : { replay }),
  };
}

interface PendingRow {
  readonly device: string;
  readonly reason: string;
  readonly channel: string;
  readonly receivedAt: number;
  readonly payload: Buffer | null;
  readonly refusedModel: string | null;
  readonly places: readonly number[] | null;
  readonly model: string | null;
  readonly declared: Record<string, { kind: 'number' | 'boolean' | 'text' }> | null;
}

/** A device that is not registered any more is asked for under the model it had. */
function requestOf(tenant: string, row: PendingRow): ReplayRequest {
  const declaredSignals = new Map(Object.entries(row.declared ?? {}).map(([name, { kind }]) => [name, kind]));
  return {
    device: { tenant, device: row.device, model: row.model ?? row.refusedModel ?? '', declaredSignals },
    channel: row.channel,
    reason: isCode(row.reason) ? row.reason : 'PAYLOAD_INVALID',
    receivedAt: row.receivedAt,
    ...(row.payload === null ? {} : { payload: row.payload }),
    ...(row.refusedModel === null ? {} : { model: row.refusedModel }),
    ...(row.places === null ? {} : { places: row.places }),
  };
}

const isCode = (text: string): text is ErrorCode => Object.hasOwn(ERRORS, text);

/** The first ones whose payloads fit together into memory; always at least one. */
function withinBytes<R extends { readonly payload: Buffer | null }>(rows: readonly R[]): readonly R[] {
  let bytes = 0;
  const over = rows.findIndex(({ payload }, index) => {
    bytes += payload?.byteLength ?? 0;
    return index > 0 && bytes > MAX_REPLAY_BYTES;
  });
  return over < 0 ? rows : rows.slice(0, over);
}

/** The payload goes when nothing is left to replay. Places are known from the first sample that was taken. */
async function note(
  tx: Transaction,
  { tenant, id }: { tenant: string; id: string },
  { outcome, entered, left, reason, at: place, detail }: ReplayResult,
  who: { at: number; by: string },
): Promise<void> {
  const replay: QuarantineReplay = {
    ...who,
    outcome,
    entered,
    ...(reason === undefined ? {} : { reason }),
    ...(place ? { place } : {}),
    ...(detail === undefined ? {} : { detail }),
  };
  const change =
    outcome === 'refused'
      ? {}
      : outcome === 'partly'
        ? { state: 'partly' as const, places: left ?? [] }
        : { state: 'replayed' as const, payload: null, payloadBytes: 0 };
  await tx
    .update(quarantine)
    .set({ ...change, replay })
    .where(and(eq(quarantine.tenant, tenant), eq(quarantine.id, id)));
}

function sumOf(results: readonly ReplayResult[]): Pick<QuarantineReplayed, 'outcomes' | 'entered'> {
  const outcomes = { replayed: 0, partly: 0, alreadyThere: 0, refused: 0 };
  for (const { outcome } of results) outcomes[outcome]++;
  return { outcomes, entered: results.reduce((sum, { entered }) => sum + entered, 0) };
}
