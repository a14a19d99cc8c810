/** `presage detector`: versions of what judges devices in a running server: list, try beside, promote, roll back, retire. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { z } from 'zod';
import {
  type RegistryDetail,
  type RegistryEntry,
  registryDetail,
  registryEntry,
  registryRecord,
} from '../../contract/http/registry.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { type ApiClient, type ApiOptions, apiClientFor, withApiAccess } from '../api-client.ts';
import { runCommand } from '../cli-support.ts';
import { print } from '../table.ts';

const PATH = '/api/v1/registry';
const COLUMNS = ['kind', 'model', 'name', 'version', 'state', 'scope', 'owner', 'updatedAt', 'id'] as const;
const MOVES = [
  ['promote', 'make it the active version; what was active can be rolled back to'],
  ['roll-back', 'take the active version back: what was active before it is active again'],
  ['retire', 'stop a version that runs beside the active one'],
  ['shadow', 'let a retired version run beside the active one'],
] as const;

interface Which extends ApiOptions {
  readonly kind: string;
  readonly model?: string;
}

export function register(program: Command): void {
  const group = program
    .command('detector')
    .description('versions of detectors and prognosis models: list, try, promote');
  withApiAccess(group.command('list').description('all versions'))
    .option('--kind <kind>', 'ensemble, prognosis or rules')
    .option('--model <id>', 'of one device model; * for devices that no catalogue describes')
    .option('--state <state>', 'shadow, active or retired')
    .action(runCommand(list));
  withApiAccess(group.command('show').description('one version with its history and record').argument('<version>'))
    .option('--kind <kind>', 'ensemble, prognosis or rules', 'ensemble')
    .option('--model <id>', 'device model; needed when several have the version')
    .action(runCommand(show));
  withApiAccess(
    group
      .command('register')
      .description('a new version of an ensemble; it runs beside the active one')
      .argument('<version>'),
  )
    .requiredOption('--model <id>', 'device model; * for devices that no catalogue describes')
    .option('--parameters <file>', 'JSON with the parameters that differ from the active version')
    .option('--note <text>', 'what it is for')
    .action(runCommand(registerVersion));
  for (const [move, about] of MOVES) {
    withApiAccess(group.command(move).description(about).argument('<version>'))
      .option('--kind <kind>', 'ensemble, prognosis or rules', 'ensemble')
      .option('--model <id>', 'device model; needed when several have the version')
      .requiredOption('--reason <text>', 'why; it is kept with your name')
      .action(runCommand((version: string, options: Which & { reason: string }) => moveTo(move, version, options)));
  }
}

async function list({ kind, model, state, ...access }: ApiOptions & { kind?: string; model?: string; state?: string }) {
  const filter = Object.entries({ kind, model, state }).filter((pair): pair is [string, string] => Boolean(pair[1]));
  const found = await apiClientFor(access).all(`${PATH}?${new URLSearchParams(filter)}`, registryEntry);
  const order = (one: RegistryEntry): string => [one.kind, one.model, one.createdAt].join('\n');
  print(
    found.sort((a, b) => (order(a) < order(b) ? -1 : 1)),
    COLUMNS,
    access,
  );
}

async function show(version: string, { kind, model, ...access }: Which): Promise<void> {
  const client = apiClientFor(access);
  const entry = await find(client, version, { kind, model });
  const record = await client.send('GET', `${PATH}/${entry.id}/record`, registryRecord);
  if (access.json) {
    process.stdout.write(`${JSON.stringify({ ...entry, record })}\n`);
    return;
  }
  const { history, ...facts } = entry;
  const lines = Object.entries({ ...facts, ...record }).map(([field, value]) => ({
    field,
    value: typeof value === 'object' ? JSON.stringify(value) : value,
  }));
  print(lines, ['field', 'value'], access);
  print(history, ['at', 'actor', 'act', 'from', 'to', 'reason'], access);
}

interface NewVersion extends ApiOptions {
  readonly model: string;
  readonly parameters?: string;
  readonly note?: string;
}

async function registerVersion(version: string, { model, parameters, note, ...access }: NewVersion): Promise<void> {
  const body = { kind: 'ensemble', model, version, parameters: parametersIn(parameters), ...(note ? { note } : {}) };
  print(await apiClientFor(access).send('POST', PATH, registryDetail, body), COLUMNS, access);
}

function parametersIn(path: string | undefined): object {
  if (path === undefined) return {};
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', `--parameters ${path} is not a readable JSON object`, { cause });
  }
}

async function moveTo(move: string, version: string, { kind, model, reason, ...access }: Which & { reason: string }) {
  const client = apiClientFor(access);
  const entry = await find(client, version, { kind, model });
  const headers = { 'if-match': `"${entry.revision}"` };
  print(await client.send('POST', `${PATH}/${entry.id}/${move}`, registryDetail, { reason }, headers), COLUMNS, access);
}

async function find(
  client: ApiClient,
  version: string,
  { kind, model }: { kind: string; model: string | undefined },
): Promise<RegistryDetail> {
  const filter = new URLSearchParams({ kind, ...(model ? { model } : {}) });
  const all = await client.all(`${PATH}?${filter}`, registryEntry);
  const found = all.filter((one) => one.version === version);
  if (found.length > 1) {
    throw new AppError(
      'CONFIG_INVALID',
      `${found.map((one) => one.model).join(', ')} have a version ${version}: say --model`,
    );
  }
  const [entry] = found;
  if (!entry)
    throw new AppError(
      'NOT_FOUND',
      `version ${version}; there are ${[...new Set(all.map((one) => one.version))].join(', ')}`,
    );
  return client.send('GET', `${PATH}/${entry.id}`, registryDetail);
}
