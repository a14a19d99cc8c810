/** Tokens, users and devices from the command line, as HTTP clients of a running server. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ApiToken, Device, DeviceCreated, User } from '../../contract/http/resources.ts';
import { type ApiHarness, startHarness, T0, token } from '../support/api-harness.ts';
import { manualClock } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';
import { runCli, runCliOk } from '../support/run-cli.ts';

const clock = manualClock(T0);

describeOnDatabases('commands against a running server', clock, (database) => {
  let harness: ApiHarness;
  let folder: string;
  let access: string[];
  beforeAll(async () => {
    harness = await startHarness(database(), clock);
    folder = mkdtempSync(join(tmpdir(), 'presage-access-'));
    const file = join(folder, 'token');
    writeFileSync(file, `${token('acme', 'anna')}\n`, { mode: 0o600 });
    access = ['--api', `http://127.0.0.1:${harness.api.ports().http}`, '--token-file', file];
  });
  afterAll(async () => {
    await harness?.api.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const run = (...args: string[]) => runCliOk([...args, ...access]);
  const json = async (...args: string[]): Promise<unknown> => JSON.parse(await run(...args, '--json'));

  it('add a user, make a token for him, and take both away again', async () => {
    expect(await run('user', 'add', 'cleo', '--role', 'agent', '--centre', 'north')).toMatch(/cleo +agent +north/);
    const made = (await run('token', 'create', '--user', 'cleo', '--label', 'her phone', '--scope', 'read')).trim();
    const me = await harness.request(undefined, 'GET', '/api/v1/me', { headers: { authorization: `Bearer ${made}` } });
    expect(me.body).toMatchObject({ user: 'cleo', scope: 'read', centre: 'north' });
    const [listed] = (await json('token', 'list', '--user', 'cleo')) as ApiToken[];
    await run('token', 'revoke', listed?.id ?? '');
    expect(((await json('token', 'list', '--user', 'cleo')) as ApiToken[])[0]).toHaveProperty('revokedAt');
    const link = (await run('user', 'link', 'anna')).trim();
    expect(link).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/#link=\S{43}$/);
    const own = (await runCliOk(['token', 'create', '--link', link, '--label', 'laptop'])).trim();
    const anna = { authorization: `Bearer ${own}` };
    expect((await harness.request(undefined, 'GET', '/api/v1/me', { headers: anna })).body).toMatchObject({
      user: 'anna',
    });
    const again = await runCli(['token', 'create', '--link', link, '--label', 'laptop']);
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('UNAUTHENTICATED')]);
    await run('user', 'disable', 'cleo');
    const users = (await json('user', 'list')) as User[];
    expect(users.find((one) => one.id === 'cleo')).toMatchObject({ disabled: true });
  });

  it('add a device and block it', async () => {
    const made = (await json('device', 'add', 'cli-1', '--model', 'refrigerator')) as DeviceCreated;
    expect(made.mqtt).toMatchObject({ clientId: 'acme.cli-1' });
    await run('device', 'block', 'cli-1');
    const devices = (await json('device', 'list')) as Device[];
    expect(devices.find((one) => one.id === 'cli-1')).toMatchObject({ status: 'blocked' });
    expect(await run('device', 'unblock', 'cli-1')).toMatch(/cli-1 .* active/);
  });

  it('import devices from a CSV, keep their secrets in a new private file, and name each bad row', async () => {
    const [file, out] = [join(folder, 'devices.csv'), join(folder, 'secrets.csv')];
    const rows = [
      '\ufeffid;model;serial;centre',
      'imp-1;refrigerator;=SUM(A1);north',
      'imp 2;refrigerator;;',
      'imp-3;refrigerator;=SUM(A1);',
      'imp-4;refrigerator;;nowhere',
      'fridge-1;refrigerator;;',
      'imp-5;refrigerator;;',
    ];
    writeFileSync(file, rows.join('\r\n'));
    const result = await runCli(['device', 'import', file, '--out', out, '--json', ...access]);
    expect(result.code).toBe(1);
    const report = JSON.parse(result.stdout) as { created: number; refused: number; rows: object[] };
    expect(report).toMatchObject({ created: 2, refused: 4 });
    expect(report.rows).toMatchObject([
      { line: 2, outcome: 'created' },
      { line: 3, id: 'imp 2', outcome: 'refused', field: 'id' },
      { line: 4, outcome: 'refused', field: 'serial', reason: 'stands in line 2 already' },
      { line: 5, outcome: 'refused', field: 'centre', reason: 'there is no centre nowhere' },
      { line: 6, outcome: 'refused', field: 'id', reason: 'device fridge-1 exists already' },
      { line: 7, outcome: 'created' },
    ]);
    expect(statSync(out).mode & 0o777).toBe(0o600);
    const secrets = readFileSync(out, 'utf8').trim().split('\r\n');
    expect(secrets[0]).toBe('id,serial,client_id,password');
    expect(secrets.filter((line) => line.startsWith("imp-1,'=SUM(A1),acme.imp-1,"))).toHaveLength(1);
    const password = secrets.find((line) => line.startsWith('imp-5,'))?.split(',')[3] ?? '';
    expect(await harness.directory.authenticate({ tenant: 'acme', device: 'imp-5' }, password)).toBeDefined();
    const again = await runCli(['device', 'import', file, '--out', out, ...access]);
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('must be a new file')]);
  });

  it('renew, hand over and end a device', async () => {
    await run('device', 'add', 'cli-2', '--model', 'refrigerator');
    const secret = (await run('device', 'rotate', 'cli-2', '--grace-hours', '0')).trim();
    expect(await harness.directory.authenticate({ tenant: 'acme', device: 'cli-2' }, secret)).toBeDefined();
    const moved = await json('device', 'transfer', 'cli-2', '--centre', 'south', '--reason', 'sold');
    expect(moved).toMatchObject({ centre: 'south' });
    expect(await json('device', 'decommission', 'cli-2', '--reason', 'scrapped')).toMatchObject({
      status: 'decommissioned',
    });
  });

  it('say what is wrong in the words of the server', async () => {
    const twice = await runCli(['device', 'add', 'fridge-1', '--model', 'refrigerator', ...access]);
    expect([twice.code, twice.stderr]).toEqual([1, expect.stringContaining('device fridge-1 exists already')]);
    const badRole = await runCli(['user', 'add', 'x', '--role', 'king', ...access]);
    expect([badRole.code, badRole.stderr]).toEqual([1, expect.stringContaining('body.role')]);
    const noToken = await runCli(['user', 'list', ...access.slice(0, 2)]);
    expect([noToken.code, noToken.stderr]).toEqual([1, expect.stringContaining('--token-file')]);
    const nobody = await runCli(['user', 'list', '--api', 'http://127.0.0.1:1', '--token', 'x']);
    expect([nobody.code, nobody.stderr]).toEqual([1, expect.stringContaining('does not answer')]);
  });
});
