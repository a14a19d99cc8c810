/** The command line. Each command is one file in `commands/`, listed here by hand. */
import { Command } from 'commander';
import * as backtest from './commands/backtest.ts';
import * as backup from './commands/backup.ts';
import * as ca from './commands/ca.ts';
import * as config from './commands/config.ts';
import * as demo from './commands/demo.ts';
import * as detector from './commands/detector.ts';
import * as device from './commands/device.ts';
import * as doctor from './commands/doctor.ts';
import * as exportCommand from './commands/export.ts';
import * as integration from './commands/integration.ts';
import * as keys from './commands/keys.ts';
import * as migrate from './commands/migrate.ts';
import * as openapi from './commands/openapi.ts';
import * as prognosis from './commands/prognosis.ts';
import * as quarantine from './commands/quarantine.ts';
import * as replay from './commands/replay.ts';
import * as rules from './commands/rules.ts';
import * as securityEvents from './commands/security-events.ts';
import * as sim from './commands/sim.ts';
import * as token from './commands/token.ts';
import * as up from './commands/up.ts';
import * as user from './commands/user.ts';
import { VERSION } from './version.ts';

const program = new Command('presage')
  .description('Warns before machines fail: telemetry in, failure predictions and service tickets out.')
  .version(VERSION)
  .showHelpAfterError();

for (const command of [
  demo,
  up,
  sim,
  replay,
  backtest,
  prognosis,
  detector,
  token,
  user,
  device,
  integration,
  exportCommand,
  quarantine,
  securityEvents,
  rules,
  migrate,
  backup,
  keys,
  doctor,
  openapi,
  ca,
  config,
])
  command.register(program);
program
  .command('version')
  .description('print the version')
  .option('--json', 'as JSON')
  .action((options: { json?: true }) => {
    process.stdout.write(
      options.json ? `${JSON.stringify({ version: VERSION, node: process.version })}\n` : `${VERSION}\n`,
    );
  });

// A reader such as `head` may close the pipe early: that is the end of the work, not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

await program.parseAsync();
