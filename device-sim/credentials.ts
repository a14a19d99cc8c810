/** Secrets of devices: from a seed file, or by creating the devices through the API and keeping what it answers. */
import { deviceCreated, problem } from '../contract/http/resources.ts';
import { AppError, errorText } from '../contract/kernel/errors.ts';
import type { DeviceRef } from '../contract/kernel/ids.ts';
import { isRetriableStatus, retryDelayMs } from '../contract/kernel/retry.ts';
import { type SeedFile, seedFile } from '../contract/kernel/seed.ts';
import { readJsonFile, writePrivateFile } from './private-file.ts';

export interface DeviceCredential {
  readonly ref: DeviceRef;
  readonly model: string;
  readonly secret: string;
  readonly centre?: string;
}

/**
 * All devices of a seed file, in its order. `tenant` picks one tenant.
 * @throws AppError CONFIG_INVALID naming the field that is wrong
 */
export async function readSeedDevices(path: string, tenant?: string): Promise<readonly DeviceCredential[]> {
  const json = await readJsonFile(path);
  if (json === undefined) throw new AppError('CONFIG_INVALID', `${path} does not exist`);
  const parsed = seedFile.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new AppError('CONFIG_INVALID', `${path}: ${issue?.path.join('.')}: ${issue?.message}`);
  }
  return parsed.data.tenants
    .filter((candidate) => tenant === undefined || candidate.id === tenant)
    .flatMap((owner) =>
      owner.devices.map((device) => ({
        ref: { tenant: owner.id, device: device.id },
        model: device.model,
        secret: device.secret,
        ...(device.centre ? { centre: device.centre } : {}),
      })),
    );
}

export interface ProvisionOptions {
  readonly api: string;
  readonly token: string;
  /** Known devices are read from it, new ones added to it: a seed file, mode 0600. */
  readonly saveTo?: string;
  /** Time for tests; waits between tries. */
  readonly wait?: (ms: number) => Promise<void>;
  readonly random?: () => number;
}

export interface WantedDevice {
  readonly id: string;
  readonly model: string;
}

const CONCURRENCY = 8;
const MAX_TRIES = 6;

/**
 * Creates the devices that are not yet in `saveTo`; secrets are saved every few devices, since the API shows them only once.
 * @throws AppError CONFLICT when a device exists, others as the API answers
 */
export async function provisionDevices(
  wanted: readonly WantedDevice[],
  options: ProvisionOptions,
): Promise<readonly DeviceCredential[]> {
  const known = options.saveTo ? await readKnown(options.saveTo) : new Map<string, DeviceCredential>();
  const missing = wanted.filter((device) => known.get(device.id)?.model !== device.model);
  for (let from = 0; from < missing.length; from += CONCURRENCY) {
    const results = await Promise.allSettled(
      missing.slice(from, from + CONCURRENCY).map((device) => createDevice(device, options)),
    );
    for (const result of results) if (result.status === 'fulfilled') known.set(result.value.ref.device, result.value);
    if (options.saveTo) await writePrivateFile(options.saveTo, seedText([...known.values()]));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }
  return wanted.flatMap((device) => known.get(device.id) ?? []);
}

async function readKnown(path: string): Promise<Map<string, DeviceCredential>> {
  if ((await readJsonFile(path)) === undefined) return new Map();
  return new Map((await readSeedDevices(path)).map((device) => [device.ref.device, device]));
}

async function createDevice(device: WantedDevice, options: ProvisionOptions): Promise<DeviceCredential> {
  const response = await post(device, options);
  const body: unknown = await response.json().catch(() => undefined);
  if (response.status === 409) {
    throw new AppError(
      'CONFLICT',
      `device ${device.id} exists already; choose other names with --prefix, or use --seed`,
    );
  }
  if (response.status === 401 || response.status === 403) {
    throw new AppError(response.status === 401 ? 'UNAUTHENTICATED' : 'FORBIDDEN', `${options.api} refused the token`);
  }
  if (!response.ok) {
    const said = problem.safeParse(body);
    const detail = said.success ? (said.data.detail ?? said.data.title) : 'no reason given';
    throw new AppError('REQUEST_NOT_ALLOWED', `${options.api} answered ${response.status} for ${device.id}: ${detail}`);
  }
  const created = deviceCreated.safeParse(body);
  if (!created.success) throw new AppError('INTERNAL', `${options.api} did not answer like Presage for ${device.id}`);
  const { tenant, id, model, centre, mqtt } = created.data;
  return { ref: { tenant, device: id }, model, secret: mqtt.password, centre };
}

async function post(device: WantedDevice, options: ProvisionOptions): Promise<Response> {
  const url = new URL('/api/v1/devices', options.api);
  const wait = options.wait ?? ((ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)));
  for (let attempt = 1; ; attempt++) {
    const outcome = await request(url, device, options.token);
    const status = typeof outcome === 'string' ? 503 : outcome.status;
    if (typeof outcome !== 'string' && !isRetriableStatus(status)) return outcome;
    if (attempt >= MAX_TRIES) {
      if (typeof outcome !== 'string') return outcome;
      throw new AppError('NOT_READY', `${options.api} does not answer: ${outcome}`);
    }
    const askedMs = typeof outcome === 'string' ? 0 : 1_000 * Number(outcome.headers.get('retry-after') ?? 0);
    await wait(Math.max(retryDelayMs(attempt, (options.random ?? Math.random)()), Math.min(30_000, askedMs || 0)));
  }
}

/** The answer, or why there is none. */
async function request(url: URL, device: WantedDevice, token: string): Promise<Response | string> {
  try {
    return await fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ id: device.id, model: device.model, serial: device.id }),
      signal: AbortSignal.timeout(15_000),
    });
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    return errorText(cause ?? error);
  }
}

/** A seed file with nothing but these devices and the centres they belong to. */
function seedText(devices: readonly DeviceCredential[]): string {
  const tenants = [...new Set(devices.map((device) => device.ref.tenant))];
  const seed: SeedFile = {
    tenants: tenants.map((tenant) => {
      const own = devices.filter((device) => device.ref.tenant === tenant);
      const centres = [...new Set(own.map((device) => device.centre ?? 'default'))];
      return {
        id: tenant,
        name: tenant,
        centres: centres.map((id) => ({ id, name: id, timeZone: 'UTC' })),
        users: [],
        devices: own.map(({ ref, model, secret, centre }) => ({
          id: ref.device,
          model,
          secret,
          ...(centre ? { centre } : {}),
        })),
      };
    }),
  };
  return `${JSON.stringify(seed, null, 2)}\n`;
}
