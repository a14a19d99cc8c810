import { describe, expect, it } from 'vitest';
import { DEFAULT_POLICY } from '../../analytics/alerts/policy.ts';
import { initDevice } from '../../analytics/device-state.ts';
import { createTrendPrognoser } from '../../analytics/prognosis/trend.ts';
import { createDeviceScorer } from '../../analytics/score-device.ts';
import { findModel } from '../../contract/devices/catalogue.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import { createSampleStream, groundTruthOf, type SimulatedDevice } from '../../device-sim/simulated-device.ts';
import { DEMO_DAYS, demoFleet } from '../../device-sim/stories.ts';

const START_AT = Date.UTC(2026, 2, 1);
const SEED = 5;

const scorer = createDeviceScorer({
  findModel,
  prognosersFor: (model) => [createTrendPrognoser(model)],
  policy: DEFAULT_POLICY,
});

function alertsOf(device: SimulatedDevice): AlertFinding[] {
  const state = initDevice(device.model);
  return createSampleStream(device, START_AT)
    .take(START_AT + DEMO_DAYS * DAY_MS)
    .flatMap(({ at, signals }, i) => {
      const sample = { ref: device.ref, identity: `b:${i}:0`, observedAt: at, position: i + 1, signals };
      return scorer
        .score(state, sample)
        .findings.filter((one) => one.kind !== 'prediction' && one.kind !== 'shadowAlert');
    });
}

describe('the simulated fleet', () => {
  it('stays within the budget of false alerts while it is healthy', () => {
    const devices = demoFleet(SEED, 'acme', START_AT).map(({ fault: _, ...healthy }) => healthy);
    const alerts = devices.flatMap(alertsOf).filter((one) => one.kind === 'alertRaised');
    const budget = (DEFAULT_POLICY.alertsPer1000DeviceDays / 1_000) * devices.length * DEMO_DAYS;
    expect(alerts.map((one) => `${one.device} ${one.faultKey}`).length).toBeLessThanOrEqual(budget);
  });

  it.each(demoFleet(SEED, 'acme', START_AT).filter((device) => device.fault))(
    'has the fault of $ref.device found in time, under its own name',
    (device) => {
      const truth = groundTruthOf(device, START_AT, START_AT + DEMO_DAYS * DAY_MS);
      const alerts = alertsOf(device).filter((one) => one.kind !== 'alertCleared' && one.confirmed);
      const first = alerts.find((one) => one.severity === 'major');
      expect(first?.faultKey).toBe(truth?.faultKey);
      expect(first?.at ?? 0).toBeGreaterThan(truth?.onsetAt ?? 0);
      const leadDays = ((truth?.failsAt ?? 0) - (first?.at ?? 0)) / DAY_MS;
      expect(leadDays).toBeGreaterThan(3);
    },
  );
});
