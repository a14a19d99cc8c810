/** `presage config check|print`: what would be used, and where each value came from. */
import type { Command } from 'commander';
import { configFrom, runCommand, withConfigFlags } from '../cli-support.ts';
import { describeConfig } from '../config.ts';

export function register(program: Command): void {
  const command = program.command('config').description('check or print the configuration');

  withConfigFlags(command.command('check').description('exit 0 when the configuration is valid')).action(
    runCommand(async (options: Record<string, unknown>) => {
      configFrom(options);
      process.stdout.write('The configuration is valid.\n');
    }),
  );

  withConfigFlags(
    command
      .command('print')
      .description('print every setting with its origin; secrets are masked')
      .option('--json', 'as JSON'),
  ).action(
    runCommand(async (options: Record<string, unknown>) => {
      const { config, origins } = configFrom(options);
      const rows = describeConfig(config, origins);
      if (options.json) process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
      else for (const row of rows) process.stdout.write(`${row.env} = ${JSON.stringify(row.value)}  (${row.origin})\n`);
    }),
  );
}
