/** The thread of a silent fleet: devices that log in, stay, and come back at once when the server goes. */
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { dial } from '../swarm-dial.ts';
import type { FleetOptions, FleetReport } from './silent-fleet.ts';

const { target, devices, maxDialling, returnAtOnce, retryMs } = workerData as FleetOptions;
let limit = maxDialling;
let connected = 0;
let dialling = 0;
let attempts = 0;
const waiting: (() => void)[] = [];

async function keepConnected(index: number): Promise<void> {
  const device = devices[index];
  if (!device) return;
  for (;;) {
    if (dialling >= limit) await new Promise<void>((resolve) => waiting.push(resolve));
    dialling += 1;
    attempts += 1;
    const socket = await dial(target, device);
    dialling -= 1;
    waiting.shift()?.();
    if (!socket) {
      await pause(retryMs * (0.5 + Math.random()));
      continue;
    }
    // It may have closed between the server's answer and now.
    const closed = socket.destroyed ? undefined : once(socket, 'close');
    connected += 1;
    if (connected === devices.length) {
      parentPort?.postMessage({ at: Date.now(), attempts } satisfies FleetReport);
      attempts = 0;
      if (returnAtOnce) limit = Number.POSITIVE_INFINITY;
    }
    await closed;
    connected -= 1;
  }
}

await Promise.all(devices.map((_, index) => keepConnected(index)));
