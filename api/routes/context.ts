/** What routes work with. Each takes only what it needs from it. */
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { type DataQuality, problem } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import type { DeviceRef, IntegrationRef } from '../../contract/kernel/ids.ts';
import type { ReplayQuarantined } from '../../contract/ports/replay.ts';
import type { RuleTools } from '../../contract/ports/rules.ts';
import type { Clock, Metrics, Readiness } from '../../contract/ports/services.ts';
import type { ApiReader, TelemetryLookups } from '../../contract/ports/telemetry-store.ts';
import type { KeyRing } from '../accounts/key-ring.ts';
import type { Accounts } from '../accounts/principal.ts';
import type { Database } from '../db/database.ts';
import type { CachedDeviceDirectory } from '../devices/directory.ts';
import type { StreamHub } from '../live/stream-hub.ts';

export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>;

export interface RouteContext {
  readonly database: Database;
  readonly accounts: Accounts;
  readonly reader: ApiReader;
  readonly hub: StreamHub;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Connected since, by client id. */
  readonly connected: () => ReadonlyMap<string, number>;
  /** Something about alarms is due now. */
  readonly wakeAlarms: () => void;
  /** The broker's: it knows who may connect. */
  readonly directory: Pick<CachedDeviceDirectory, 'authenticate' | 'invalidate'>;
  readonly dataQuality: (ref: DeviceRef) => DataQuality | undefined;
  readonly replay: ReplayQuarantined;
  readonly receipt: TelemetryLookups['receipt'];
  /** Forgets a device's credentials and closes its connections. */
  readonly cutOff: (ref: DeviceRef) => void;
  /** Closes an integration's connections and forgets its sessions. */
  readonly cutOffIntegration: (ref: IntegrationRef) => void;
  /** Tells live viewers of a ticket that was changed. */
  readonly announceTicket: (tenant: string, key: string) => void;
  /** Call it after a transaction that sent an order to analytics. */
  readonly wakeOrders: () => void;
  /** Understands the text of rules. */
  readonly rules: RuleTools;
  readonly hmacKeys: KeyRing;
  readonly readiness: () => Promise<Readonly<Record<string, Readiness>>>;
  readonly renderMetrics: () => Promise<string>;
  readonly version: string;
  /** Base of links for users, without a slash at the end. */
  readonly publicUrl: () => string;
  /** Whether cookies may travel over plain http. */
  readonly secureCookies: () => boolean;
}

/** Answers of a route: the good ones and, as in every route, the problems it may end in. */
export function answers<Good extends Record<number, z.ZodType>>(good: Good, ...statuses: number[]): Good {
  const bad = Object.fromEntries([400, 401, 403, 404, 429, 500, 503, ...statuses].map((status) => [status, problem]));
  return { ...bad, ...good };
}

/** Header of routes that change what has a version. */
export const ifMatch = z.object({ 'if-match': z.string().max(64).optional() });

const cursorParts = z.tuple([z.number(), z.string().max(128)]);

/** Opaque to clients: sort key and id of the last row of a page. */
export function encodeCursor(at: number, id: string): string {
  return Buffer.from(JSON.stringify([at, id])).toString('base64url');
}

/** @throws AppError REQUEST_INVALID when it is not one of ours */
export function decodeCursor(cursor: string | undefined): [at: number, id: string] | undefined {
  if (cursor === undefined) return undefined;
  try {
    return cursorParts.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString()));
  } catch (cause) {
    const errors = [{ path: 'query.cursor', message: 'not a cursor of ours' }];
    throw new AppError('REQUEST_INVALID', 'query.cursor: not a cursor of ours', { cause, facts: { errors } });
  }
}

/** Splits `limit + 1` rows into a page and the cursor behind it. */
export function pageOf<Row, Item>(
  rows: readonly Row[],
  limit: number,
  toItem: (row: Row) => Item,
  cursorOf: (row: Row) => string,
): { items: Item[]; nextCursor?: string } {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  return {
    items: items.map(toItem),
    ...(rows.length > limit && last !== undefined ? { nextCursor: cursorOf(last) } : {}),
  };
}

export const byTicketKey = z.object({
  key: z.string().regex(/^[A-Z]{2}-\d{2}-\d{6,}$/, 'expected a key such as SC-26-001203'),
});

export const etagOf = (version: number) => `"${version}"`;

/** @throws AppError VERSION_REQUIRED without `If-Match`, VERSION_STALE for what cannot be ours */
export function parseEtag(header: string | undefined): number {
  if (header === undefined) throw new AppError('VERSION_REQUIRED');
  const version = /^"(\d{1,9})"$/.exec(header)?.[1];
  // Another spelling cannot be what we sent, so it cannot be current.
  if (version === undefined) throw new AppError('VERSION_STALE', 'If-Match is not an ETag of this resource');
  return Number(version);
}
