/** What all commands share: reading the configuration, speaking to the user, and ending with the right exit code. */
import type { Command } from 'commander';
import { pino } from 'pino';
import { AppError, ERRORS, errorText } from '../contract/kernel/errors.ts';
import type { Logger } from '../contract/ports/services.ts';
import { type Config, kebab, loadConfig, type Origins, SETTINGS } from './config.ts';

/** Lets a command take every setting as a flag. */
export function withConfigFlags(command: Command): Command {
  command.option('--config <file>', 'configuration file (JSON)');
  for (const [name, setting] of Object.entries(SETTINGS)) {
    command.option(`--${kebab(name)} <value>`, `${setting.about} [${setting.env}]`);
  }
  return command;
}

/** The configuration from file, environment and the command's flags. `overrides` stand in for flags that were not given. */
export function configFrom(
  options: Readonly<Record<string, unknown>>,
  overrides: Readonly<Record<string, string>> = {},
): { config: Config; origins: Origins } {
  const flags: Record<string, string | undefined> = { ...overrides };
  for (const name of Object.keys(SETTINGS)) {
    if (typeof options[name] === 'string') flags[name] = options[name];
  }
  return loadConfig({ env: process.env, flags, file: typeof options.config === 'string' ? options.config : undefined });
}

/** Whether an InfluxDB was named by flag or environment. */
export function hasInfluxUrl(options: Readonly<Record<string, unknown>>): boolean {
  return options.influxUrl !== undefined || process.env.INFLUX_URL !== undefined;
}

/** Folders in which programs are looked for. */
export function searchPath(): string {
  return process.env.PATH ?? '';
}

/** Structured log on stderr: stdout belongs to the command's own output. */
export function createLogger(level: Config['logLevel']): Logger {
  const redact = [
    'password',
    'secret',
    'token',
    'authorization',
    '*.password',
    '*.secret',
    '*.token',
    '*.authorization',
  ];
  return pino({ level, redact, base: null }, pino.destination({ dest: 2, sync: true }));
}

/** Runs a command's work; a known error ends it with its words and hint, an unknown one with its stack. */
export function runCommand<Arguments extends unknown[]>(
  work: (...args: Arguments) => Promise<void>,
): (...args: Arguments) => Promise<void> {
  return async (...args) => {
    try {
      await work(...args);
    } catch (error) {
      process.exitCode = 1;
      if (error instanceof AppError)
        process.stderr.write(`${error.code}: ${error.message}\n  ${ERRORS[error.code].hint}\n`);
      else process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : errorText(error)}\n`);
    }
  };
}

/** Calls `stop` once on the first SIGINT or SIGTERM; a second signal ends the process at once. */
export function onStopSignal(stop: (signal: NodeJS.Signals) => Promise<void>): void {
  let stopping = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (stopping) process.exit(1);
      stopping = true;
      stop(signal).then(
        () => process.exit(0),
        (error) => {
          process.stderr.write(`could not stop cleanly: ${errorText(error)}\n`);
          process.exit(1);
        },
      );
    });
  }
}
