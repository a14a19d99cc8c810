/**
 * `npm run bench:scoring [-- --days 30]`: values scored a second on one core by the production ensemble, with the trend
 * prognosis and without, and the size of a device's state. The simulated samples are made beforehand.
 */
import { parseArgs } from 'node:util';
import { DEFAULT_POLICY } from '../../analytics/alerts/policy.ts';
import { initDevice } from '../../analytics/device-state.ts';
import { createTrendPrognoser } from '../../analytics/prognosis/trend.ts';
import { createDeviceScorer, type DeviceScorer } from '../../analytics/score-device.ts';
import type { SampleToScore } from '../../analytics/score-sample.ts';
import { findModel } from '../../contract/devices/catalogue.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import { createSampleStream } from '../../device-sim/simulated-device.ts';
import { demoFleet } from '../../device-sim/stories.ts';

const { values: options } = parseArgs({ options: { days: { type: 'string', default: '30' } } });
const start = Date.UTC(2026, 0, 1);
const fleet = demoFleet(1, 'acme', start).map((device) => ({
  model: device.model,
  samples: createSampleStream(device, start)
    .take(start + Number(options.days) * DAY_MS)
    .map(
      ({ at, signals }, i): SampleToScore => ({
        ref: device.ref,
        identity: `b:${i}:0`,
        observedAt: at,
        position: i + 1,
        signals,
      }),
    ),
}));

function run(scorer: DeviceScorer, model: string): string {
  let values = 0;
  let samples = 0;
  let bytes = 0;
  let devices = 0;
  const startedAt = performance.now();
  for (const device of fleet.filter((one) => one.model === model)) {
    const state = initDevice(model);
    for (const sample of device.samples) values += scorer.score(state, sample).values;
    samples += device.samples.length;
    bytes = Math.max(bytes, JSON.stringify(state).length);
    devices++;
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  const rate = Math.round(values / seconds / 1_000);
  const sampleRate = Math.round(samples / seconds / 1_000);
  return `${rate} k values/s, ${sampleRate} k samples/s over ${devices} devices, state at most ${Math.round(bytes / 1_024)} KiB`;
}

for (const withTrend of [false, true]) {
  const scorer = createDeviceScorer({
    findModel,
    prognosersFor: (model) => (withTrend ? [createTrendPrognoser(model)] : []),
    policy: DEFAULT_POLICY,
  });
  for (const model of ['refrigerator', 'turbofan']) {
    run(scorer, model);
    console.log(
      `${model.padEnd(13)} ${withTrend ? 'with trend prognosis' : 'detectors and alerts'}  ${run(scorer, model)}`,
    );
  }
}
