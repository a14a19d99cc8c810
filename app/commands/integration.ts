/** `presage integration`: programs of a tenant that read along over MQTT, on a running server. */
import type { Command } from 'commander';
import { integration, integrationCreated } from '../../contract/http/resources.ts';
import { type ApiOptions, apiClientFor, withApiAccess } from '../api-client.ts';
import { runCommand } from '../cli-support.ts';
import { print, printSecret } from '../table.ts';

const COLUMNS = ['id', 'status', 'createdAt', 'lastLoginAt'] as const;
const PATH = '/api/v1/integrations';
const pathOf = (id: string, act: string) => `${PATH}/${encodeURIComponent(id)}/${act}`;

export function register(program: Command): void {
  const group = program.command('integration').description('programs that read along over MQTT');
  withApiAccess(group.command('add').description('add one; its password is shown once').argument('<id>')).action(
    runCommand(async (id: string, options: ApiOptions) => {
      const made = await apiClientFor(options).send('POST', PATH, integrationCreated, { id });
      printSecret(made, made.mqtt.password, `the password of ${made.mqtt.username}`, options);
    }),
  );
  withApiAccess(group.command('list').description('all integrations')).action(
    runCommand(async (options: ApiOptions) => {
      print(await apiClientFor(options).all(PATH, integration), COLUMNS, options);
    }),
  );
  withApiAccess(
    group.command('rotate').description('a new password; the old one is over at once').argument('<id>'),
  ).action(
    runCommand(async (id: string, options: ApiOptions) => {
      const made = await apiClientFor(options).send('POST', pathOf(id, 'rotate'), integrationCreated);
      printSecret(made, made.mqtt.password, `the password of ${made.mqtt.username}`, options);
    }),
  );
  for (const [act, description] of [
    ['block', 'close its connections, forget its sessions, and let it in no more'],
    ['unblock', 'let it in again'],
  ] as const) {
    withApiAccess(group.command(act).description(description).argument('<id>')).action(
      runCommand(async (id: string, options: ApiOptions) => {
        print(await apiClientFor(options).send('POST', pathOf(id, act), integration), COLUMNS, options);
      }),
    );
  }
}
