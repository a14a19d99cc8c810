/** The demo's tenant: one service centre, one manager, the simulated fleet with fresh secrets. */
import { randomBytes } from 'node:crypto';
import type { SeedFile } from '../../contract/kernel/seed.ts';
import type { FleetDevice } from '../../device-sim/fleet.ts';
import { demoFleet } from '../../device-sim/stories.ts';

export const DEMO_TENANT = 'demo';
export const DEMO_CENTRE = 'north';

/** A device of its own for the user to play with; the simulator leaves it alone. */
const GUEST_DEVICE = 'guest-01';

export interface DemoSeed {
  readonly seed: SeedFile;
  readonly devices: readonly FleetDevice[];
  readonly token: string;
  readonly guest: { readonly clientId: string; readonly password: string; readonly topic: string };
}

const secret = (): string => randomBytes(24).toString('base64url');

/** Key of the webhook's signature, in the form that Standard Webhooks asks for. */
export function newWebhookSecret(): string {
  return `whsec_${randomBytes(24).toString('base64')}`;
}

/** The fleet and its tenant; `start` = epoch ms of the first simulated sample. */
export function createDemoSeed(randomSeed: number, start: number, webhook: { url: string; secret: string }): DemoSeed {
  const devices = demoFleet(randomSeed, DEMO_TENANT, start).map((device) => ({ ...device, secret: secret() }));
  const token = `psg_${randomBytes(32).toString('base64url')}`;
  const guestSecret = secret();
  const seed: SeedFile = {
    tenants: [
      {
        id: DEMO_TENANT,
        name: 'Demo fleet',
        centres: [{ id: DEMO_CENTRE, name: 'Service centre North', timeZone: 'UTC', webhook }],
        users: [{ id: 'demo', role: 'manager', tokens: [token] }],
        devices: [
          ...devices.map(({ ref, model, secret }) => ({ id: ref.device, model, secret })),
          { id: GUEST_DEVICE, model: 'refrigerator', secret: guestSecret },
        ],
      },
    ],
  };
  const guest = {
    clientId: `${DEMO_TENANT}.${GUEST_DEVICE}`,
    password: guestSecret,
    topic: `presage/v1/${DEMO_TENANT}/${GUEST_DEVICE}/telemetry`,
  };
  return { seed, devices, token, guest };
}
