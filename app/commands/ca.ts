/** `presage ca`: certificates for devices and for the server, for fleets without an authority of their own. */
import { type Command, InvalidArgumentError } from 'commander';
import { runCommand } from '../cli-support.ts';
import { systemClock } from '../compose.ts';

interface CaOptions {
  readonly dir: string;
  readonly name: string;
  readonly out?: string;
  readonly days: number;
  readonly server?: string;
  readonly json?: true;
}

/** A device is in the field for years and can seldom be visited. */
const DEVICE_DAYS = 730;

export function register(program: Command): void {
  const ca = program.command('ca').description('make certificates for mutual TLS');
  const inFolder = (command: Command): Command =>
    command.option('--dir <folder>', 'folder of the authority', 'presage-ca').option('--json', 'as JSON');

  inFolder(ca.command('init').description('make an authority: key, certificate and an empty revocation list'))
    .option('--name <name>', 'its name', 'Presage devices')
    .action(runCommand(runInit));
  inFolder(ca.command('issue <name>').description('make key and certificate of a device, named {tenant}.{device}'))
    .option('--server <names>', 'for the server instead: all its host names and addresses, with commas')
    .option('--days <n>', 'how long it is valid', positiveDays, DEVICE_DAYS)
    .option('--out <folder>', 'where the two files go; the folder of the authority when absent')
    .action(runCommand(runIssue));
  inFolder(ca.command('revoke <serial-or-name>').description('revoke one certificate, or all of a device')).action(
    runCommand(runRevoke),
  );
}

// Loaded when asked for: the certificate package takes longer to load than most commands take to run.
const authority = () => import('../ca/certificate-authority.ts');

async function runInit({ dir, name, json }: CaOptions): Promise<void> {
  const { initCa } = await authority();
  await initCa(dir, name, systemClock.now());
  print(
    json,
    { directory: dir, name },
    `${dir}: keep ca.key secret and in a backup; give ca.crt to server and devices`,
  );
}

async function runIssue(name: string, options: CaOptions): Promise<void> {
  const { issue } = await authority();
  const { dir, days, json, out = dir, server } = options;
  const names = server?.split(',').map((one) => one.trim());
  const files = await issue(dir, { name, days, out, ...(names && { server: names }) }, systemClock.now());
  print(json, files, `${files.certificate}\n${files.key}\nserial ${files.serial}`);
}

async function runRevoke(serialOrName: string, { dir, json }: CaOptions): Promise<void> {
  const { revoke } = await authority();
  const revoked = await revoke(dir, serialOrName, systemClock.now());
  const lines = revoked.map((one) => `revoked ${one.serial} of ${one.subject}`);
  print(json, { revoked }, lines.join('\n') || 'already revoked');
}

function positiveDays(text: string): number {
  const days = Number(text);
  if (!Number.isInteger(days) || days < 1 || days > 3_650) throw new InvalidArgumentError('expected 1 to 3650 days');
  return days;
}

function print(asJson: true | undefined, value: object, text: string): void {
  process.stdout.write(asJson ? `${JSON.stringify(value)}\n` : `${text}\n`);
}
