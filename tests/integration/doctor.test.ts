/** `presage doctor` on a healthy installation, running and stopped, and on ones that are not well. */
import { appendFileSync, chmodSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { startInfluxServer } from '../../app/demo/influx-server.ts';
import { findBinary } from '../support/binaries.ts';
import { startDebianPostgres } from '../support/debian-postgres.ts';
import { freePort, type PresageProcess, startPresage } from '../support/presage-process.ts';
import { runCli } from '../support/run-cli.ts';

const report = z.object({
  ok: z.boolean(),
  findings: z.array(
    z.object({
      check: z.string(),
      condition: z.enum(['ok', 'warn', 'fail']),
      detail: z.string(),
      advice: z.string().optional(),
    }),
  ),
});
const seed = {
  tenants: [
    { id: 'acme', name: 'Acme', centres: [{ id: 'north', name: 'North', timeZone: 'UTC' }], users: [], devices: [] },
  ],
};
const postgres = findBinary('initdb');
const influxd = findBinary('influxd');

let server: PresageProcess;
const data = (): string => join(server.directory, 'data');

async function examine(...flags: string[]) {
  const ports = ['--http-port', new URL(server.api).port, '--mqtt-port', new URL(server.broker).port];
  const result = await runCli(['doctor', '--json', '--data-dir', data(), ...ports, ...flags]);
  const { ok, findings } = report.parse(JSON.parse(result.stdout));
  expect(result.code).toBe(ok ? 0 : 1);
  const notWell = findings.filter(({ condition }) => condition !== 'ok');
  // Whoever is told that something is wrong is told what to do.
  expect(notWell.filter(({ advice }) => !advice)).toEqual([]);
  return { ok, findings, notWell: notWell.map(({ check, condition }) => `${condition}: ${check}`) };
}

beforeAll(async () => {
  server = await startPresage({ seed });
});
afterAll(() => server?.dispose());

describe('presage doctor', () => {
  it('is content with a running server, whose parts it asks through HTTP', async () => {
    const { ok, findings, notWell } = await examine();
    expect({ ok, notWell }).toEqual({ ok: true, notWell: [] });
    const checks = findings.map(({ check }) => check);
    expect(checks).toEqual(expect.arrayContaining(['server', 'server: sql', 'server: store', 'server: log', 'keys']));
  });

  it('is content with a stopped one, whose files it reads', async () => {
    await server.stop();
    const { ok, findings, notWell } = await examine();
    expect({ ok, notWell }).toEqual({ ok: true, notWell: [] });
    expect(findings.map(({ check }) => check)).toEqual(
      expect.arrayContaining(['HTTP port', 'MQTT port', 'telemetry log', 'findings log', 'sql', 'store', 'clock']),
    );
  });

  it('says in words what is wrong, for people', async () => {
    const result = await runCli(['doctor', '--data-dir', data(), '--bind', '0.0.0.0', '--http-port', '0']);
    expect(result.stdout).toMatch(/^warn {2}exposure .*without TLS/m);
    expect(result.stdout).toMatch(/^ +→ Put a TLS proxy/m);
  });

  it('finds a key that is lost, and that nobody made a backup for long', async () => {
    const key = join(data(), 'keys/device-secrets.key');
    const text = readFileSync(key, 'utf8');
    rmSync(key);
    expect((await examine()).notWell).toEqual(['fail: keys']);
    writeFileSync(key, text, { mode: 0o600 });
    const note = join(data(), 'last-backup.json');
    const longAgo = new Date(Date.now() - 9 * 86_400_000).toISOString();
    writeFileSync(note, JSON.stringify({ createdAt: longAgo, directory: '/backup' }));
    const old = await examine();
    expect(old.findings.find(({ check }) => check === 'backup')?.detail).toContain('9 days ago');
    expect(old.notWell).toEqual(['warn: backup']);
    writeFileSync(note, JSON.stringify({ createdAt: new Date().toISOString(), directory: '/backup' }));
    expect((await examine()).notWell).toEqual([]);
    rmSync(note);
  });

  it('finds keys that others may read', async () => {
    const key = join(data(), 'keys/device-secrets.key');
    chmodSync(key, 0o644);
    const { notWell } = await examine();
    chmodSync(key, 0o600);
    expect(notWell).toEqual(['fail: keys']);
  });

  it('finds a port that is taken', async () => {
    const port = await freePort();
    const other = createServer().listen(port, '127.0.0.1');
    const { notWell } = await examine('--mqtt-port', String(port));
    other.close();
    expect(notWell).toEqual(['fail: MQTT port']);
  });

  it('finds too little disk space', async () => {
    expect((await examine('--disk-min-free-mb', '1000000000')).notWell).toEqual(['fail: disk space']);
  });

  it('finds a damaged log, and takes a torn tail for what it is', async () => {
    const folder = join(data(), 'log/telemetry');
    const segment = join(folder, readdirSync(folder).find((name) => name.endsWith('.seg')) ?? '');
    const whole = readFileSync(segment);
    appendFileSync(segment, 'torn');
    const torn = await examine();
    writeFileSync(segment, Buffer.concat([Buffer.from([whole[0] ?? 0]), Buffer.alloc(20), whole.subarray(21)]));
    writeFileSync(join(folder, '0000000000999999.seg'), whole);
    const damaged = await examine();
    rmSync(join(folder, '0000000000999999.seg'));
    writeFileSync(segment, whole);
    expect(torn.notWell).toEqual([]);
    expect(torn.findings.find(({ check }) => check === 'telemetry log')?.detail).toContain('4 bytes of an unfinished');
    expect(damaged.notWell).toEqual(['fail: telemetry log']);
  });

  it('finds a clock that went back behind its own files', async () => {
    const file = join(data(), 'store/telemetry.duckdb');
    utimesSync(file, Date.now() / 1_000 + 3_600, Date.now() / 1_000 + 3_600);
    const { notWell } = await examine();
    utimesSync(file, Date.now() / 1_000, Date.now() / 1_000);
    expect(notWell).toEqual(['fail: clock']);
  });

  it('finds a prognosis model that cannot be loaded', async () => {
    const model = join(server.directory, 'model.json');
    writeFileSync(model, '{}');
    expect((await examine('--prognosis-models', `turbofan=${model}`)).notWell).toEqual([
      'fail: prognosis model turbofan',
    ]);
  });

  it('finds a certificate that cannot be read', async () => {
    const file = join(server.directory, 'server.pem');
    writeFileSync(file, 'not a certificate');
    const flags = ['--mqtts-port', '0', '--mqtts-cert-file', file, '--mqtts-key-file', file];
    expect((await examine(...flags)).notWell).toEqual(['fail: TLS certificate']);
  });

  it.runIf(postgres)('asks a PostgreSQL of yours, and finds one that is not there', async () => {
    const running = await startDebianPostgres(postgres ?? '');
    const there = await examine('--database-url', running.url);
    await running.stop();
    const gone = await examine('--database-url', running.url);
    expect(there.notWell).toEqual([]);
    expect(there.findings.find(({ check }) => check === 'sql')?.detail).toMatch(/^PostgreSQL 1\d.* answers/);
    expect(gone.notWell).toEqual(['fail: sql']);
    expect(JSON.stringify([there, gone])).not.toContain('owner-password');
  });

  it.runIf(influxd)('asks InfluxDB, and finds one that is not there', async () => {
    const influx = await startInfluxServer(influxd ?? '');
    const flags = ['--store', 'influx', '--influx-url', influx.url];
    const there = await examine(...flags);
    await influx.stop();
    const gone = await examine(...flags);
    expect(there.notWell).toEqual([]);
    expect(gone.notWell).toEqual(['fail: store']);
  });
});
