/** Many connected devices that publish nothing, in a thread of their own. */
import { Worker } from 'node:worker_threads';
import type { SwarmDevice } from '../swarm.ts';
import type { DialTarget } from '../swarm-dial.ts';

export interface FleetOptions {
  readonly target: DialTarget;
  readonly devices: readonly SwarmDevice[];
  /** Logins under way at once. */
  readonly maxDialling: number;
  /** The limit holds only until all are connected for the first time: those who come back come all at once. */
  readonly returnAtOnce?: true;
  /** Mean time until a device that was refused tries again. */
  readonly retryMs: number;
}

/** Sent each time all devices are connected. */
export interface FleetReport {
  /** Epoch ms. */
  readonly at: number;
  /** Logins tried since the last report. */
  readonly attempts: number;
}

export interface SilentFleet {
  /** Resolves the next time all are connected. Rejects when that takes too long. */
  allConnected(limitMs?: number): Promise<FleetReport>;
  stop(): Promise<void>;
}

export function startSilentFleet(options: FleetOptions): SilentFleet {
  const worker = new Worker(new URL('./fleet-boot.js', import.meta.url), { workerData: options });
  return {
    allConnected(limitMs = 60_000) {
      return new Promise((resolve, reject) => {
        const limit = setTimeout(() => reject(new Error(`not all devices connected in ${limitMs} ms`)), limitMs);
        worker.once('error', reject);
        worker.once('message', (report: FleetReport) => {
          clearTimeout(limit);
          worker.off('error', reject);
          resolve(report);
        });
      });
    },
    async stop() {
      await worker.terminate();
    },
  };
}
