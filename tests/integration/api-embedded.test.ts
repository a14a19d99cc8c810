/** The embedded PostgreSQL server: first start, restart, and what is left of it when Presage is killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Database, openDatabase } from '../../api/db/database.ts';
import { silentLogger } from '../support/fake-services.ts';
import { temporaryDirectory } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const program = fileURLToPath(new URL('../support/open-and-hang.ts', import.meta.url));

describe('the embedded database', () => {
  let root: string;
  let directory: string;
  beforeAll(() => {
    root = temporaryDirectory('embedded');
    directory = join(root, 'sql');
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  const open = async (): Promise<Database> => {
    const database = openDatabase({ embedded: directory }, { logger: silentLogger, clock: Date });
    await database.start();
    return database;
  };
  const serverPid = () => Number(readFileSync(join(directory, 'pgdata/postmaster.pid'), 'utf8').split('\n')[0]);
  const rows = (database: Database) =>
    database.withOwner(async (client) => (await client.query<{ n: number }>('SELECT n FROM kept')).rows.length);

  it('starts in an empty directory, stops cleanly and starts again', async () => {
    const first = await open();
    await first.ping();
    expect(first.kind).toBe('embedded');
    await first.stop();
    await first.stop();
    expect(() => serverPid()).toThrow();
    await expect(first.ping()).rejects.toMatchObject({ code: 'SQL_UNAVAILABLE' });
    const second = await open();
    await second.ping();
    await second.stop();
  });

  it('keeps its password and data to its owner, and wants the password', async () => {
    expect(statSync(join(directory, 'password')).mode & 0o777).toBe(0o600);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    const database = await open();
    const url = new URL(database.url());
    url.password = 'wrong';
    const stranger = new pg.Client({ connectionString: url.href });
    await expect(stranger.connect()).rejects.toMatchObject({ code: '28P01' });
    await database.stop();
  });

  it('comes back by itself, at the same address, when the server is killed', async () => {
    const database = await open();
    await database.withOwner((client) => client.query('CREATE TABLE survivors AS SELECT 1 AS n'));
    const [url, pid] = [database.url(), serverPid()];
    // In the middle of somebody's transaction: its connection ends between two statements.
    await database.withOwner(async (client) => {
      const ended = new Promise<void>((resolve) => client.once('end', () => resolve()));
      process.kill(pid, 'SIGKILL');
      await ended;
    });
    await waitFor('the next server', () =>
      database.ping().then(
        () => serverPid() !== pid,
        () => false, // Not yet.
      ),
    );
    const kept = await database.withOwner((client) => client.query('SELECT n FROM survivors'));
    expect({ url: database.url(), rows: kept.rows }).toEqual({ url, rows: [{ n: 1 }] });
    await database.stop();
    expect(() => serverPid()).toThrow();
  });

  it('adopts the server that a killed Presage left behind, with everything committed', async () => {
    const killed = await startAndKill(directory);
    const left = serverPid();
    process.kill(left, 0);
    const database = await open();
    expect(serverPid()).toBe(left);
    expect(database.url()).toBe(killed);
    expect(await rows(database)).toBe(1);
    await database.stop();
    expect(() => serverPid()).toThrow();
  });

  it('recovers when the server was killed as well', async () => {
    await startAndKill(directory);
    process.kill(serverPid(), 'SIGKILL');
    const database = await open();
    expect(await rows(database)).toBe(2);
    await database.stop();
  });
});

/** The URL that the process used before it was killed. */
async function startAndKill(directory: string): Promise<string> {
  const child = spawn(process.execPath, ['--import', 'tsx', program, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const url = await firstLine(child);
  child.kill('SIGKILL');
  await new Promise((done) => child.once('exit', done));
  return url;
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((found, failed) => {
    let text = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const end = text.indexOf('\n');
      if (end >= 0) found(text.slice(0, end));
    });
    child.once('exit', (code) => failed(new Error(`ended with ${code}`)));
  });
}
