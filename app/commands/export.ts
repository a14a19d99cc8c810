/** `presage export`: a device's samples from a running server, as the API streams them (NDJSON). */
import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import { apiClientFor } from '../api-client.ts';
import { runCommand } from '../cli-support.ts';

interface ExportOptions {
  readonly api: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly device: string;
  readonly from: string;
  readonly to: string;
  readonly out?: string;
}

export function register(program: Command): void {
  program
    .command('export')
    .description('write a device’s samples as NDJSON, one sample a line')
    .requiredOption('--api <url>', 'address of the API, for example http://127.0.0.1:8080')
    .option('--token <token>', 'API token; other users of this machine may see it')
    .option('--token-file <file>', 'file with the API token')
    .requiredOption('--device <id>', 'device id')
    .option('--from <time>', 'ISO 8601, inclusive', '2000-01-01T00:00:00Z')
    .option('--to <time>', 'ISO 8601, exclusive; now when absent', new Date().toISOString())
    .option('--out <file>', 'file to write; standard output when absent')
    .action(runCommand(exportTelemetry));
}

async function exportTelemetry({ device, from, to, out, ...access }: ExportOptions): Promise<void> {
  const query = new URLSearchParams({ device, from, to });
  const body = await apiClientFor(access).stream(`/api/v1/export/telemetry?${query}`);
  await pipeline(Readable.fromWeb(body), out ? createWriteStream(out) : process.stdout, { end: out !== undefined });
}
