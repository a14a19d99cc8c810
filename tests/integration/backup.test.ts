/** A rehearsal of the worst day: the server dies, its folder is lost, and the backup brings back what was acknowledged. */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ExportedSample, page, type TicketSummary, ticketSummary } from '../../contract/http/resources.ts';
import { exportOf, lagBytes, metricsOf } from '../chaos/server-view.ts';
import { temporaryDirectory } from '../support/debian-postgres.ts';
import { type PresageProcess, startPresage } from '../support/presage-process.ts';
import { runCli, runCliOk } from '../support/run-cli.ts';
import { waitFor } from '../support/wait-for.ts';

const TOKEN = 'psg_backup_manager_token_0123456789abcdef';
const DEVICE = 'fridge-1';
const SECRET = 'secret-of-fridge-1-0123456789abcdef';
const seed = {
  tenants: [
    {
      id: 'acme',
      name: 'Acme',
      centres: [{ id: 'north', name: 'North', timeZone: 'UTC' }],
      users: [{ id: 'ops', role: 'manager' as const, tokens: [TOKEN] }],
      devices: [{ id: DEVICE, model: 'refrigerator', secret: SECRET }],
    },
  ],
};

let server: PresageProcess;
let folder: string;
let samples: ExportedSample[];
let tickets: Partial<TicketSummary>[];
const backup = (): string => join(folder, 'backup');
const data = (): string => join(server.directory, 'data');
const keyFile = (): string => join(data(), 'keys/backup.key');

/** Without what goes on changing by itself, such as the remaining life. */
async function ticketsOf(api: string): Promise<Partial<TicketSummary>[]> {
  await waitFor('the followers to pass', async () => lagBytes(await metricsOf(api)) === 0);
  const answer = await fetch(new URL('/api/v1/tickets', api), { headers: { authorization: `Bearer ${TOKEN}` } });
  const { items } = page(ticketSummary).parse(await answer.json());
  return items.map(({ key, device, faultKey, createdAt, observedAt }) => {
    return { key, device, faultKey, createdAt, observedAt };
  });
}

beforeAll(async () => {
  folder = temporaryDirectory('backup');
  server = await startPresage({ seed });
  const sim = ['sim', '--devices', '1', '--broker', server.broker, '--seed', server.seedPath, '--days', '24'];
  await runCliOk([...sim, '--faults', 'compressorBearingWear:8-22', '--speed', 'max']);
  samples = await waitFor('all samples in the export', async () => {
    const found = await exportOf(server.api, TOKEN, DEVICE);
    return found.length >= 24 * 288 && found;
  });
  tickets = await waitFor('a ticket', async () => {
    const found = await ticketsOf(server.api);
    return found.length > 0 && found;
  });
});

afterAll(async () => {
  await server?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

describe('presage backup of a stopped server', () => {
  it('copies everything, also after a kill that left the database running', async () => {
    await server.kill();
    const report = JSON.parse(
      await runCliOk(['backup', 'create', '--data-dir', data(), '--out', backup(), '--json']),
    ) as object;
    expect(report).toMatchObject({ sql: 'included', store: 'included', encrypted: true });
    expect(existsSync(join(data(), 'postgres/pgdata/postmaster.pid'))).toBe(false);
    expect(existsSync(join(data(), 'presage.lock'))).toBe(false);
    await runCliOk(['backup', 'verify', '--from', backup(), '--data-dir', data()]);
    // Nothing of it can be read, and its key is not in it.
    expect(existsSync(join(backup(), 'data/keys/backup.key'))).toBe(false);
    expect(existsSync(join(backup(), 'data/keys/device-secrets.key'))).toBe(true);
    expect(readFileSync(join(backup(), 'data/keys/device-secrets.key'))).not.toEqual(
      readFileSync(join(data(), 'keys/device-secrets.key')),
    );
    expect(readFileSync(join(backup(), 'data/store/telemetry.duckdb')).includes('fridge-1')).toBe(false);
  });

  it('refuses a folder that holds something, and a data directory that does', async () => {
    const again = await runCli(['backup', 'create', '--data-dir', data(), '--out', backup()]);
    const over = await runCli(['backup', 'restore', '--data-dir', data(), '--from', backup()]);
    expect([again.code, over.code]).toEqual([1, 1]);
    expect(again.stderr).toContain('is not empty');
    expect(over.stderr).toContain('is not empty');
  });

  it('gives back every acknowledged sample and every ticket, and works on', async () => {
    const restored = join(folder, 'restored');
    const restore = ['backup', 'restore', '--from', backup(), '--data-dir', restored];
    const without = await runCli(restore);
    expect([without.code, without.stderr]).toEqual([1, expect.stringContaining('give a copy of it with --key-file')]);
    const wrong = await runCli([...restore, '--key-file', join(data(), 'keys/webhooks.key')]);
    expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining('the key given is')]);
    expect(existsSync(restored)).toBe(false);
    await runCliOk([...restore, '--key-file', keyFile()]);
    expect(readFileSync(join(restored, 'keys/backup.key'))).toEqual(readFileSync(keyFile()));
    expect(statSync(join(restored, 'keys/device-secrets.key')).mode & 0o777).toBe(0o600);
    const second = await startPresage({ seed, env: { PRESAGE_DATA_DIR: restored } });
    try {
      expect(await exportOf(second.api, TOKEN, DEVICE)).toEqual(samples);
      expect(await ticketsOf(second.api)).toEqual(tickets);
      // The old key verifies the old secret: the device comes in with it.
      const sim = ['sim', '--devices', '1', '--broker', second.broker, '--seed', second.seedPath, '--days', '0.1'];
      await runCliOk([...sim, '--speed', 'max']);
      await waitFor('the new samples', async () => (await exportOf(second.api, TOKEN, DEVICE)).length > samples.length);
    } finally {
      await second.dispose();
    }
  });

  it('finds a changed byte, a missing file and a stranger', async () => {
    const damaged = join(backup(), 'data/store/telemetry.duckdb');
    const whole = readFileSync(damaged);
    const verify = () => runCli(['backup', 'verify', '--from', backup(), '--key-file', keyFile()]);

    chmodSync(damaged, 0o600);
    writeFileSync(damaged, Buffer.concat([whole.subarray(0, -1), Buffer.from([(whole.at(-1) ?? 0) ^ 1])]));
    expect((await verify()).stderr).toContain('data/store/telemetry.duckdb was changed or cut short');
    const target = join(folder, 'never');
    const restore = await runCli([
      ...['backup', 'restore', '--from', backup(), '--data-dir', target, '--key-file', keyFile()],
    ]);
    expect(restore.code).toBe(1);
    expect([existsSync(target), existsSync(`${target}.restoring`)]).toEqual([false, false]);

    rmSync(damaged);
    expect((await verify()).stderr).toContain('data/store/telemetry.duckdb is missing');
    writeFileSync(damaged, whole);
    mkdirSync(join(backup(), 'extra'));
    writeFileSync(join(backup(), 'extra/file'), '');
    expect((await verify()).stderr).toContain('extra/file does not belong to it');
  });

  it('is readable by all when it was asked for so, and takes no key then', async () => {
    const plain = join(folder, 'plain');
    await runCliOk(['backup', 'create', '--data-dir', data(), '--out', plain, '--plain']);
    expect(readFileSync(join(plain, 'data/keys/backup.key'))).toEqual(readFileSync(keyFile()));
    await runCliOk(['backup', 'verify', '--from', plain]);
    const keyed = await runCli(['backup', 'verify', '--from', plain, '--key-file', keyFile()]);
    expect([keyed.code, keyed.stderr]).toEqual([1, expect.stringContaining('is not encrypted')]);
  });
});
