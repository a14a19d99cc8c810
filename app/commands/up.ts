/** `presage up`: run until SIGTERM or SIGINT. Prints one JSON line on stdout when ready. */
import type { Command } from 'commander';
import { configFrom, createLogger, onStopSignal, runCommand, withConfigFlags } from '../cli-support.ts';
import { composeSystem } from '../compose.ts';

export function register(program: Command): void {
  withConfigFlags(program.command('up').description('run Presage')).action(
    runCommand(async (options: Record<string, unknown>) => {
      const { config } = configFrom(options);
      const logger = createLogger(config.logLevel);
      const system = composeSystem(config, {
        logger,
        onFatal(error) {
          logger.error({ error: error.message }, 'a part died; ending so that a supervisor starts again');
          process.exit(1);
        },
      });
      onStopSignal(() => system.stop());
      await system.start();
      process.stdout.write(`${JSON.stringify({ event: 'ready', pid: process.pid, ...system.ready() })}\n`);
    }),
  );
}
