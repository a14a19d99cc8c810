/** What `sim` and `replay` share: where devices connect, where their secrets come from, and reading of common values. */
import type { Command } from 'commander';
import { AppError } from '../contract/kernel/errors.ts';
import {
  type DeviceCredential,
  provisionDevices,
  readSeedDevices,
  type WantedDevice,
} from '../device-sim/credentials.ts';

export interface DeviceAccessOptions {
  readonly broker: string;
  readonly seed?: string;
  readonly tenant?: string;
  readonly provision?: true;
  readonly api?: string;
  readonly token?: string;
  readonly saveSeed?: string;
}

export function withDeviceAccess(command: Command): Command {
  return command
    .requiredOption('--broker <url>', 'MQTT broker, for example mqtt://127.0.0.1:1883')
    .option('--seed <file>', 'seed file with the devices and their secrets')
    .option('--tenant <id>', 'tenant of the seed file; all when absent')
    .option('--provision', 'create the devices through the API')
    .option('--api <url>', 'address of the API, for --provision')
    .option('--token <token>', 'API token that may create devices, for --provision')
    .option('--save-seed <file>', 'keep provisioned secrets here (mode 0600) and use those it already has');
}

/** @throws AppError CONFIG_INVALID when the address is none, so that it does not end as a riddle of the MQTT library */
export function brokerUrlOf(options: DeviceAccessOptions): string {
  return checkUrl(options.broker, '--broker', ['mqtt:', 'mqtts:', 'ws:', 'wss:']);
}

function checkUrl(text: string, flag: string, protocols: readonly string[]): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !protocols.includes(url.protocol)) {
    throw new AppError(
      'CONFIG_INVALID',
      `${flag} must begin with ${protocols.map((p) => `${p}//`).join(' or ')}, not "${text}"`,
    );
  }
  return text;
}

/** The devices wanted with their secrets, in order. @throws AppError CONFIG_INVALID when one has none */
export async function accessFor(
  wanted: readonly WantedDevice[],
  options: DeviceAccessOptions,
): Promise<readonly DeviceCredential[]> {
  if (options.provision) return provisionDevices(wanted, provisionTarget(options));
  const devices = await seedDevices(options);
  const seeded = new Map(devices.map((device) => [device.ref.device, device]));
  const twice = devices.find(
    (device) => seeded.get(device.ref.device) !== device && wanted.some(({ id }) => id === device.ref.device),
  );
  if (twice)
    throw new AppError(
      'CONFIG_INVALID',
      `${options.seed} has ${twice.ref.device} in several tenants; choose one with --tenant`,
    );
  const missing = wanted.find((device) => !seeded.has(device.id));
  if (missing) {
    throw new AppError('CONFIG_INVALID', `${options.seed} has no device ${missing.id}; choose names with --prefix`);
  }
  return wanted.flatMap((device) => seeded.get(device.id) ?? []);
}

/** All devices of `--seed`. @throws AppError CONFIG_INVALID when neither --seed nor --provision was given */
export function seedDevices(options: DeviceAccessOptions): Promise<readonly DeviceCredential[]> {
  if (!options.seed) throw new AppError('CONFIG_INVALID', 'give --seed FILE, or --provision with --api and --token');
  return readSeedDevices(options.seed, options.tenant);
}

function provisionTarget(options: DeviceAccessOptions) {
  if (options.seed) throw new AppError('CONFIG_INVALID', 'give --seed or --provision, not both');
  if (!options.api || !options.token) throw new AppError('CONFIG_INVALID', '--provision needs --api URL and --token T');
  checkUrl(options.api, '--api', ['http:', 'https:']);
  return { api: options.api, token: options.token, ...(options.saveSeed ? { saveTo: options.saveSeed } : {}) };
}

/** `max`, or a number above 0. */
export function parseSpeed(text: string): number | 'max' {
  if (text === 'max') return 'max';
  return parseNumber(text, '--speed', Number.MIN_VALUE, Number.MAX_VALUE);
}

/** @throws AppError CONFIG_INVALID naming the flag and the range */
export function parseNumber(text: string, flag: string, low: number, high: number): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= low && value <= high)) {
    throw new AppError('CONFIG_INVALID', `${flag} must be a number in ${low} to ${high}, not "${text}"`);
  }
  return value;
}

export function parseCount(text: string, flag: string, low: number, high: number): number {
  const value = parseNumber(text, flag, low, high);
  if (!Number.isInteger(value)) throw new AppError('CONFIG_INVALID', `${flag} must be a whole number, not "${text}"`);
  return value;
}

/** Epoch ms of an ISO 8601 time with a zone, for example 2026-03-01T00:00:00Z. */
export function parseTime(text: string, flag: string): number {
  const time = /^\d{4}-\d{2}-\d{2}T.*(Z|[+-]\d{2}:?\d{2})$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time))
    throw new AppError('CONFIG_INVALID', `${flag} must be like 2026-03-01T00:00:00Z, not "${text}"`);
  return time;
}

/** A line that is overwritten on a terminal; nothing when the output is not one, so that logs stay readable. */
export function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

export interface PlayedRun<Result> {
  readonly done: Promise<Result>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Plays a run to its end; the first SIGINT or SIGTERM stops it in order, a second one ends the process at once. */
export async function playToEnd<Result>(run: PlayedRun<Result>): Promise<Result> {
  let stopping = false;
  const onSignal = (): void => {
    if (stopping) process.exit(1);
    stopping = true;
    void run.stop(); // `done` tells how it ended.
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  const startFailed = new Promise<never>((_resolve, reject) => {
    run.start().catch((error: unknown) => {
      if (!stopping) reject(error); // When it was stopped, `done` has the summary.
    });
  });
  try {
    return await Promise.race([run.done, startFailed]);
  } finally {
    showProgress('');
    await run.stop();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}
