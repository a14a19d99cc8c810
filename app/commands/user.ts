/** `presage user`: people of a tenant on a running server, for its administrators. */
import type { Command } from 'commander';
import { signInLink, user } from '../../contract/http/resources.ts';
import { type ApiOptions, apiClientFor, withApiAccess } from '../api-client.ts';
import { runCommand } from '../cli-support.ts';
import { print, printSecret } from '../table.ts';

interface AddOptions extends ApiOptions {
  readonly role: string;
  readonly centre?: string;
}

const COLUMNS = ['id', 'role', 'centre', 'disabled', 'createdAt'] as const;
const pathOf = (id: string) => `/api/v1/users/${encodeURIComponent(id)}`;

export function register(program: Command): void {
  const group = program.command('user').description('users: add, list, disable, enable, let in');
  withApiAccess(group.command('add').description('add a user').argument('<id>'))
    .requiredOption('--role <role>', 'viewer, agent, engineer, manager or admin')
    .option('--centre <id>', 'sees only the tickets of this centre and their devices')
    .action(
      runCommand(async (id: string, { role, centre, ...access }: AddOptions) => {
        const body = { id, role, centre };
        print(await apiClientFor(access).send('POST', '/api/v1/users', user, body), COLUMNS, access);
      }),
    );
  withApiAccess(group.command('list').description('all users')).action(
    runCommand(async (options: ApiOptions) => {
      print(await apiClientFor(options).all('/api/v1/users', user), COLUMNS, options);
    }),
  );
  for (const [name, disabled, description] of [
    ['disable', true, 'end all ways in of a user'],
    ['enable', false, 'let a disabled user in again'],
  ] as const) {
    withApiAccess(group.command(name).description(description).argument('<id>')).action(
      runCommand(async (id: string, options: ApiOptions) => {
        print(await apiClientFor(options).send('PATCH', pathOf(id), user, { disabled }), COLUMNS, options);
      }),
    );
  }
  withApiAccess(
    group.command('link').description('make a link that signs a user in to the console, once').argument('<id>'),
  ).action(
    runCommand(async (id: string, options: ApiOptions) => {
      const made = await apiClientFor(options).send('POST', `${pathOf(id)}/sign-in-links`, signInLink);
      printSecret(made, made.url, 'the link', options);
    }),
  );
}
