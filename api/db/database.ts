/**
 * The one way to SQL. All work runs in a transaction that has become a role without rights to bypass row-level
 * security: `presage_app` bound to one tenant, or `presage_system` for followers that serve all tenants.
 */
import { sql } from 'drizzle-orm';
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import { AppError, errorText } from '../../contract/kernel/errors.ts';
import type { Clock, Logger, Service } from '../../contract/ports/services.ts';
import { createEmbeddedServer } from './embedded.ts';
import * as schema from './schema.ts';

export type Transaction = Parameters<Parameters<NodePgDatabase<typeof schema>['transaction']>[0]>[0];

/** Whose eyes a transaction looks through. */
export interface TenantScope {
  readonly tenant: string;
  /** Narrows tickets to this centre and devices to those of its tickets. */
  readonly centre?: string | undefined;
}

export interface Database extends Service {
  /** `embedded` = a server of our own on this machine; `server` = the one behind DATABASE_URL. */
  readonly kind: 'embedded' | 'server';
  /** Of the started database. Contains the password: for a second process or thread, never for a log. */
  url(): string;
  /** @throws AppError SQL_UNAVAILABLE */
  ping(): Promise<void>;
  withTenant<Result>(scope: TenantScope, work: (tx: Transaction) => Promise<Result>): Promise<Result>;
  withSystem<Result>(work: (tx: Transaction) => Promise<Result>): Promise<Result>;
  /** One connection as the connecting user, outside any role: for migrations only. */
  withOwner<Result>(work: (client: pg.PoolClient) => Promise<Result>): Promise<Result>;
}

export type DatabaseLocation = { readonly url: string } | { readonly embedded: string };

export interface DatabaseOptions {
  /** Connections of this process; 10. */
  readonly maxConnections?: number;
  /** A statement that runs longer is cancelled; 10 s. */
  readonly statementTimeoutMs?: number;
}

/** What a SQLSTATE says about whether the server can be used at all: connection lost, shutting down, too many clients. */
const UNAVAILABLE_STATES = /^(08|57P0|53300)/;
const UNAVAILABLE_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'ETIMEDOUT',
  'EPIPE',
]);

/**
 * A database that is opened by `start()`: `{ url }` for a PostgreSQL ≥ 15 of yours, `{ embedded }` for one of our own
 * in that directory.
 */
export function openDatabase(
  location: DatabaseLocation,
  deps: { logger: Logger; clock: Clock },
  options: DatabaseOptions = {},
): Database {
  const server = 'embedded' in location ? createEmbeddedServer(location.embedded, deps) : undefined;
  let url = 'url' in location ? location.url : undefined;
  let pool: pg.Pool | undefined;
  let orm: NodePgDatabase<typeof schema> | undefined;

  const started = () => {
    if (!orm) throw new AppError('SQL_UNAVAILABLE', 'the database has not been started');
    return orm;
  };

  async function inRole<Result>(
    role: 'presage_app' | 'presage_system',
    scope: TenantScope | undefined,
    work: (tx: Transaction) => Promise<Result>,
  ): Promise<Result> {
    try {
      return await started().transaction(async (tx) => {
        await tx.execute(sql`SELECT set_config('role', ${role}, true), set_config('presage.tenant', ${scope?.tenant ?? ''}, true),
          set_config('presage.centre', ${scope?.centre ?? ''}, true)`);
        return await work(tx);
      });
    } catch (error) {
      throw asAppError(error);
    }
  }

  return {
    kind: server ? 'embedded' : 'server',
    async start() {
      if (pool) return;
      url = server ? await server.start() : url;
      pool = new pg.Pool({
        connectionString: url,
        max: options.maxConnections ?? 10,
        connectionTimeoutMillis: 5_000,
        idleTimeoutMillis: 60_000,
        statement_timeout: options.statementTimeoutMs ?? 10_000,
        application_name: 'presage',
      });
      // A lost idle connection is replaced by the next query; without a listener it would end the process.
      pool.on('error', (error) => {
        // While we stop, a connection may still be on its way out when the server goes: that is no loss.
        if (pool) deps.logger.warn({ error: error.message }, 'a SQL connection was lost');
      });
      // The same for one that is lost between two statements of a transaction: the next statement fails and tells.
      pool.on('connect', (client) => client.on('error', () => undefined));
      orm = drizzle(pool, { schema });
      await this.ping();
    },
    async stop() {
      const closing = pool;
      pool = undefined;
      orm = undefined;
      await closing?.end();
      await server?.stop();
    },
    url() {
      if (!url) throw new AppError('SQL_UNAVAILABLE', 'the database has not been started');
      return url;
    },
    async ping() {
      try {
        await started().execute(sql`SELECT 1`);
      } catch (error) {
        throw new AppError('SQL_UNAVAILABLE', errorText(rootCause(error)), { cause: error });
      }
    },
    withTenant: (scope, work) => inRole('presage_app', scope, work),
    withSystem: (work) => inRole('presage_system', undefined, work),
    async withOwner(work) {
      if (!pool) throw new AppError('SQL_UNAVAILABLE', 'the database has not been started');
      const client = await pool.connect();
      try {
        return await work(client);
      } finally {
        client.release();
      }
    },
  };
}

/** The error below drizzle's wrapping. */
export function rootCause(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? rootCause(error.cause) : error;
}

/** SQLSTATE or system code of an error, where it has one. */
export function sqlState(error: unknown): string | undefined {
  const cause = rootCause(error);
  return typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : undefined;
}

function asAppError(error: unknown): unknown {
  if (error instanceof AppError) return error;
  const state = sqlState(error) ?? '';
  const timedOut = errorText(rootCause(error)).includes('timeout exceeded when trying to connect');
  const terminated = errorText(rootCause(error)).includes('Connection terminated');
  if (UNAVAILABLE_STATES.test(state) || UNAVAILABLE_CODES.has(state) || timedOut || terminated) {
    return new AppError('SQL_UNAVAILABLE', errorText(rootCause(error)), { cause: error });
  }
  return error;
}
