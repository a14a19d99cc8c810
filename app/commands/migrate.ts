/** `presage migrate`: bring the SQL database to this version and end, for deployments that do it apart from starting. */
import type { Command } from 'commander';
import { openDatabase } from '../../api/db/database.ts';
import { migrate } from '../../api/db/migrate.ts';
import { configFrom, createLogger, runCommand, withConfigFlags } from '../cli-support.ts';
import { systemClock } from '../compose.ts';
import { dataPaths } from '../config.ts';
import { lockDataDir } from '../data-lock.ts';

export function register(program: Command): void {
  withConfigFlags(program.command('migrate').description('bring the SQL database to this version'))
    .option('--json', 'as JSON')
    .action(
      runCommand(async (options: Record<string, unknown>) => {
        const { config } = configFrom(options);
        const logger = createLogger(config.logLevel);
        const release = config.databaseUrl ? () => {} : lockDataDir(config.dataDir);
        const location = config.databaseUrl
          ? { url: config.databaseUrl }
          : { embedded: dataPaths(config.dataDir).postgres };
        const database = openDatabase(location, { logger, clock: systemClock });
        try {
          await database.start();
          const report = await migrate(database);
          process.stdout.write(
            options.json
              ? `${JSON.stringify(report)}\n`
              : `The database is at this version; ${report.after - report.before} migrations were applied.\n`,
          );
        } finally {
          await database.stop();
          release();
        }
      }),
    );
}
