/** `presage security-events`: what a running server saw at the device door that speaks of an attack. */
import type { Command } from 'commander';
import { securityEvent } from '../../contract/http/resources.ts';
import { type ApiOptions, apiClientFor, withApiAccess } from '../api-client.ts';
import { runCommand } from '../cli-support.ts';
import { print } from '../table.ts';

const COLUMNS = ['lastAt', 'kind', 'device', 'times', 'remoteAddress', 'certificateSerial', 'detail'] as const;

export function register(program: Command): void {
  withApiAccess(
    program
      .command('security-events')
      .description('what speaks of an attack on the device door, newest first')
      .option('--device <id>', 'of one device')
      .option('--kind <code>', 'for example MQTT_TOPIC')
      .option('--since <time>', 'ISO 8601, inclusive'),
  ).action(runCommand(list));
}

type Filter = { readonly device?: string; readonly kind?: string; readonly since?: string };

async function list({ device, kind, since, ...access }: ApiOptions & Filter): Promise<void> {
  const filter = Object.entries({ device, kind, since }).filter((pair): pair is [string, string] => Boolean(pair[1]));
  const path = `/api/v1/security-events?${new URLSearchParams(filter)}`;
  print(await apiClientFor(access).all(path, securityEvent), COLUMNS, access);
}
