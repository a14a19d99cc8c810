/** `presage export`: a device's samples from a running server, as the API streams them (NDJSON). */
import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import { AppError, errorText } from '../../contract/kernel/errors.ts';
import { runCommand } from '../cli-support.ts';

interface ExportOptions {
  readonly api: string;
  readonly token: string;
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
    .requiredOption('--token <token>', 'API token')
    .requiredOption('--device <id>', 'device id')
    .option('--from <time>', 'ISO 8601, inclusive', '2000-01-01T00:00:00Z')
    .option('--to <time>', 'ISO 8601, exclusive; now when absent', new Date().toISOString())
    .option('--out <file>', 'file to write; standard output when absent')
    .action(runCommand(exportTelemetry));
}

async function exportTelemetry(options: ExportOptions): Promise<void> {
  const url = new URL('/api/v1/export/telemetry', options.api);
  url.search = new URLSearchParams({ device: options.device, from: options.from, to: options.to }).toString();
  let response: Response;
  try {
    response = await fetch(url, { headers: { authorization: `Bearer ${options.token}` } });
  } catch (cause) {
    throw new AppError('NOT_READY', `${options.api} does not answer: ${errorText((cause as Error).cause ?? cause)}`, {
      cause,
    });
  }
  if (!response.ok || !response.body)
    throw new AppError('REQUEST_NOT_ALLOWED', `${response.status} ${await response.text()}`);
  await pipeline(Readable.fromWeb(response.body), options.out ? createWriteStream(options.out) : process.stdout, {
    end: options.out !== undefined,
  });
}
