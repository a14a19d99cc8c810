/** A decision about versions in the whole system: from the request through the telemetry log to the analytics worker. */
import { rmSync } from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import { createCheckpointStore } from '../../api/checkpoints.ts';
import { composeSystem, type System } from '../../app/compose.ts';
import { loadConfig } from '../../app/config.ts';
import type { RegistryDetail, RegistryEntry } from '../../contract/http/registry.ts';
import type { SeedFile } from '../../contract/kernel/seed.ts';
import { ORDER_BOOK } from '../../contract/ports/versions.ts';
import { silentLogger } from '../support/fake-services.ts';
import { temporaryDirectory } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const TOKEN = 'psg_test_manager_token_0123456789abcdef';
const seed: SeedFile = {
  tenants: [
    {
      id: 'acme',
      name: 'Acme',
      centres: [{ id: 'main', name: 'Main', timeZone: 'UTC' }],
      users: [{ id: 'boss', role: 'manager', tokens: [TOKEN] }],
      devices: [],
    },
  ],
};

let directory: string | undefined;
let system: System | undefined;
afterEach(async () => {
  await system?.stop();
  if (directory) rmSync(directory, { recursive: true, force: true });
});

async function start(dataDir: string): Promise<System> {
  const { config } = loadConfig({ env: {}, flags: {} });
  const settings = { dataDir, httpPort: 0, mqttPort: 0, diskMinFreeMb: 0 };
  system = composeSystem({ ...config, ...settings }, { logger: silentLogger, seed, onFatal: () => {} });
  await system.start();
  return system;
}

async function ask<Answer>(running: System, method: string, path: string, body?: object, revision?: number) {
  const answer = await fetch(`http://127.0.0.1:${running.ready().ports.http}/api/v1/registry${path}`, {
    method,
    headers: {
      authorization: `Bearer ${TOKEN}`,
      ...(body ? { 'content-type': 'application/json' } : {}),
      ...(revision === undefined ? {} : { 'if-match': `"${revision}"` }),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return (await answer.json()) as Answer;
}

it('takes effect at a position of the log that the registry names, also after a restart', async () => {
  directory = temporaryDirectory('composed-registry');
  let running = await start(directory);
  const made = await ask<RegistryDetail>(running, 'POST', '', {
    ...{ kind: 'ensemble', model: 'refrigerator', version: 'calm', parameters: { onSamples: 6 } },
  });
  const promoted = await ask<RegistryDetail>(running, 'POST', `/${made.id}/promote`, { reason: 'try' }, made.revision);
  expect(promoted.state).toBe('active');
  const position = await waitFor('the order to stand in the log', async () => {
    const { order } = await ask<RegistryDetail>(running, 'GET', `/${made.id}`);
    return order?.position;
  });
  const book = async () => (await createCheckpointStore(running.database, 'analytics').load(ORDER_BOOK)) as never;
  await waitFor('analytics to have taken it', async () =>
    JSON.stringify((await book()) ?? null).includes(promoted.order?.id ?? 'no order'),
  );
  const expected = {
    assignments: {
      'acme\nensemble\nrefrigerator': [
        { active: { version: expect.any(String) } },
        { from: position, active: { version: 'calm' } },
      ],
    },
  };
  expect(await book()).toMatchObject(expected);
  await running.stop();
  running = await start(directory);
  expect(await book()).toMatchObject(expected);
  const active = await ask<{ items: RegistryEntry[] }>(
    running,
    'GET',
    '?kind=ensemble&model=refrigerator&state=active',
  );
  expect(active.items).toMatchObject([{ version: 'calm', order: { position } }]);
});
