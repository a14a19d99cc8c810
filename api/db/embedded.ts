/**
 * A PostgreSQL server of our own in one directory, for installations without a database server. It listens on loopback
 * only, with a generated password. It is its own process group, so that Ctrl-C reaches it only through our orderly
 * stop; when Presage was killed, the server lived on and is adopted at the next start. When the server itself dies, it is
 * started again.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import pg from 'pg';
import { AppError, errorText } from '../../contract/kernel/errors.ts';
import type { Clock, Logger } from '../../contract/ports/services.ts';
import { type PostgresBinaries, preparePostgres } from './binaries.ts';
import { findServerUser, firstClosedFolder, type ServerUser } from './server-user.ts';

const USER = 'presage';
const DATABASE = 'presage';
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 8_000;
const POLL_MS = 10;
/** The server's own log is started anew beyond this size. */
const MAX_LOG_BYTES = 8 * 1024 * 1024;
/** Somebody may take the free port before us, and processes of a killed server need a moment to notice and leave. */
const START_TRIES = 10;
const RETRY_MS = 300;
/** How soon it is noticed that the server died. */
const WATCH_MS = 500;

/** Small and durable: a laptop's demo and a workshop's server alike. fsync stays on. */
const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '60',
  shared_buffers: '64MB',
  max_wal_size: '256MB',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // More than one session may have been open when we were killed; none may hold locks for ever.
  idle_in_transaction_session_timeout: '60s',
};

export interface EmbeddedServer {
  /** Starts or adopts the server; answers its URL. */
  start(): Promise<string>;
  /** Fast shutdown: open transactions are rolled back, everything committed is on disk. */
  stop(): Promise<void>;
}

interface RunningServer {
  readonly pid: number;
  readonly port: number;
}

export function createEmbeddedServer(directory: string, deps: { logger: Logger; clock: Clock }): EmbeddedServer {
  const root = resolve(directory);
  const data = join(root, 'pgdata');
  let running: RunningServer | undefined;
  let watch: NodeJS.Timeout | undefined;
  /** Under way when the server is being replaced. */
  let reviving: Promise<void> | undefined;

  /** @param port where it must listen; any free one when absent */
  async function bringUp(password: string, port?: number): Promise<RunningServer> {
    const user = await findServerUser();
    await prepareDirectory(root, user);
    const adopted = await adopt(data, password);
    if (adopted) {
      deps.logger.info(adopted, 'adopted the PostgreSQL server of an earlier run');
      return adopted;
    }
    const binaries = await preparePostgres(root, user);
    await initialise(root, data, binaries, password, user);
    return launch(root, data, binaries, password, user, port);
  }

  /** Somebody or the kernel ended it: it comes back at the same address, so that every pool finds it again. */
  async function revive(dead: RunningServer, password: string): Promise<void> {
    if (isAlive(dead.pid) && !(await isZombie(dead.pid))) return;
    deps.logger.error(dead, 'the embedded PostgreSQL died; starting it again');
    try {
      const again = await bringUp(password, dead.port);
      if (running === dead) running = again;
      else await shutDown(again.pid, data); // We were stopped meanwhile.
    } catch (error) {
      deps.logger.error({ error: errorText(error) }, 'the embedded PostgreSQL does not come back; trying again');
    }
  }

  return {
    async start() {
      const user = await findServerUser();
      await prepareDirectory(root, user);
      const password = await loadPassword(root);
      running = await bringUp(password);
      await createDatabase(running.port, password);
      watch = setInterval(() => {
        if (!running || reviving) return;
        reviving = revive(running, password).finally(() => {
          reviving = undefined;
        });
      }, WATCH_MS).unref();
      return urlOf(running.port, password, DATABASE);
    },
    async stop() {
      clearInterval(watch);
      const stopping = running;
      running = undefined;
      await reviving;
      if (stopping) await shutDown(stopping.pid, data);
    },
  };
}

function urlOf(port: number, password: string, database: string): string {
  return `postgres://${USER}:${password}@127.0.0.1:${port}/${database}`;
}

async function prepareDirectory(root: string, user: ServerUser | undefined): Promise<void> {
  // Folders above it that do not exist yet may be passed, not listed; the directory itself is closed.
  await mkdir(dirname(root), { recursive: true, mode: 0o711 });
  await mkdir(root, { recursive: true, mode: 0o700 });
  if (!user) return;
  const closed = await firstClosedFolder(root, user);
  if (closed) {
    throw new AppError(
      'SQL_UNAVAILABLE',
      `PostgreSQL runs as user ${user.name} when Presage is started by root, and ${user.name} may not enter ${closed}; ` +
        `choose a data directory outside it (for example /var/lib/presage), run chmod o+x ${closed}, or set DATABASE_URL`,
    );
  }
  await chown(root, user.uid, user.gid);
  await chmod(root, 0o700);
}

/** The server's password: made once, readable by its owner only. */
async function loadPassword(root: string): Promise<string> {
  const file = join(root, 'password');
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    const password = randomBytes(24).toString('base64url');
    await writeFile(file, `${password}\n`, { mode: 0o600, flag: 'wx' });
    return password;
  }
}

/** The server that an earlier, killed run left behind, once it answers to our password. */
async function adopt(data: string, password: string): Promise<RunningServer | undefined> {
  for (;;) {
    const left = await readPidFile(data);
    // Without a live process the file is a leftover of a crash; the next server removes it.
    if (!left || !isAlive(left.pid)) return undefined;
    if (await isZombie(left.pid)) {
      await forgetZombie(data);
      return undefined;
    }
    const state = await probe(left.port, password);
    if (state === 'ready') return left;
    // `stranger`: something else got this pid or port after a reboot; starting decides, by the data directory's own lock.
    if (state === 'stranger') return undefined;
    await pause(POLL_MS);
  }
}

async function readPidFile(data: string): Promise<RunningServer | undefined> {
  try {
    const lines = (await readFile(join(data, 'postmaster.pid'), 'utf8')).split('\n');
    const pid = Number(lines[0]);
    const port = Number(lines[3]);
    return pid > 0 && port > 0 ? { pid, port } : undefined;
  } catch {
    return undefined; // No server has run here, or it stopped in order.
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Dead, but not yet reaped by its parent: in a container without an init process it stays so for ever. */
async function isZombie(pid: number): Promise<boolean> {
  const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''); // No /proc: take it as running.
  return line.slice(line.lastIndexOf(')') + 2).startsWith('Z');
}

/**
 * The next server would take a dead process in its lock file for a running one. The file goes once no process of the
 * dead server works in the data directory any more: they notice its death by themselves.
 */
async function forgetZombie(data: string): Promise<void> {
  for (let waitedMs = 0; waitedMs < STOP_LIMIT_MS; waitedMs += POLL_MS) {
    if (!(await isWorkedIn(data))) {
      await rm(join(data, 'postmaster.pid'), { force: true });
      return;
    }
    await pause(POLL_MS);
  }
}

async function isWorkedIn(folder: string): Promise<boolean> {
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => ''); // Ended meanwhile, or a zombie itself.
    if (cwd === folder) return true;
  }
  return false;
}

async function probe(port: number, password: string): Promise<'ready' | 'starting' | 'stranger'> {
  const client = new pg.Client({ connectionString: urlOf(port, password, 'postgres'), connectionTimeoutMillis: 2_000 });
  client.on('error', () => undefined); // Told by connect() already.
  try {
    await client.connect();
    await client.end();
    return 'ready';
  } catch (error) {
    // 57P03: starting up or shutting down; both end soon.
    return (error as { code?: string }).code === '57P03' ? 'starting' : 'stranger';
  }
}

/** Makes the cluster next to its final place, so that a kill in between leaves nothing half made. */
async function initialise(
  root: string,
  data: string,
  binaries: PostgresBinaries,
  password: string,
  user: ServerUser | undefined,
): Promise<void> {
  if (await exists(join(data, 'PG_VERSION'))) return;
  const half = join(root, 'pgdata-new');
  const passwordFile = join(root, 'password-new');
  await rm(half, { recursive: true, force: true });
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  if (user) await chown(passwordFile, user.uid, user.gid);
  try {
    await runToEnd(
      binaries.initdb,
      ['-D', half, '-U', USER, '--auth=scram-sha-256', `--pwfile=${passwordFile}`, '--encoding=UTF8', '--locale=C'],
      user,
    );
    await rename(half, data);
  } finally {
    await rm(passwordFile, { force: true });
  }
}

async function launch(
  root: string,
  data: string,
  binaries: PostgresBinaries,
  password: string,
  user: ServerUser | undefined,
  fixedPort: number | undefined,
): Promise<RunningServer> {
  for (let attempt = 1; ; attempt++) {
    const port = fixedPort ?? (await freePort());
    const log = await openLog(root);
    try {
      const settings = Object.entries(SETTINGS).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
      const child = spawn(binaries.postgres, ['-D', data, '-p', String(port), ...settings], {
        ...processOptions(user),
        cwd: '/',
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
      });
      child.unref();
      const pid = await becomesReady(child, port, password);
      if (pid) return { pid, port };
    } finally {
      await log.close();
    }
    if (attempt === START_TRIES) {
      throw new AppError('SQL_UNAVAILABLE', `the embedded PostgreSQL does not start; ${await logTail(root)}`);
    }
    await pause(RETRY_MS);
  }
}

/** The process id once it answers; `undefined` when the server ended instead. */
async function becomesReady(child: ChildProcess, port: number, password: string): Promise<number | undefined> {
  let ended: string | undefined;
  child.once('error', (error) => {
    ended = error.message;
  });
  child.once('exit', (code) => {
    ended ??= `exit code ${code}`;
  });
  for (let waitedMs = 0; waitedMs < START_LIMIT_MS; waitedMs += POLL_MS) {
    await pause(POLL_MS);
    if (ended !== undefined) return undefined;
    if (child.pid && (await probe(port, password)) === 'ready' && ended === undefined) return child.pid;
  }
  child.kill('SIGINT');
  throw new AppError('SQL_UNAVAILABLE', `the embedded PostgreSQL did not answer within ${START_LIMIT_MS / 1000} s`);
}

async function createDatabase(port: number, password: string): Promise<void> {
  const client = new pg.Client({ connectionString: urlOf(port, password, 'postgres') });
  await client.connect();
  try {
    const found = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
  } finally {
    await client.end();
  }
}

async function shutDown(pid: number, data: string): Promise<void> {
  // SIGINT = fast shutdown, SIGQUIT = at once with recovery at the next start; both keep every commit.
  for (const [signal, limitMs] of [
    ['SIGINT', STOP_LIMIT_MS],
    ['SIGQUIT', 2_000],
  ] as const) {
    if (!isAlive(pid)) return;
    process.kill(pid, signal);
    for (let waitedMs = 0; waitedMs < limitMs; waitedMs += POLL_MS) {
      await pause(POLL_MS);
      // It removes the file as its last act; an adopted process may stay visible until somebody reaps it.
      if (!isAlive(pid) || !(await readPidFile(data))) return;
    }
  }
}

/** A fresh environment: no PG* variable of the user may steer our server. */
function processOptions(user: ServerUser | undefined) {
  const env = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
  return user ? { env, uid: user.uid, gid: user.gid } : { env };
}

async function runToEnd(program: string, args: string[], user: ServerUser | undefined): Promise<void> {
  const child = spawn(program, args, { ...processOptions(user), cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-2_000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const code = await new Promise<number | string>((done) => {
    child.once('error', (error) => done(error.message));
    child.once('close', (exit) => done(exit ?? 'killed'));
  });
  if (code !== 0) throw new AppError('SQL_UNAVAILABLE', `initdb ended with ${code}: ${output.trim()}`);
}

async function openLog(root: string): Promise<FileHandle> {
  const file = join(root, 'server.log');
  const size = await stat(file).then(
    (found) => found.size,
    () => 0, // The first start.
  );
  return open(file, size > MAX_LOG_BYTES ? 'w' : 'a', 0o600);
}

async function logTail(root: string): Promise<string> {
  try {
    return `last words: ${(await readFile(join(root, 'server.log'), 'utf8')).slice(-500).trim()}`;
  } catch (error) {
    return `its log cannot be read: ${errorText(error)}`;
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false, // Any reason: it cannot be used.
  );
}

function freePort(): Promise<number> {
  return new Promise((found, failed) => {
    const server = createServer();
    server.once('error', failed);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => (typeof address === 'object' && address ? found(address.port) : failed(new Error('no port'))));
    });
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
