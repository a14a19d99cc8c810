/** One open loop against any broker, as all parts use it. */
import { runSwarm, type SwarmDevice, type SwarmResult, TEN_SIGNALS } from '../swarm.ts';

/** Bounds the swarm's memory; a server that is so far behind has not held the rate. */
const MAX_IN_FLIGHT = 200_000;
/** Beyond this the swarm was too slow itself. */
const MAX_BEHIND_MS = 250;

export interface OpenLoop {
  readonly port: number;
  readonly devices: readonly SwarmDevice[];
  readonly ratePerS: number;
  readonly seconds: number;
  readonly stopFlag?: Int32Array;
}

export function runOpenLoop({ port, devices, ratePerS, seconds, stopFlag }: OpenLoop): Promise<SwarmResult> {
  return runSwarm({
    port,
    devices,
    connections: devices.length,
    window: Math.min(60_000, Math.floor(MAX_IN_FLIGHT / devices.length)),
    ratePerSecond: ratePerS,
    durationMs: seconds * 1_000,
    payload: TEN_SIGNALS,
    ...(stopFlag ? { stopFlag } : {}),
  });
}

/** What of it was lost or never published, or nothing. */
export function lossOf(result: SwarmResult): string | undefined {
  if (result.closed > 0) return `${result.closed} connections closed`;
  if (result.overrun) return 'too many in flight';
  if (result.acknowledged < result.sent) return `${result.sent - result.acknowledged} not acknowledged`;
  return undefined;
}

/** Why a publisher has not had its rate, or nothing when all went out in time and was acknowledged. */
export function publishFailure(result: SwarmResult): string | undefined {
  const late = result.behindMs > MAX_BEHIND_MS ? `the publisher itself was ${Math.round(result.behindMs)} ms late` : '';
  return lossOf(result) ?? (late || undefined);
}
