/** `presage backup create|verify|restore`: the data directory as one encrypted, checked copy, of a running or a stopped server. */
import type { Command } from 'commander';
import { createBackup } from '../backup/backup.ts';
import type { BackupReport } from '../backup/report.ts';
import { type KeySources, restoreBackup, verifyBackup } from '../backup/restore.ts';
import { configFrom, createLogger, runCommand, withConfigFlags } from '../cli-support.ts';
import { systemClock } from '../compose.ts';
import { type Config, dataPaths } from '../config.ts';

const MIB = 1024 * 1024;

export function register(program: Command): void {
  const command = program.command('backup').description('copy the data directory, check a copy, put one back');

  withConfigFlags(command.command('create').description('make a backup; the server may run'))
    .requiredOption('--out <folder>', 'new folder for the backup')
    .option('--plain', 'not encrypted')
    .option('--json', 'as JSON')
    .action(
      runCommand(async (options: Record<string, unknown>) => {
        const { config, origins } = configFrom(options);
        const logger = createLogger(config.logLevel);
        const report = await createBackup(
          config,
          origins,
          { out: String(options.out), plain: options.plain === true },
          { logger, clock: systemClock },
        );
        say('made', report, options);
      }),
    );

  withConfigFlags(command.command('verify').description('read every byte of a backup again'))
    .requiredOption('--from <folder>', 'the backup')
    .option('--key-file <file>', 'copy of the backup key; without it the keys of the data directory are looked at')
    .option('--json', 'as JSON')
    .action(
      runCommand(async (options: Record<string, unknown>) => {
        const { config } = configFrom(options);
        say('whole', await verifyBackup(String(options.from), keySources(config, options)), options);
      }),
    );

  withConfigFlags(command.command('restore').description('put a backup into an empty data directory'))
    .requiredOption('--from <folder>', 'the backup')
    .option('--key-file <file>', 'copy of the backup key; without it the keys of the data directory are looked at')
    .option('--json', 'as JSON')
    .action(
      runCommand(async (options: Record<string, unknown>) => {
        const { config } = configFrom(options);
        const sources = keySources(config, options);
        say('restored', await restoreBackup(String(options.from), config.dataDir, sources), options);
      }),
    );
}

function keySources(config: Config, options: Record<string, unknown>): KeySources {
  const keyFile = typeof options.keyFile === 'string' ? options.keyFile : undefined;
  return { keyFile, keyFolder: dataPaths(config.dataDir).keys };
}

function say(done: string, report: BackupReport, options: Record<string, unknown>): void {
  if (options.json) {
    process.stdout.write(`${JSON.stringify(report)}\n`);
    return;
  }
  const size = `${report.files} files, ${(report.bytes / MIB).toFixed(1)} MiB`;
  const lines = [`${report.directory}: ${done}; ${size}, from ${report.createdAt}, version ${report.version}.`];
  if (done === 'made' && report.encrypted)
    lines.push('It opens with the backup key only (keys/backup.key): keep a copy of that file away from this machine.');
  if (done === 'made' && !report.encrypted) lines.push('It is not encrypted and holds keys and customers’ data.');
  if (report.sql === 'elsewhere') lines.push('The SQL database is your own server’s: back it up there (pg_dump).');
  if (report.store === 'elsewhere') lines.push('The telemetry is in InfluxDB: back it up there (influxd backup).');
  process.stdout.write(`${lines.join('\n')}\n`);
}
