/** A whole Presage as its own process, started as a user would, so that tests can kill and restart it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import type { SeedFile } from '../../contract/kernel/seed.ts';

const LAUNCHER = new URL('../../bin/presage.js', import.meta.url).pathname;
const readyLine = z.object({
  event: z.literal('ready'),
  pid: z.number(),
  ports: z.object({ http: z.number(), mqtt: z.number() }),
  recovered: z.object({ log: z.number(), ms: z.number() }),
});
export type ReadyLine = z.infer<typeof readyLine>;

export interface PresageProcess {
  readonly directory: string;
  readonly api: string;
  readonly broker: string;
  readonly seedPath: string;
  readonly pid: number;
  readonly ready: ReadyLine;
  /** Milliseconds from spawn to the ready line of the last start. */
  readonly startMs: number;
  /** Everything written to stderr since the last start, at most 64 KiB of its end. */
  log(): string;
  /** Lines on stdout after the ready line of the last start. */
  output(): readonly string[];
  /** SIGKILL, then waits for the exit. */
  kill(): Promise<void>;
  /** Starts again on the same directory and ports. */
  restart(): Promise<void>;
  /** Waits until it ends by itself; returns the exit code, or `undefined` when it still lives after the limit. */
  ended(limitMs: number): Promise<number | null | undefined>;
  /** SIGTERM and waits; returns the exit code. */
  stop(): Promise<number | null>;
  /** Stops it if it runs and deletes its directory. */
  dispose(): Promise<void>;
}

/** Far beyond any start or stop, also on a busy machine: whoever needs longer hangs. */
const HANGS_MS = 120_000;

export interface ProcessOptions {
  /** Without it, a start as a new user meets it. */
  readonly seed?: SeedFile;
  readonly env?: Readonly<Record<string, string>>;
  /** The caller's own folder, which it deletes itself; without it a new temporary one. */
  readonly directory?: string;
  /** What Node.js runs, with arguments before `up`; without it the program as users start it. */
  readonly launcher?: readonly string[];
}

export async function startPresage(options: ProcessOptions): Promise<PresageProcess> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'presage-test-'));
  const launcher = options.launcher ? [process.execPath, ...options.launcher] : [LAUNCHER];
  // Run by root, the embedded PostgreSQL's own user must be able to pass through.
  chmodSync(directory, 0o711);
  const seedPath = join(directory, 'seed.json');
  if (options.seed) writeFileSync(seedPath, JSON.stringify(options.seed));
  const ports = { http: await freePort(), mqtt: await freePort() };
  const env = {
    ...process.env,
    PRESAGE_DATA_DIR: join(directory, 'data'),
    ...(options.seed ? { PRESAGE_SEED_FILE: seedPath } : {}),
    PRESAGE_HTTP_PORT: String(ports.http),
    PRESAGE_MQTT_PORT: String(ports.mqtt),
    PRESAGE_LOG_LEVEL: 'warn',
    // A few simulated devices stand for a fleet here.
    PRESAGE_DEVICE_MESSAGES_PER_S: '100000',
    PRESAGE_TENANT_MESSAGES_PER_S: '1000000',
    ...options.env,
  };
  let running: Running | undefined = await spawnPresage(launcher, env);
  let last = running;

  const handle: PresageProcess = {
    directory,
    seedPath,
    api: `http://127.0.0.1:${ports.http}`,
    broker: `mqtt://127.0.0.1:${ports.mqtt}`,
    get pid() {
      return last.ready.pid;
    },
    get ready() {
      return last.ready;
    },
    get startMs() {
      return last.startMs;
    },
    log: () => last.log(),
    output: () => last.output,
    async kill() {
      if (!running) return;
      mustLive(running);
      const exited = once(running.child, 'exit');
      running.child.kill('SIGKILL');
      await exited;
      running = undefined;
    },
    async restart() {
      running = await spawnPresage(launcher, env);
      last = running;
    },
    async ended(limitMs) {
      if (!running) return null;
      const { child } = running;
      const until = performance.now() + limitMs;
      while (child.exitCode === null && child.signalCode === null) {
        if (performance.now() > until) return undefined;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      running = undefined;
      return child.exitCode;
    },
    async stop() {
      if (!running) return null;
      if (hasEnded(running)) {
        const ended = running.child.exitCode;
        running = undefined;
        return ended;
      }
      running.child.kill('SIGTERM');
      const code = await handle.ended(HANGS_MS);
      if (code === undefined) throw new Error(`presage did not stop within ${HANGS_MS} ms:\n${last.log()}`);
      return code;
    },
    async dispose() {
      await handle.stop();
      // A killed process leaves its PostgreSQL behind until the next start adopts it; one clean start and stop ends it.
      if (last.child.signalCode === 'SIGKILL') {
        running = await spawnPresage(launcher, env);
        await handle.stop();
      }
      if (!options.directory) rmSync(directory, { recursive: true, force: true });
    },
  };
  return handle;
}

interface Running {
  readonly child: ChildProcess;
  readonly ready: ReadyLine;
  readonly startMs: number;
  readonly output: string[];
  log(): string;
}

function hasEnded({ child }: Running): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Whoever kills a server that ended before would wait for ever, and never learn of the bug that ended it. */
function mustLive(running: Running): void {
  if (hasEnded(running)) throw new Error(`presage had ended by itself (${running.child.exitCode}):\n${running.log()}`);
}

async function spawnPresage(
  [command = LAUNCHER, ...before]: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<Running> {
  const startedAt = performance.now();
  const child = spawn(command, [...before, 'up'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-65_536);
  });
  const output: string[] = [];
  const lines = createInterface({ input: child.stdout });
  let limit: NodeJS.Timeout | undefined;
  const ready = await new Promise<ReadyLine>((resolve, reject) => {
    let isFirst = true;
    lines.on('line', (line) => {
      if (isFirst) resolve(readyLine.parse(JSON.parse(line)));
      else output.push(line);
      isFirst = false;
    });
    limit = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`presage was not ready after ${HANGS_MS} ms:\n${log}`));
    }, HANGS_MS);
    child.once('exit', (code, signal) =>
      reject(new Error(`presage ended before it was ready (${code ?? signal}):\n${log}`)),
    );
  }).finally(() => clearTimeout(limit));
  return { child, ready, startMs: performance.now() - startedAt, output, log: () => log };
}

/** A port that was free a moment ago; fixed, so that devices find a restarted server again. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  return address.port;
}
