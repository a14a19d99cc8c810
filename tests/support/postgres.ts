/**
 * Real PostgreSQL servers for tests: the embedded one (18) and Debian's (15), so that a suite runs on both. Everything
 * lives in temporary directories and listens on loopback with a free port.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import { type Database, openDatabase } from '../../api/db/database.ts';
import { migrate } from '../../api/db/migrate.ts';
import type { Clock } from '../../contract/ports/services.ts';
import { findBinary } from './binaries.ts';
import { startDebianPostgres, temporaryDirectory } from './debian-postgres.ts';
import { silentLogger } from './fake-services.ts';

export { type RunningPostgres, startDebianPostgres, temporaryDirectory } from './debian-postgres.ts';

/** Runs `suite` on a migrated embedded database and, where installed, on Debian's PostgreSQL. */
export function describeOnDatabases(name: string, clock: Clock, suite: (database: () => Database) => void): void {
  const initdb = findBinary('initdb');
  const servers: { title: string; start: (() => Promise<[Database, () => Promise<void>]>) | undefined }[] = [
    {
      title: 'embedded PostgreSQL',
      async start() {
        const directory = temporaryDirectory('embedded');
        const database = openDatabase({ embedded: join(directory, 'sql') }, { logger: silentLogger, clock });
        await database.start();
        return [database, async () => rmSync(directory, { recursive: true, force: true })];
      },
    },
    {
      title: "Debian's PostgreSQL",
      start: initdb
        ? async () => {
            const server = await startDebianPostgres(initdb);
            const database = openDatabase({ url: server.url }, { logger: silentLogger, clock });
            await database.start();
            return [database, () => server.stop()];
          }
        : undefined,
    },
  ];
  for (const { title, start } of servers) {
    describe.skipIf(!start)(`${name} on ${title}`, () => {
      let database: Database;
      let cleanUp: () => Promise<void>;
      beforeAll(async () => {
        if (!start) return;
        [database, cleanUp] = await start();
        await migrate(database);
      });
      afterAll(async () => {
        await database?.stop();
        await cleanUp?.();
      });
      suite(() => database);
    });
  }
}
