/**
 * `presage up`: run until SIGTERM or SIGINT. Prints one JSON line on stdout when ready, and after it, in a new
 * installation, a second one with the owner's link.
 */
import type { Command } from 'commander';
import { configFrom, createLogger, onStopSignal, runCommand, withConfigFlags } from '../cli-support.ts';
import { composeSystem, type System } from '../compose.ts';
import { describeConfig } from '../config.ts';

export function register(program: Command): void {
  withConfigFlags(program.command('up').description('run Presage')).action(
    runCommand(async (options: Record<string, unknown>) => {
      const { config, origins } = configFrom(options);
      const logger = createLogger(config.logLevel);
      const system = composeSystem(config, {
        logger,
        describedConfig: describeConfig(config, origins),
        onFatal(error) {
          logger.error({ error: error.message }, 'a part died; ending so that a supervisor starts again');
          process.exit(1);
        },
      });
      onStopSignal(() => system.stop());
      // Certificates are also read again when their files change; this is for who does not want to wait for that.
      process.on('SIGHUP', () => void system.reloadCertificates());
      await system.start();
      process.stdout.write(`${JSON.stringify({ event: 'ready', pid: process.pid, ...system.ready() })}\n`);
      const door = system.firstDoor();
      if (door) welcome(door);
    }),
  );
}

/** For people on stderr, for programs on stdout. Nowhere else: whoever reads it becomes administrator. */
function welcome({ tenant, user, url }: NonNullable<ReturnType<System['firstDoor']>>): void {
  process.stderr.write(
    `\n  Nobody can sign in to tenant "${tenant}" yet. Open this link as ${user}; it works once, within a day:\n  ${url}\n\n`,
  );
  process.stdout.write(`${JSON.stringify({ event: 'ownerLink', tenant, user, url })}\n`);
}
