/** `presage device`: devices of a running server. */
import type { Command } from 'commander';
import { device, deviceCreated } from '../../contract/http/resources.ts';
import { type ApiOptions, apiClientFor, withApiAccess } from '../api-client.ts';
import { runCommand } from '../cli-support.ts';
import { print, printSecret } from '../table.ts';

interface AddOptions extends ApiOptions {
  readonly model: string;
  readonly serial?: string;
  readonly name?: string;
  readonly centre?: string;
}

const COLUMNS = ['id', 'model', 'serial', 'centre', 'status', 'connected', 'lastSeenAt', 'worstAlert'] as const;
const pathOf = (id: string) => `/api/v1/devices/${encodeURIComponent(id)}`;

export function register(program: Command): void {
  const group = program.command('device').description('devices: add, list, block, unblock');
  withApiAccess(group.command('add').description('create a device; its secret is shown once').argument('<id>'))
    .requiredOption('--model <model>', 'model of the catalogue, for example refrigerator')
    .option('--serial <text>', 'serial number')
    .option('--name <text>', 'name for people')
    .option('--centre <id>', 'responsible service centre; the default one when absent')
    .action(
      runCommand(async (id: string, { model, serial, name, centre, ...access }: AddOptions) => {
        const body = { id, model, serial, name, centre };
        const made = await apiClientFor(access).send('POST', '/api/v1/devices', deviceCreated, body);
        printSecret(made, made.mqtt.password, `the password of ${made.mqtt.clientId}`, access);
      }),
    );
  withApiAccess(group.command('list').description('devices that you may see')).action(
    runCommand(async (options: ApiOptions) => {
      print(await apiClientFor(options).all('/api/v1/devices', device), COLUMNS, options);
    }),
  );
  for (const [name, description] of [
    ['block', 'refuse a device and close its connection'],
    ['unblock', 'let a blocked device in again'],
  ] as const) {
    withApiAccess(group.command(name).description(description).argument('<id>')).action(
      runCommand(async (id: string, options: ApiOptions) => {
        print(await apiClientFor(options).send('POST', `${pathOf(id)}/${name}`, device), COLUMNS, options);
      }),
    );
  }
}
