/**
 * A swarm of MQTT publishers in a worker thread, and a bare Aedes to compare with: the same swarm against both in one
 * run says what our rules and our durability cost. Closed loop: every connection keeps `window` QoS 1 publishes in
 * flight, so the rate is what the server acknowledges, and nothing is lost unnoticed. Open loop (`ratePerSecond`): each
 * publish has its time, and its latency counts from that time, also when the publisher or the server was late.
 *
 * @example
 * const bare = await startBareAedes();
 * const options = { connections: 50, window: 10, durationMs: 10_000, devices, payload: TEN_SIGNALS };
 * const baseline = await runSwarm({ ...options, port: bare.port });
 * const durable = await runSwarm({ ...options, port: presage.ports.mqtt });
 * console.log(durable.perSecond / baseline.perSecond);
 */

import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { Worker } from 'node:worker_threads';
import { Aedes } from 'aedes';
import { startOwnProgram } from './child-program.ts';

export interface SwarmDevice {
  /** Client id and user name. */
  readonly clientId: string;
  readonly secret: string;
  readonly topic: string;
  /** Certificate and key (PEM) for mutual TLS. */
  readonly cert?: string;
  readonly key?: string;
}

/** Where the worker finds the function that makes payloads: functions cannot be sent to it. */
export interface PayloadSource {
  /** `import.meta.url` of a module, or a file URL. */
  readonly module: string;
  /** Name of an export of type `BuildPayload`. */
  readonly export: string;
}

/** Payload number `sequence` (from 1) of connection number `connection` (from 0). */
export type BuildPayload = (connection: number, sequence: number) => string | Uint8Array;

export interface SwarmOptions {
  readonly host?: string;
  readonly port: number;
  readonly connections: number;
  /**
   * Publishes of one connection that wait for their acknowledgement. In an open loop the most there may be: one more
   * means that the server has fallen behind, and the swarm stops (`overrun`).
   */
  readonly window: number;
  /** Open loop: so many publishes a second over all connections, for `durationMs`. */
  readonly ratePerSecond?: number;
  /** Ends early when this shared flag becomes 1 (open loop): what is in flight is still waited for. */
  readonly stopFlag?: Int32Array;
  /** Device of each connection: as many as connections, or more. */
  readonly devices: readonly SwarmDevice[];
  readonly payload: PayloadSource;
  /** Ends after so many messages of each connection … */
  readonly messagesPerConnection?: number;
  /** … or after this time. What is in flight then is still waited for. */
  readonly durationMs?: number;
}

export interface SwarmResult {
  readonly sent: number;
  readonly acknowledged: number;
  /** Connections that were refused or closed by the server. */
  readonly closed: number;
  /** From the first publish to the last acknowledgement; connecting is not counted. */
  readonly seconds: number;
  readonly perSecond: number;
  /** Open loop: a connection had more in flight than its window, so not everything was published. */
  readonly overrun: boolean;
  /** Open loop: how late the swarm itself was, 99th percentile. Latencies are not to be believed when this is large. */
  readonly behindMs: number;
  /** From publish to acknowledgement; from the scheduled time in an open loop. */
  readonly latencyMs: { readonly p50: number; readonly p95: number; readonly p99: number; readonly max: number };
}

/** One sample of ten signals a message, telemetry of contract version 1 for the refrigerator model. */
export const TEN_SIGNALS: PayloadSource = {
  module: new URL('./ten-signals.ts', import.meta.url).href,
  export: 'tenSignals',
};

export interface BareProcess extends BareServer {
  readonly pid: number;
  /** What it has written. */
  log(): string;
}

/** The bare Aedes in a process of its own. */
export async function startBareAedesProcess(env: Readonly<Record<string, string>> = {}): Promise<BareProcess> {
  const file = new URL('./bare-aedes.ts', import.meta.url);
  const program = await startOwnProgram(file, [], /^port (\d+)$/m, { env: { ...process.env, ...env } });
  return { port: Number(program.ready[1]), pid: program.pid, log: program.output, close: () => program.stop() };
}

/** Runs the swarm in a thread of its own. Rejects when no connection was accepted. */
export function runSwarm(options: SwarmOptions): Promise<SwarmResult> {
  const worker = new Worker(new URL('./swarm-boot.js', import.meta.url), { workerData: options });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`the swarm ended without a result (exit ${code})`)));
  });
}

export interface BareServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Aedes as its README starts it, on a free port of this thread: accepts everybody, stores nothing. */
export async function startBareAedes(): Promise<BareServer> {
  const aedes = await Aedes.createBroker();
  const server = createServer(aedes.handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      server.close();
      await new Promise<void>((resolve) => aedes.close(resolve));
    },
  };
}
