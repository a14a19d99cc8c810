/** `presage keys list|rotate|retire`: the server's own keys. A running server does it itself; of a stopped one the files are changed. */
import { type Command, InvalidArgumentError } from 'commander';
import { z } from 'zod';
import { openDatabase } from '../../api/db/database.ts';
import { configFrom, createLogger, runCommand, withConfigFlags } from '../cli-support.ts';
import { systemClock } from '../compose.ts';
import { type Config, dataPaths } from '../config.ts';
import { connectControl } from '../control.ts';
import type { ControlRequest } from '../control-requests.ts';
import { dataDirHolder, lockDataDir } from '../data-lock.ts';
import { retireKeys } from '../key-operations.ts';
import { KEY_NAMES, type KeyName, openKeys, readKeys } from '../keys.ts';
import { print } from '../table.ts';

const rotated = z.object({ name: z.string(), version: z.number() });
const retired = z.object({ name: z.string(), retired: z.array(z.number()) });

export function register(program: Command): void {
  const command = program.command('keys').description('the server’s own keys');

  withConfigFlags(command.command('list').description('which keys there are'))
    .option('--json', 'as JSON')
    .action(
      runCommand(async (options: Record<string, unknown>) => {
        const { config } = configFrom(options);
        const keys = readKeys(dataPaths(config.dataDir).keys).list();
        print(keys, ['name', 'version', 'isCurrent', 'id', 'publicKey'], options);
      }),
    );

  withConfigFlags(command.command('rotate').description('make a new version of a key; the older ones stay good'))
    .argument('<name>', KEY_NAMES.join(', '), keyName)
    .option('--json', 'as JSON')
    .action(
      runCommand(async (name: KeyName, options: Record<string, unknown>) => {
        const { config } = configFrom(options);
        const done = rotated.parse(
          isRunning(config) ? await ask(config, { do: 'keys.rotate', name }) : rotateStopped(config, name),
        );
        say(
          options.json ? JSON.stringify(done) : `${name}: version ${done.version} is current now. ${NEXT_STEP[name]}`,
        );
      }),
    );

  withConfigFlags(command.command('retire').description('delete the older versions of a key, once nothing needs them'))
    .argument('<name>', KEY_NAMES.join(', '), keyName)
    .option('--force', 'also when something still needs them')
    .option('--json', 'as JSON')
    .action(
      runCommand(async (name: KeyName, options: Record<string, unknown>) => {
        const { config } = configFrom(options);
        const force = options.force === true;
        const done = retired.parse(
          isRunning(config)
            ? await ask(config, { do: 'keys.retire', name, force })
            : await retireStopped(config, name, force),
        );
        const versions =
          done.retired.length > 0 ? `deleted version ${done.retired.join(', ')}` : 'there is no older one';
        say(options.json ? JSON.stringify(done) : `${name}: ${versions}.`);
      }),
    );
}

const NEXT_STEP: Readonly<Record<KeyName, string>> = {
  'device-secrets': 'Each device moves to it at its next login; then: presage keys retire device-secrets',
  signing: 'Give the new public key to whoever verifies; then: presage keys retire signing',
  webhooks: 'The secrets in the database move to it now, or at the next start; then: presage keys retire webhooks',
  backup:
    'New backups use it. Keep a copy of its file outside this machine, and the old one for as long as its backups.',
};

function keyName(text: string): KeyName {
  const name = KEY_NAMES.find((one) => one === text);
  if (!name) throw new InvalidArgumentError(`There are ${KEY_NAMES.join(', ')}.`);
  return name;
}

function isRunning(config: Config): boolean {
  return dataDirHolder(config.dataDir) !== undefined;
}

async function ask(config: Config, request: ControlRequest): Promise<unknown> {
  const control = await connectControl(dataPaths(config.dataDir).control);
  try {
    return await control.ask(request);
  } finally {
    control.close();
  }
}

function rotateStopped(config: Config, name: KeyName): { name: KeyName; version: number } {
  const release = lockDataDir(config.dataDir);
  try {
    return { name, version: openKeys(dataPaths(config.dataDir).keys).rotate(name).version };
  } finally {
    release();
  }
}

async function retireStopped(config: Config, name: KeyName, force: boolean): Promise<object> {
  const release = lockDataDir(config.dataDir);
  const location = config.databaseUrl ? { url: config.databaseUrl } : { embedded: dataPaths(config.dataDir).postgres };
  const database = openDatabase(location, { logger: createLogger(config.logLevel), clock: systemClock });
  try {
    await database.start();
    return await retireKeys(openKeys(dataPaths(config.dataDir).keys), database, name, force);
  } finally {
    await database.stop();
    release();
  }
}

function say(text: string): void {
  process.stdout.write(`${text.trimEnd()}\n`);
}
