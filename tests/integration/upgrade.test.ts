/**
 * An upgrade as an operator does it: the new version is started on the old directory. The fixture was written by an early
 * version (see `tests/fixtures/upgrade/make.ts`); and the other way round, a directory of a newer version is left alone.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { sql } from 'drizzle-orm';
import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Database, openDatabase } from '../../api/db/database.ts';
import { knownMigrations } from '../../api/db/migrate.ts';
import { openWebhookSecret } from '../../api/notify/webhook-secrets.ts';
import { readKeys } from '../../app/keys.ts';
import { exportOf, lagBytes, metricsOf } from '../chaos/server-view.ts';
import { DEVICE, SECRET, TOKEN, ticketsOf, WEBHOOK_SECRET } from '../fixtures/upgrade/facts.ts';
import { temporaryDirectory } from '../support/debian-postgres.ts';
import { manualClock, silentLogger } from '../support/fake-services.ts';
import { type PresageProcess, startPresage } from '../support/presage-process.ts';
import { runCli } from '../support/run-cli.ts';
import { waitFor } from '../support/wait-for.ts';

const FIXTURE = new URL('../fixtures/upgrade/', import.meta.url).pathname;
const expected = z
  .object({ samples: z.number(), sha256: z.string(), tickets: z.array(z.unknown()) })
  .parse(JSON.parse(readFileSync(join(FIXTURE, 'expected.json'), 'utf8')));

let folder: string;
let server: PresageProcess | undefined;
const data = (): string => join(folder, 'data');

/** The embedded database outside a server. */
async function inDatabase<Result>(work: (database: Database) => Promise<Result>): Promise<Result> {
  const database = openDatabase(
    { embedded: join(data(), 'postgres') },
    { logger: silentLogger, clock: manualClock(0) },
  );
  await database.start();
  try {
    return await work(database);
  } finally {
    await database.stop();
  }
}

beforeAll(async () => {
  folder = temporaryDirectory('upgrade');
  mkdirSync(data(), { mode: 0o711 });
  execFileSync('tar', ['-xzf', join(FIXTURE, 'data.tar.gz'), '-C', data(), '--no-same-owner']);
  const dump = gunzipSync(readFileSync(join(FIXTURE, 'dump.sql.gz'))).toString('utf8');
  await inDatabase((database) =>
    database.withOwner(async (client) => {
      // A dump holds the rights of roles, not the roles.
      for (const role of ['presage_app', 'presage_system'])
        await client.query(`CREATE ROLE ${role} NOLOGIN NOINHERIT NOBYPASSRLS`);
      await client.query(dump);
    }),
  );
});
afterAll(async () => {
  await server?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

describe('an older data directory', () => {
  it('is taken over: migrated, with the same telemetry and tickets, its devices and its secrets', async () => {
    // The recording grows old while this test does not: nothing may be deleted for its age.
    server = await startPresage({ env: { PRESAGE_DATA_DIR: data(), PRESAGE_RETENTION_RAW_DAYS: '0' } });
    await waitFor('the followers to pass', async () => server && lagBytes(await metricsOf(server.api)) === 0);
    const samples = await exportOf(server.api, TOKEN, DEVICE);
    expect(samples).toHaveLength(expected.samples);
    expect(createHash('sha256').update(JSON.stringify(samples)).digest('hex')).toBe(expected.sha256);
    expect(await ticketsOf(server.api)).toEqual(expected.tickets);
    const login = { clientId: `acme.${DEVICE}`, username: `acme.${DEVICE}`, password: SECRET, reconnectPeriod: 0 };
    await (await connectAsync(server.broker, login)).endAsync();
    await server.stop();

    await inDatabase(async (database) => {
      const { rows } = await database.withOwner((client) =>
        client.query<{ n: number; secret: string }>(
          `SELECT count(*)::int AS n, (SELECT webhook_secret FROM centres) AS secret FROM drizzle.__drizzle_migrations`,
        ),
      );
      expect(rows[0]?.n).toBe(knownMigrations());
      const ring = readKeys(join(data(), 'keys')).ring('webhooks');
      expect(openWebhookSecret(rows[0]?.secret ?? '', { tenant: 'acme', centre: 'north' }, ring)).toEqual({
        kind: 'opened',
        secret: WEBHOOK_SECRET,
        isCurrent: true,
      });
      expect(await database.withSystem((tx) => tx.execute(sql`SELECT 1`))).toBeDefined();
    });
  }, 240_000);
});

describe('a data directory of a newer version', () => {
  it('is refused in words, and not touched', async () => {
    const newer = join(folder, 'newer');
    mkdirSync(join(newer, 'store'), { recursive: true });
    const format = { files: 1, migrations: knownMigrations() + 1, version: '9.0.0' };
    writeFileSync(join(newer, 'format.json'), JSON.stringify(format));
    writeFileSync(join(newer, 'store/telemetry.duckdb'), 'of another time');
    const look = () =>
      readdirSync(newer, { recursive: true, withFileTypes: true }).map((entry) => {
        const { mtimeMs, mode, size } = statSync(join(entry.parentPath, entry.name));
        return [entry.name, mtimeMs, mode, size];
      });
    const before = look();
    for (const command of [['up'], ['backup', 'create', '--out', join(folder, 'no')]]) {
      const { code, stderr } = await runCli([...command, '--data-dir', newer, '--http-port', '0', '--mqtt-port', '0']);
      expect([command, code]).toEqual([command, 1]);
      expect(stderr).toContain('DATA_DIR_NEWER');
      expect(stderr).toContain('last used by version 9.0.0');
    }
    expect(look()).toEqual(before);
    expect(existsSync(join(folder, 'no'))).toBe(false);
  }, 240_000);
});
