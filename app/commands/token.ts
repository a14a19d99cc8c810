/** `presage token`: API tokens of a running server. */
import type { Command } from 'commander';
import { apiToken, apiTokenCreated } from '../../contract/http/resources.ts';
import { type ApiOptions, apiClientFor, nothing, signIn, withApiAccess } from '../api-client.ts';
import { runCommand } from '../cli-support.ts';
import { parseCount } from '../device-options.ts';
import { print, printSecret } from '../table.ts';

interface CreateOptions extends ApiOptions {
  readonly label: string;
  readonly user?: string;
  readonly scope?: string;
  readonly days?: string;
  readonly link?: string;
}

export function register(program: Command): void {
  const group = program.command('token').description('API tokens: make, list, revoke');
  withApiAccess(group.command('create').description('make a token; it is shown once'))
    .requiredOption('--label <text>', 'what it is for')
    .option('--user <id>', 'whose token; your own when absent')
    .option('--scope <scope>', 'read, devices or tickets; all that the user may when absent')
    .option('--link <url>', 'sign-in link to use up instead of a token: the first token of a new installation')
    .option('--days <n>', 'ends after so many days; 365 when absent')
    .action(runCommand(create));
  withApiAccess(group.command('list').description('tokens that you may manage, newest first'))
    .option('--user <id>', 'of one user')
    .action(runCommand(list));
  withApiAccess(
    group.command('revoke').description('end a token').argument('<id>', 'id, as `token list` shows it'),
  ).action(
    runCommand(async (id: string, options: ApiOptions) => {
      await apiClientFor(options).send('DELETE', `/api/v1/tokens/${encodeURIComponent(id)}`, nothing);
    }),
  );
}

async function create({ label, user, scope, days, link, ...access }: CreateOptions): Promise<void> {
  const body = { label, user, scope, ...(days === undefined ? {} : { days: parseCount(days, '--days', 1, 3_650) }) };
  const client = link === undefined ? apiClientFor(access) : await signIn(link);
  const made = await client.send('POST', '/api/v1/tokens', apiTokenCreated, body);
  if (link !== undefined) await client.send('DELETE', '/api/v1/sessions', nothing);
  printSecret(made, made.token, 'the token', access);
}

async function list({ user, ...access }: ApiOptions & { user?: string }): Promise<void> {
  const query = user === undefined ? '' : `?${new URLSearchParams({ user })}`;
  const tokens = await apiClientFor(access).all(`/api/v1/tokens${query}`, apiToken);
  print(tokens, ['id', 'user', 'label', 'scope', 'createdAt', 'expiresAt', 'lastUsedAt', 'revokedAt'], access);
}
