/** Orders of people about one device: closing an alert as normal, at one place of the log, whatever restarts. */
import { describe, expect, it } from 'vitest';
import { DEFAULT_POLICY } from '../../analytics/alerts/policy.ts';
import { takeDeviceOrder } from '../../analytics/device-orders.ts';
import { initDevice } from '../../analytics/device-state.ts';
import { createDeviceScorer } from '../../analytics/score-device.ts';
import { gaussian, seededRandom } from '../../contract/kernel/random.ts';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import type { Order } from '../../contract/ports/orders.ts';
import { FAULT, FAULTY, HEALTHY, inWords, ProbeLog, runProbe, worldOf } from '../support/probe-fleet.ts';

const ORDER = '3f1c4a52-7a0e-4d9b-8a50-0f0c6b1d7c11';
const acceptance = (episode: string, at: number): Order => ({
  kind: 'acceptAsNormal',
  id: ORDER,
  tenant: 'acme',
  device: 'd-1',
  model: 'probe',
  at,
  actor: 'erik',
  episode,
  why: 'the new load is meant to be there',
});

const send = (log: ProbeLog, signals: typeof HEALTHY, count: number) => {
  for (let i = 0; i < count; i++) log.send('d-1', signals).pass(HOUR_MS);
};

async function acceptedLog(): Promise<ProbeLog> {
  const log = new ProbeLog();
  send(log, FAULTY, 8);
  const [raised] = await runProbe(worldOf(log.log));
  log.order(acceptance(raised?.episode ?? '', log.now)).pass(HOUR_MS);
  send(log, FAULTY, 12);
  return log;
}

describe('an alert that a person accepts as normal', () => {
  it('ends at the order’s place in the log and says who did it, and why', async () => {
    const alerts = await runProbe(worldOf((await acceptedLog()).log));
    expect(inWords(alerts)).toEqual([`d-1 ${FAULT} raised`, `d-1 ${FAULT} cleared accepted`]);
    expect(alerts[1]?.order).toEqual({ id: ORDER, by: 'erik', why: 'the new load is meant to be there' });
    expect(alerts[1]?.at).toBeGreaterThan(alerts[0]?.at ?? 0);
  });

  it('is raised again once it gets worse', async () => {
    const log = await acceptedLog();
    send(log, { ...FAULTY, life: 45 }, 8);
    expect(inWords(await runProbe(worldOf(log.log))).at(-1)).toBe(`d-1 ${FAULT} raised`);
  });

  it('ends the same with a restart at any place of the log', async () => {
    const log = await acceptedLog();
    const whole = await runProbe(worldOf(log.log));
    const at = log.log.entries.findIndex(({ kind }) => kind === 'order');
    for (const cut of [at - 1, at, at + 1, at + 2, at + 700]) {
      const world = worldOf(log.log);
      const part = new ProbeLog().log;
      part.entries.push(...log.log.entries.slice(0, cut));
      await runProbe({ ...world, log: part });
      expect(await runProbe(world), `cut at ${cut - at}`).toEqual(whole);
    }
  });

  it('ends once when the order stands in the log twice', async () => {
    const log = await acceptedLog();
    const order = log.log.entries.find(({ kind }) => kind === 'order');
    if (order) log.log.entries.push({ ...order, position: log.log.end() + 50, receivedAt: log.now });
    expect(inWords(await runProbe(worldOf(log.log)))).toHaveLength(2);
  });

  it('is not touched by an order for an alert that is over, or of another device', async () => {
    const log = new ProbeLog();
    send(log, FAULTY, 8);
    log.order(acceptance('0123456789abcdef', log.now)).pass(HOUR_MS);
    log.order({ ...acceptance('0123456789abcdef', log.now), id: ORDER.replace('3', '4'), device: 'd-7' } as Order);
    send(log, FAULTY, 3);
    expect(inWords(await runProbe(worldOf(log.log)))).toEqual([`d-1 ${FAULT} raised`]);
  });

  it('leaves silence alone until the device sends again, when it was the silence that was accepted', async () => {
    const log = new ProbeLog();
    send(log, HEALTHY, 3);
    log.pass(9 * HOUR_MS);
    const [raised] = await runProbe(worldOf(log.log));
    log.order(acceptance(raised?.episode ?? '', log.now)).pass(40 * DAY_MS);
    expect(inWords(await runProbe(worldOf(log.log)))).toEqual(['d-1 noData raised', 'd-1 noData cleared accepted']);
    log.send('d-1').pass(9 * HOUR_MS);
    expect(inWords(await runProbe(worldOf(log.log))).at(-1)).toBe('d-1 noData raised');
  });
});

describe('a change of level', () => {
  const scorer = createDeviceScorer({ findModel: () => undefined, prognosersFor: () => [], policy: DEFAULT_POLICY });
  const REF = { tenant: 'acme', device: 'd-1' };
  const START = Date.UTC(2026, 0, 5);
  const STEP_MS = 300_000;

  /** Plays days of two signals; the level of one jumps at `shiftAt`, days. */
  function play(days: number, shiftAt: number, onDay: (day: number, alerts: AlertFinding[]) => void = () => undefined) {
    const random = seededRandom(5);
    const state = initDevice('mystery');
    const alerts: AlertFinding[] = [];
    for (let i = 0; i < days * 288; i++) {
      const pressure = 50 + gaussian(random) + (i >= shiftAt * 288 ? 30 : 0);
      const signals = { pressure, steady: 3 + 0.1 * gaussian(random) };
      const sample = { ref: REF, identity: `b:${i}:0`, observedAt: START + i * STEP_MS, position: i + 1, signals };
      for (const finding of scorer.score(state, sample).findings)
        if ('episode' in finding) alerts.push(finding as AlertFinding);
      if (i % 288 === 287) onDay((i + 1) / 288, alerts);
    }
    return { state, alerts };
  }

  it('is not learned while its alert is open, and closed as normal by the policy after a week', () => {
    const { alerts } = play(20, 8);
    expect(alerts.map(({ kind, reason }) => [kind, reason])).toContainEqual(['alertCleared', 'adopted']);
    expect(alerts.filter(({ kind }) => kind === 'alertRaised')).toHaveLength(1);
    const [raised] = alerts;
    const cleared = alerts.find(({ kind }) => kind === 'alertCleared');
    expect((cleared?.at ?? 0) - (raised?.at ?? 0)).toBeGreaterThanOrEqual(7 * DAY_MS);
  });

  it('is learned at once when a person closes its alert as normal, and stays quiet', () => {
    const { state, alerts } = play(10, 8);
    const [raised] = alerts;
    const plan = scorer.planOf(state);
    const subject = { ...REF, model: 'mystery', intervalMs: STEP_MS, policy: DEFAULT_POLICY };
    const order = { ...acceptance(raised?.episode ?? '', START), model: 'mystery' } as never;
    const ended = takeDeviceOrder({ ref: REF, state, plan, subject }, order, 9);
    expect(ended.map(({ kind, reason }) => [kind, reason])).toEqual([['alertCleared', 'accepted']]);
    const random = seededRandom(6);
    for (let i = 10 * 288; i < 14 * 288; i++) {
      const signals = { pressure: 80 + gaussian(random), steady: 3 + 0.1 * gaussian(random) };
      const sample = { ref: REF, identity: `c:${i}:0`, observedAt: START + i * STEP_MS, position: i + 1, signals };
      expect(scorer.score(state, sample).findings).toEqual([]);
    }
  });
});
