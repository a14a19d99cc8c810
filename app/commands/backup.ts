/** `presage backup create|verify|restore`: the data directory as one checked copy, made and put back with the server stopped. */
import type { Command } from 'commander';
import { type BackupReport, createBackup, restoreBackup, verifyBackup } from '../backup/backup.ts';
import { configFrom, createLogger, runCommand, withConfigFlags } from '../cli-support.ts';
import { systemClock } from '../compose.ts';

const MIB = 1024 * 1024;

export function register(program: Command): void {
  const command = program.command('backup').description('copy the data directory, check a copy, put one back');

  withConfigFlags(command.command('create').description('make a backup; stop the server before'))
    .requiredOption('--out <folder>', 'new folder for the backup')
    .option('--json', 'as JSON')
    .action(
      runCommand(async (options: Record<string, unknown>) => {
        const { config, origins } = configFrom(options);
        const logger = createLogger(config.logLevel);
        const report = await createBackup(config, origins, String(options.out), { logger, clock: systemClock });
        say('made', report, options);
      }),
    );

  command
    .command('verify')
    .description('read every byte of a backup again')
    .requiredOption('--from <folder>', 'the backup')
    .option('--json', 'as JSON')
    .action(
      runCommand(async (options: Record<string, unknown>) => {
        say('whole', await verifyBackup(String(options.from)), options);
      }),
    );

  withConfigFlags(command.command('restore').description('put a backup into an empty data directory'))
    .requiredOption('--from <folder>', 'the backup')
    .option('--json', 'as JSON')
    .action(
      runCommand(async (options: Record<string, unknown>) => {
        const { config } = configFrom(options);
        say('restored', await restoreBackup(String(options.from), config.dataDir), options);
      }),
    );
}

function say(done: string, report: BackupReport, options: Record<string, unknown>): void {
  if (options.json) {
    process.stdout.write(`${JSON.stringify(report)}\n`);
    return;
  }
  const size = `${report.files} files, ${(report.bytes / MIB).toFixed(1)} MiB`;
  const lines = [`${report.directory}: ${done}; ${size}, from ${report.createdAt}, version ${report.version}.`];
  if (report.sql === 'elsewhere') lines.push('The SQL database is your own server’s: back it up there (pg_dump).');
  if (report.store === 'elsewhere') lines.push('The telemetry is in InfluxDB: back it up there (influxd backup).');
  process.stdout.write(`${lines.join('\n')}\n`);
}
