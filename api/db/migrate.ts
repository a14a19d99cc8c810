/** Brings the database to the schema of this program: forward only, one process at a time. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { drizzle } from 'drizzle-orm/node-postgres';
import { migrate as runMigrations } from 'drizzle-orm/node-postgres/migrator';
import type pg from 'pg';
import { z } from 'zod';
import { AppError } from '../../contract/kernel/errors.ts';
import type { Database } from './database.ts';

/** Any constant will do as long as every version uses the same. */
const MIGRATION_LOCK = 7_263_481;
const journalFile = z.object({ entries: z.array(z.object({ tag: z.string() })) });

export interface MigrationReport {
  /** Migrations in the database before and after. */
  readonly before: number;
  readonly after: number;
}

/**
 * Applies the missing migrations in one transaction each, under an advisory lock.
 * @throws AppError SQL_SCHEMA_NEWER when the database knows migrations that this program does not
 */
export async function migrate(database: Database): Promise<MigrationReport> {
  const folder = packageFolder('api/db/migrations');
  const known = knownMigrations();
  return database.withOwner(async (client) => {
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    try {
      const before = await appliedCount(client);
      if (before > known) {
        throw new AppError('SQL_SCHEMA_NEWER', `it has ${before} migrations, this program knows ${known}`);
      }
      await runMigrations(drizzle(client), { migrationsFolder: folder });
      return { before, after: known };
    } finally {
      await client.query('SELECT pg_advisory_unlock($1)', [MIGRATION_LOCK]);
    }
  });
}

/** How many migrations this program brings. */
export function knownMigrations(): number {
  const journal = join(packageFolder('api/db/migrations'), 'meta/_journal.json');
  return journalFile.parse(JSON.parse(readFileSync(journal, 'utf8'))).entries.length;
}

async function appliedCount(client: pg.PoolClient): Promise<number> {
  const table = await client.query<{ found: string | null }>(
    `SELECT to_regclass('drizzle.__drizzle_migrations')::text AS found`,
  );
  if (!table.rows[0]?.found) return 0;
  const count = await client.query<{ n: number }>('SELECT count(*)::int AS n FROM drizzle.__drizzle_migrations');
  return count.rows[0]?.n ?? 0;
}

/**
 * A folder of the package that the compiler does not copy (SQL files, the console's page), seen from the sources or
 * from `dist/`.
 */
export function packageFolder(path: string): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const candidate = join(folder, path);
    if (existsSync(candidate)) return candidate;
    if (folder === dirname(folder)) throw new AppError('INTERNAL', `${path} is missing from the installation`);
  }
}
