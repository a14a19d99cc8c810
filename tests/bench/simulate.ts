/**
 * `npm run bench:simulate -- [--devices 2000] [--hours 24] [--models all]`: that many simulated devices in one process, without
 * network: processor time a device-hour for each model, and resident memory.
 */
import { parseArgs } from 'node:util';
import { HOUR_MS } from '../../contract/kernel/time.ts';
import { SIMULATED_MODELS } from '../../device-sim/models/catalogue.ts';
import { createSampleStream, type SampleStream } from '../../device-sim/simulated-device.ts';

const { values: options } = parseArgs({
  options: {
    devices: { type: 'string', default: '2000' },
    hours: { type: 'string', default: '24' },
    models: { type: 'string', default: 'all' },
  },
});
const devices = Number(options.devices);
const hours = Number(options.hours);
const models = SIMULATED_MODELS.filter(
  (model) => options.models === 'all' || options.models.split(',').includes(model.id),
);
const START = Date.UTC(2026, 0, 5);

const residentMb = (): number => process.memoryUsage().rss / 2 ** 20;
const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
};

interface Running {
  readonly model: string;
  readonly stream: SampleStream;
}

const before = residentMb();
const buildStart = cpuMs();
const fleet = Array.from({ length: devices }, (_, i): Running => {
  const model = models[i % models.length]?.id ?? 'refrigerator';
  return {
    model,
    stream: createSampleStream({ ref: { tenant: 'bench', device: `d${i}` }, model, seed: i + 1 }, START),
  };
});
say(`${devices} devices of ${models.length} models built in ${((cpuMs() - buildStart) / 1_000).toFixed(1)} s CPU`);

/** by model id */
const spent = new Map(models.map((model) => [model.id, { cpuMs: 0, samples: 0, values: 0 }]));
let peakMb = 0;
for (let hour = 1; hour <= hours; hour++) {
  for (const { id } of models) {
    const sum = spent.get(id);
    const startedAt = cpuMs();
    for (const { model, stream } of fleet) {
      if (model !== id || !sum) continue;
      for (const { signals } of stream.take(START + hour * HOUR_MS)) {
        sum.samples += 1;
        sum.values += Object.keys(signals).length;
      }
    }
    if (sum) sum.cpuMs += cpuMs() - startedAt;
  }
  peakMb = Math.max(peakMb, residentMb());
}
let total = 0;
for (const [id, sum] of spent) {
  const deviceHours = (devices / models.length) * hours;
  total += sum.cpuMs;
  say(
    `${id.padEnd(16)} ${((1_000 * sum.cpuMs) / deviceHours).toFixed(0).padStart(6)} µs CPU a device-hour, ` +
      `${(sum.samples / deviceHours).toFixed(1)} samples, ${(sum.values / deviceHours).toFixed(0)} values`,
  );
}
say(
  `all ${((1_000 * total) / (devices * hours)).toFixed(0)} µs CPU a device-hour; in real time ` +
    `${(total / hours).toFixed(0)} ms CPU an hour; resident ${before.toFixed(0)} → ${peakMb.toFixed(0)} MiB`,
);

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
