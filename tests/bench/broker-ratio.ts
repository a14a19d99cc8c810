/**
 * What our rules at the door cost against a bare Aedes, in one run: `npx tsx tests/bench/broker-ratio.ts [seconds]`.
 * The delivery calls back at once; the durable pipeline is measured by giving its port to the same swarm.
 */
import { clientIdOf, type DeviceRef } from '../../contract/kernel/ids.ts';
import { topicOf } from '../../contract/wire/topics.ts';
import { fakeDirectory, secretOf, startBroker } from '../support/broker-harness.ts';
import { runSwarm, type SwarmResult, startBareAedes, TEN_SIGNALS } from './swarm.ts';

const durationMs = Number(process.argv[2] ?? 5) * 1_000;
const CONNECTIONS = 50;
const refs: DeviceRef[] = Array.from({ length: CONNECTIONS }, (_, i) => ({ tenant: 'bench', device: `d${i}` }));
const devices = refs.map((ref) => ({
  clientId: clientIdOf(ref),
  secret: secretOf(ref),
  topic: topicOf(ref, 'telemetry'),
}));

for (const window of [1, 10]) {
  const options = { connections: CONNECTIONS, window, durationMs, devices, payload: TEN_SIGNALS };
  const bare = await startBareAedes();
  const baseline = await runSwarm({ ...options, port: bare.port });
  await bare.close();
  const { broker, port } = await startBroker(
    {},
    { directory: fakeDirectory(refs), deliver: (_publish, done) => done(undefined) },
  );
  const guarded = await runSwarm({ ...options, port });
  await broker.stop();
  const ratio = guarded.perSecond / baseline.perSecond;
  console.log(JSON.stringify({ window, bare: rounded(baseline), door: rounded(guarded), ratio: round(ratio) }));
}

function rounded({ sent, acknowledged, closed, perSecond, latencyMs }: SwarmResult) {
  return {
    sent,
    acknowledged,
    closed,
    perSecond: Math.round(perSecond),
    p50: round(latencyMs.p50),
    p99: round(latencyMs.p99),
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
