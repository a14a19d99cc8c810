/** `presage device import`: many devices from a CSV file, with a report on every row. Good rows do not wait for bad ones. */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { device, deviceCreated } from '../../contract/http/resources.ts';
import { AppError, errorText } from '../../contract/kernel/errors.ts';
import { type ApiClient, type ApiOptions, apiClientFor } from '../api-client.ts';
import { csvLine, type GoodRow, readDeviceRows, wavesOf } from '../device-csv.ts';
import { print } from '../table.ts';

export interface ImportOptions extends ApiOptions {
  readonly out: string;
}

interface RowReport {
  readonly line: number;
  readonly id: string;
  readonly outcome: 'created' | 'refused';
  readonly field?: string;
  readonly reason?: string;
}

const CONCURRENCY = 8;
/** Of the server's limit, which counts by the minute. */
const RATE_LIMIT_WAIT_MS = 10_000;
const RATE_LIMIT_TRIES = 12;
const createdOrClaimable = device.extend({ mqtt: deviceCreated.shape.mqtt.optional() });

/** Creates the devices of the file; their secrets go to `--out`, row by row, so that none is lost when it is cut off. */
export async function importDevices(file: string, options: ImportOptions): Promise<void> {
  const client = apiClientFor(options);
  const { good, bad } = readDeviceRows(readInput(file));
  const reports: RowReport[] = bad.map((row) => ({ ...row, outcome: 'refused' }));
  const out = createOutput(options.out);
  try {
    writeSync(out, csvLine(['id', 'serial', 'client_id', 'password']));
    for (const batch of wavesOf(good).flatMap((wave) => chunksOf(wave, CONCURRENCY))) {
      const results = await Promise.allSettled(batch.map((row) => createOne(client, row, out)));
      const failed = results.find((result) => result.status === 'rejected');
      if (failed) throw failed.reason;
      for (const result of results) if (result.status === 'fulfilled') reports.push(result.value);
    }
  } finally {
    closeSync(out);
  }
  tell(reports, options);
}

function chunksOf<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, at) => items.slice(at * size, (at + 1) * size));
}

async function createOne(client: ApiClient, { line, device: wanted }: GoodRow, out: number): Promise<RowReport> {
  const { id } = wanted;
  try {
    const made = await patiently(() => client.send('POST', '/api/v1/devices', createdOrClaimable, wanted));
    const { clientId = '', password = '' } = made.mqtt ?? {};
    writeSync(out, csvLine([id, made.serial ?? '', clientId, password]));
    return { line, id, outcome: 'created' };
  } catch (error) {
    if (!isAboutRow(error)) throw error;
    return { line, id, outcome: 'refused', ...reasonOf(error) };
  }
}

/** Others (no connection, no right) would be the same for every row: they end the import. */
function isAboutRow(error: unknown): error is AppError {
  return error instanceof AppError && ['CONFLICT', 'REQUEST_INVALID', 'REQUEST_NOT_ALLOWED'].includes(error.code);
}

function reasonOf(error: AppError): { field: string; reason: string } {
  const [first] = (error.facts.errors ?? []) as readonly { path: string; message: string }[];
  if (first) return { field: first.path.replace(/^body\./, ''), reason: first.message };
  const reason = errorText(error).replace(/^[^:]*: /, '');
  return { field: reason.startsWith('serial number') ? 'serial' : 'id', reason };
}

async function patiently<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await ask();
    } catch (error) {
      const isLimit = error instanceof AppError && error.code === 'RATE_LIMITED';
      if (!isLimit || attempt >= RATE_LIMIT_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, RATE_LIMIT_WAIT_MS));
    }
  }
}

function readInput(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', `${path} cannot be read: ${errorText(cause)}`, { cause });
  }
}

/** Never over an older one: its secrets exist nowhere else. */
function createOutput(path: string): number {
  try {
    return openSync(path, 'wx', 0o600);
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', `--out ${path} must be a new file: ${errorText(cause)}`, { cause });
  }
}

function tell(reports: RowReport[], options: ImportOptions): void {
  reports.sort((a, b) => a.line - b.line);
  const refused = reports.filter((row) => row.outcome === 'refused');
  const created = reports.length - refused.length;
  if (refused.length > 0) process.exitCode = 1;
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ created, refused: refused.length, rows: reports })}\n`);
    return;
  }
  if (refused.length > 0) print(refused, ['line', 'id', 'field', 'reason'], options);
  process.stderr.write(
    `${created} devices created, ${refused.length} rows refused. Secrets are in ${options.out}, and nowhere else.\n`,
  );
}
