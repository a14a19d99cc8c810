/** `presage device`: devices of a running server. */
import type { Command } from 'commander';
import { device, deviceCreated } from '../../contract/http/resources.ts';
import { type ApiOptions, apiClientFor, withApiAccess } from '../api-client.ts';
import { runCommand } from '../cli-support.ts';
import { parseNumber } from '../device-options.ts';
import { print, printSecret } from '../table.ts';
import { type ImportOptions, importDevices } from './device-import.ts';

interface AddOptions extends ApiOptions {
  readonly model: string;
  readonly serial?: string;
  readonly name?: string;
  readonly centre?: string;
  readonly parent?: string;
  readonly batch?: string;
}

const COLUMNS = ['id', 'model', 'serial', 'centre', 'status', 'connected', 'lastSeenAt', 'worstAlert'] as const;
const pathOf = (id: string) => `/api/v1/devices/${encodeURIComponent(id)}`;

export function register(program: Command): void {
  const group = program
    .command('device')
    .description('devices: add, import, list, new secrets, new owners, and the end');
  withApiAccess(group.command('add').description('create a device; its secret is shown once').argument('<id>'))
    .requiredOption('--model <model>', 'model of the catalogue, for example refrigerator')
    .option('--serial <text>', 'serial number')
    .option('--name <text>', 'name for people')
    .option('--centre <id>', 'responsible service centre; the default one when absent')
    .option('--parent <id>', 'the device above it: its hub, its vehicle')
    .option('--batch <text>', 'production batch')
    .action(
      runCommand(async (id: string, { model, serial, name, centre, parent, batch, ...access }: AddOptions) => {
        const body = { id, model, serial, name, centre, parent, batch };
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
  withApiAccess(group.command('import').description('create the devices of a CSV file').argument('<file>'))
    .requiredOption('--out <file>', 'new file for their secrets (mode 0600)')
    .action(runCommand((file: string, options: ImportOptions) => importDevices(file, options)));
  withApiAccess(group.command('rotate').description('make a new secret; it is shown once').argument('<id>'))
    .option('--grace-hours <n>', 'how long the old one stays good if the new one is not used; 0 = cut off', '168')
    .action(
      runCommand(async (id: string, { graceHours, ...access }: ApiOptions & { graceHours: string }) => {
        const body = { graceHours: parseNumber(graceHours, '--grace-hours', 0, 720) };
        const made = await apiClientFor(access).send('POST', `${pathOf(id)}/rotate`, deviceCreated, body);
        printSecret(made, made.mqtt.password, `the new password of ${made.mqtt.clientId}`, access);
      }),
    );
  withApiAccess(group.command('transfer').description('hand a device to another centre').argument('<id>'))
    .requiredOption('--centre <id>', 'the new centre')
    .requiredOption('--reason <text>', 'for the custody log')
    .action(
      runCommand(async (id: string, { centre, reason, ...access }: ApiOptions & { centre: string; reason: string }) => {
        const body = { centre, reason };
        print(await apiClientFor(access).send('POST', `${pathOf(id)}/transfer`, device, body), COLUMNS, access);
      }),
    );
  withApiAccess(group.command('decommission').description('end a device for ever').argument('<id>'))
    .requiredOption('--reason <text>', 'for the custody log')
    .action(
      runCommand(async (id: string, { reason, ...access }: ApiOptions & { reason: string }) => {
        const body = { reason };
        print(await apiClientFor(access).send('POST', `${pathOf(id)}/decommission`, device, body), COLUMNS, access);
      }),
    );
}
