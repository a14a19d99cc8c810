/**
 * `npm run bench:fleet -- [--seeds 10] [--from 100]`: simulated fleets straight through analytics, without network or
 * stores: false alerts on healthy devices against the budget, and for each fault how long before the failure it was foreseen.
 */
import { parseArgs } from 'node:util';
import { DEFAULT_POLICY } from '../../analytics/alerts/policy.ts';
import { initDevice } from '../../analytics/device-state.ts';
import type { Prognoser } from '../../analytics/prognosis/prognoser.ts';
import { createTrendPrognoser } from '../../analytics/prognosis/trend.ts';
import { createDeviceScorer } from '../../analytics/score-device.ts';
import { findModel } from '../../contract/devices/catalogue.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import { createSampleStream, groundTruthOf, type SimulatedDevice } from '../../device-sim/simulated-device.ts';
import { DEMO_DAYS, demoFleet } from '../../device-sim/stories.ts';

const { values: options } = parseArgs({
  options: { seeds: { type: 'string', default: '5' }, from: { type: 'string', default: '100' } },
});
const START = Date.UTC(2026, 0, 5);
const END = START + DEMO_DAYS * DAY_MS;
const scorer = createDeviceScorer({
  findModel,
  prognosersFor: (model) => [createTrendPrognoser(model) as Prognoser<unknown>],
  policy: DEFAULT_POLICY,
});

interface DeviceRun {
  readonly alerts: readonly AlertFinding[];
  readonly samples: number;
  readonly values: number;
}

function play(device: SimulatedDevice): DeviceRun {
  const state = initDevice(device.model);
  const alerts: AlertFinding[] = [];
  let values = 0;
  const samples = createSampleStream(device, START).take(END);
  samples.forEach((sample, index) => {
    const outcome = scorer.score(state, {
      ref: device.ref,
      identity: `b:${index}:0`,
      observedAt: sample.at,
      position: index + 1,
      signals: sample.signals,
    });
    values += outcome.values;
    for (const finding of outcome.findings)
      if (finding.kind !== 'prediction' && finding.kind !== 'shadowAlert') alerts.push(finding);
  });
  return { alerts, samples: samples.length, values };
}

/** The desk's rule: severe enough, and either due by its prediction or confirmed. */
const isTicketWorthy = (alert: AlertFinding): boolean => {
  const life = alert.evidence.prediction?.remainingLife;
  return (
    ['major', 'critical'].includes(alert.severity) &&
    (alert.confirmed || (life !== undefined && life.lower <= DEFAULT_POLICY.warnHorizon[life.unit]))
  );
};

const total = { healthyDays: 0, falseAlerts: 0, falseTickets: 0, faults: 0, foreseen: 0, named: 0, values: 0 };
const leads: number[] = [];
const startedAt = performance.now();
for (let seed = Number(options.from); seed < Number(options.from) + Number(options.seeds); seed++) {
  for (const device of demoFleet(seed, 'bench', START)) {
    const run = play(device);
    total.values += run.values;
    const raised = run.alerts.filter((alert) => alert.kind === 'alertRaised');
    const ticket = run.alerts.find(isTicketWorthy);
    if (!device.fault) {
      total.healthyDays += DEMO_DAYS;
      total.falseAlerts += raised.length;
      if (ticket) total.falseTickets += 1;
      for (const alert of raised)
        say(
          `  seed ${seed} ${device.ref.device}: false ${alert.severity} ${alert.faultKey} on day ${day(alert.at)} (${alert.evidence.because.map((line) => line.signal).join(', ')}; ${alert.evidence.detector.name})`,
        );
      continue;
    }
    const truth = groundTruthOf(device, START, END);
    const lead = ticket && truth?.failsAt ? (truth.failsAt - ticket.at) / DAY_MS : undefined;
    total.faults += 1;
    if (lead !== undefined && lead > 0 && ticket && ticket.at >= device.fault.onsetAt) {
      total.foreseen += 1;
      leads.push(lead);
    }
    if (ticket?.faultKey === device.fault.faultKey) total.named += 1;
    say(
      `  seed ${seed} ${device.ref.device} ${device.fault.faultKey}: onset day ${day(device.fault.onsetAt)}, ticket ${ticket ? `day ${day(ticket.at)} as ${ticket.faultKey}` : 'none'}, failure day ${truth?.failsAt ? day(truth.failsAt) : '–'}, lead ${lead?.toFixed(1) ?? '–'} d; alerts ${raised.map((alert) => `${alert.faultKey}@${day(alert.at)}`).join(' ')}`,
    );
  }
}
leads.sort((a, b) => a - b);
say(
  `healthy: ${total.falseAlerts} alerts in ${total.healthyDays} device-days = ${((1_000 * total.falseAlerts) / total.healthyDays).toFixed(2)} a 1,000 (budget ${DEFAULT_POLICY.alertsPer1000DeviceDays}); tickets ${total.falseTickets}`,
);
say(
  `faults: ${total.foreseen} of ${total.faults} foreseen after their onset, ${total.named} with the right failure mode; median lead ${leads[Math.floor(leads.length / 2)]?.toFixed(1) ?? '–'} d`,
);
say(
  `${Math.round(total.values / ((performance.now() - startedAt) / 1_000)).toLocaleString('en')} values/s, simulation included`,
);

function day(at: number): string {
  return ((at - START) / DAY_MS).toFixed(1);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
