/** `presage quarantine`: what a running server refused, and decoding it again after the cause was corrected. */
import type { Command } from 'commander';
import { type QuarantineEntry, quarantineEntry, quarantineReplayed } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { type ApiOptions, apiClientFor, withApiAccess } from '../api-client.ts';
import { runCommand } from '../cli-support.ts';
import { print } from '../table.ts';

interface Filter {
  readonly device?: string;
  readonly reason?: string;
}

const PATH = '/api/v1/quarantine';
const COLUMNS = [
  'id',
  'device',
  'receivedAt',
  'reason',
  'at',
  'boot',
  'seq',
  'samples',
  'state',
  'replayable',
] as const;
const PAGE = 200;

export function register(program: Command): void {
  const group = program.command('quarantine').description('what was refused at the device door: list, show, replay');
  withFilter(withApiAccess(group.command('list').description('entries, newest first')))
    .option('--state <state>', 'refused, partly or replayed')
    .action(runCommand(list));
  withApiAccess(group.command('show').description('one entry with its excerpt').argument('<id>')).action(
    runCommand(async (id: string, options: ApiOptions) => {
      show(await apiClientFor(options).send('GET', pathOf(id), quarantineEntry), options);
    }),
  );
  withFilter(
    withApiAccess(
      group
        .command('replay')
        .description('decode again: one entry, or with --all those of the filter; what is good now is stored, once')
        .argument('[id]'),
    ),
  )
    .option('--all', 'all entries that can be replayed, or those of --device and --reason')
    .action(runCommand(replay));
}

function withFilter(command: Command): Command {
  return command.option('--device <id>', 'of one device').option('--reason <code>', 'for example SIGNAL_UNKNOWN');
}

const pathOf = (id: string) => `${PATH}/${encodeURIComponent(id)}`;

async function list({ device, reason, state, ...access }: ApiOptions & Filter & { state?: string }): Promise<void> {
  const filter = Object.entries({ device, reason, state }).filter((pair): pair is [string, string] => Boolean(pair[1]));
  print(await apiClientFor(access).all(`${PATH}?${new URLSearchParams(filter)}`, quarantineEntry), COLUMNS, access);
}

function show(entry: QuarantineEntry, options: { readonly json?: true }): void {
  const { replay, ...rest } = entry;
  const lines = Object.entries({ ...rest, ...(replay ? { replay: JSON.stringify(replay) } : {}) });
  if (options.json) print(entry, COLUMNS, options);
  else
    print(
      lines.map(([field, value]) => ({ field, value })),
      ['field', 'value'],
      options,
    );
}

type ReplayOptions = ApiOptions & Filter & { readonly all?: true };

/** The exit code is 1 when something stays refused. */
async function replay(id: string | undefined, { device, reason, all, ...access }: ReplayOptions): Promise<void> {
  const client = apiClientFor(access);
  if (id !== undefined) {
    const entry = await client.send('POST', `${pathOf(id)}/replay`, quarantineEntry);
    show(entry, access);
    if (entry.state !== 'replayed') process.exitCode = 1;
    return;
  }
  if (!all) throw new AppError('CONFIG_INVALID', 'name an entry, or say --all');
  const sum = { replayed: 0, partly: 0, alreadyThere: 0, refused: 0, samples: 0 };
  let cursor: string | undefined;
  do {
    const body = { device, reason, limit: PAGE, cursor };
    const done = await client.send('POST', `${PATH}/replay`, quarantineReplayed, body);
    for (const outcome of ['replayed', 'partly', 'alreadyThere', 'refused'] as const) {
      sum[outcome] += done.outcomes[outcome];
    }
    sum.samples += done.entered;
    cursor = done.nextCursor;
  } while (cursor);
  print(sum, ['replayed', 'partly', 'alreadyThere', 'refused', 'samples'], access);
  if (sum.partly + sum.refused > 0) process.exitCode = 1;
}
