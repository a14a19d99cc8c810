/**
 * A real InfluxDB 1.x server of our own: temporary folder, loopback, a free port, authentication on. Debian's `influxdb`
 * package; it can be stopped and started again on the same port with its data, as in an outage.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { AppError } from '../../contract/kernel/errors.ts';

export interface InfluxServer {
  readonly url: string;
  /** An administrator. */
  readonly username: string;
  readonly password: string;
  /** Runs an InfluxQL statement as the administrator; gives the reply's JSON. */
  query(statement: string, database?: string): Promise<unknown>;
  /** Writes raw lines with nanosecond times, past the store. */
  write(database: string, lines: string): Promise<void>;
  /** Ends the server as an outage would; the data stay. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same port. */
  restart(): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

const USERNAME = 'presage';
const PASSWORD = 'presage-local-only';

/**
 * Where `influxd` is on the search path.
 * @throws AppError CONFIG_INVALID when it is not installed
 */
export function findInfluxd(searchPath: string): string {
  const path = [...searchPath.split(delimiter), '/usr/sbin'].map((folder) => join(folder, 'influxd')).find(existsSync);
  if (!path)
    throw new AppError(
      'CONFIG_INVALID',
      'influxUrl: set INFLUX_URL, or install influxd for a server of the demo’s own',
    );
  return path;
}

/**
 * Starts the server and waits until it answers.
 * @param binary path of `influxd`
 */
export async function startInfluxServer(binary: string): Promise<InfluxServer> {
  const folder = mkdtempSync(join(tmpdir(), 'presage-influx-'));
  let running = await launch(binary, folder, 0);
  const { port } = running;
  const url = `http://127.0.0.1:${port}`;
  const authorization = `Basic ${Buffer.from(`${USERNAME}:${PASSWORD}`).toString('base64')}`;

  async function query(statement: string, database = ''): Promise<unknown> {
    const body = new URLSearchParams({ q: statement, db: database });
    const reply = await fetch(`${url}/query`, { method: 'POST', headers: { authorization }, body });
    if (!reply.ok) throw new Error(`${statement}: ${reply.status} ${await reply.text()}`);
    return reply.json();
  }

  await query(`CREATE USER ${USERNAME} WITH PASSWORD '${PASSWORD}' WITH ALL PRIVILEGES`);
  return {
    url,
    username: USERNAME,
    password: PASSWORD,
    query,
    async write(database, lines) {
      const address = `${url}/write?db=${encodeURIComponent(database)}&precision=ns`;
      const reply = await fetch(address, { method: 'POST', headers: { authorization }, body: lines });
      if (!reply.ok) throw new Error(`${reply.status} ${await reply.text()}`);
    },
    kill: (signal = 'SIGKILL') => end(running.process, signal),
    async restart() {
      running = await launch(binary, folder, port);
    },
    async stop() {
      await end(running.process, 'SIGTERM');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Resolves when the server says which port it listens on; it opens its shards before that. */
async function launch(binary: string, folder: string, port: number): Promise<{ process: ChildProcess; port: number }> {
  const config = join(folder, 'influxdb.conf');
  writeFileSync(config, configuration(folder, port));
  const child = spawn(binary, ['run', '-config', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  const killWithUs = (): void => void child.kill('SIGKILL');
  process.once('exit', killWithUs);
  child.once('exit', () => process.off('exit', killWithUs));
  const said: string[] = [];
  for await (const line of createInterface(child.stderr)) {
    const listening = /msg="Listening on HTTP".* addr=\S*:(\d+)/.exec(line);
    if (listening) {
      child.stderr.resume(); // Nobody reads on, and a full pipe would stop the server.
      return { process: child, port: Number(listening[1]) };
    }
    if (said.push(line) > 20) said.shift();
  }
  throw new Error(`influxd ended before it listened:\n${said.join('\n')}`);
}

function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill(signal);
  });
}

function configuration(folder: string, port: number): string {
  return `
reporting-enabled = false
bind-address = "127.0.0.1:0"
[meta]
  dir = "${folder}/meta"
  logging-enabled = false
[data]
  dir = "${folder}/data"
  wal-dir = "${folder}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:${port}"
  auth-enabled = true
  log-enabled = false
[continuous_queries]
  enabled = false
`;
}
