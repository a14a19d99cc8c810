/**
 * Debian's PostgreSQL as a real server for tests and for the chaos run: in a temporary directory, on loopback with a free
 * port, and it can be stopped and started again there.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';

/** A temporary directory that an unprivileged server user may pass through. */
export function temporaryDirectory(name: string): string {
  const path = mkdtempSync(join(tmpdir(), `presage-${name}-`));
  chmodSync(path, 0o711);
  return path;
}

export interface RunningPostgres {
  readonly url: string;
  /** Of the server itself; it changes with a restart. */
  pid(): number;
  /** Ends it as an administrator does (fast shutdown), and starts it again on the same port after `downMs`. */
  restart(downMs?: number): Promise<void>;
  stop(): Promise<void>;
}

function serverUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith('postgres:'))
    ?.split(':');
  if (!line) throw new Error('started by root, but there is no user postgres');
  return { uid: Number(line[2]), gid: Number(line[3]) };
}

function freePort(): Promise<number> {
  return new Promise((found) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => found(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** Debian's PostgreSQL in a temporary directory. The connecting user owns its database but is no superuser. */
export async function startDebianPostgres(initdb: string): Promise<RunningPostgres> {
  const root = temporaryDirectory('pg15');
  const data = join(root, 'data');
  const passwordFile = join(root, 'password');
  const user = serverUser();
  mkdirSync(data, { mode: 0o700 });
  writeFileSync(passwordFile, 'test-password\n', { mode: 0o600 });
  if (user) for (const path of [root, data, passwordFile]) chownSync(path, user.uid, user.gid);
  const options = { ...user, cwd: '/', env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' } };
  execFileSync(
    initdb,
    ['-D', data, '-U', 'root_user', '--auth=scram-sha-256', `--pwfile=${passwordFile}`, '--encoding=UTF8', '--no-sync'],
    { ...options, stdio: 'pipe' },
  );
  const port = await freePort();
  const settings = ['-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=', '-c', 'fsync=off'];
  const launch = (): ChildProcess =>
    spawn(join(dirname(initdb), 'postgres'), ['-D', data, '-p', String(port), ...settings], {
      ...options,
      stdio: 'ignore',
    });
  let child = launch();
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  };
  const rootUrl = `postgres://root_user:test-password@127.0.0.1:${port}/postgres`;
  await untilConnects(rootUrl);
  await runSql(rootUrl, [
    `CREATE ROLE owner_user LOGIN CREATEROLE PASSWORD 'owner-password'`,
    'CREATE DATABASE presage OWNER owner_user',
  ]);
  return {
    url: `postgres://owner_user:owner-password@127.0.0.1:${port}/presage`,
    pid: () => child.pid ?? 0,
    async restart(downMs = 0) {
      await end('SIGINT');
      await new Promise((done) => setTimeout(done, downMs));
      child = launch();
      await untilConnects(rootUrl);
    },
    async stop() {
      await end('SIGQUIT');
      rmSync(root, { recursive: true, force: true });
    },
  };
}

async function untilConnects(url: string): Promise<void> {
  for (;;) {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return await client.end();
    } catch {
      await new Promise((done) => setTimeout(done, 20)); // Still starting.
    }
  }
}

async function runSql(url: string, statements: string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}
