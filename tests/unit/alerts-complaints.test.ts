/**
 * What users of other platforms complain of in public, each as a test in our own words with its reference: the half that
 * the alert engine answers. Maintenance windows, assignees and escalations are the desk's.
 */
import { describe, expect, it } from 'vitest';
import { policyOf } from '../../analytics/alerts/exceptions.ts';
import { parseAlertPolicy } from '../../analytics/alerts/policy-document.ts';
import { HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import { EpisodeScript } from '../support/episode-script.ts';
import { FAULT, FAULTY, HEALTHY, inWords, PROBE_START, ProbeLog, runProbe, worldOf } from '../support/probe-fleet.ts';

/** A message an hour. */
function send(log: ProbeLog, signals: typeof HEALTHY, count: number): ProbeLog {
  for (let i = 0; i < count; i++) log.send('d-1', signals).pass(HOUR_MS);
  return log;
}

const play = (log: ProbeLog, options = {}) => runProbe(worldOf(log.log), options);
const durationMs = ([raised, cleared]: readonly AlertFinding[]) => (cleared?.at ?? 0) - (raised?.at ?? 0);

describe('an alert', () => {
  it('does not flutter while a value dances around its threshold (thingsboard #7943)', () => {
    const script = new EpisodeScript();
    for (let i = 0; i < 50; i++) script.play('#-#--##-');
    expect(script.words().filter((word) => word !== 'confirmed')).toEqual(['raised']);
  });

  it('is raised once, not once a message, when many come together (thingsboard #2986)', async () => {
    const log = new ProbeLog();
    // Fifty messages within one second, each of which would do.
    for (let i = 0; i < 50; i++) {
      log.now += 20;
      log.send('d-1', FAULTY);
    }
    for (const batchEntries of [1, 3, 1_000]) {
      expect(inWords(await play(log, { batchEntries }))).toEqual([`d-1 ${FAULT} raised`]);
    }
  });

  it('is not raised a second time beside itself after a restart or a repeated reading of the log (thingsboard #15583)', async () => {
    const log = send(new ProbeLog(), FAULTY, 10);
    const world = worldOf(log.log);
    await runProbe(world);
    await runProbe(world);
    send(log, FAULTY, 10);
    const states = [...world.checkpoints.states];
    const { saved } = world.checkpoints;
    await runProbe(world);
    // A crash takes the save back, not the findings.
    world.checkpoints.states.clear();
    for (const [key, state] of states) world.checkpoints.states.set(key, state);
    world.checkpoints.saved = saved;
    await runProbe(world);
    const raised = world.findings.unique().filter(({ kind }) => kind === 'alertRaised');
    expect(raised).toHaveLength(1);
  });

  it('has lasted as long as it was open, never always 0 s (thingsboard #14301)', async () => {
    const alerts = await play(send(send(new ProbeLog(), FAULTY, 12), HEALTHY, 12));
    expect(inWords(alerts)).toEqual([`d-1 ${FAULT} raised`, `d-1 ${FAULT} cleared calm`]);
    // Raised by the sixth sample's prediction; the 15th sample renews it, and two samples in a row are quiet then.
    expect(durationMs(alerts)).toBe(10 * HOUR_MS);
  });

  it('keeps the duration of its first opening through updates (thingsboard #5173)', () => {
    const script = new EpisodeScript({ confirmSamples: 4 });
    script.play('##').play('######').play('..');
    expect(script.words()).toEqual(['raised', 'confirmed', 'cleared']);
    expect(script.told.map(({ minute }) => minute)).toEqual([10, 20, 50]);
  });

  it('has the duration that its samples show, however late they arrive (thingsboard #10590)', async () => {
    const log = new ProbeLog().pass(100 * HOUR_MS);
    // A day of samples in a few seconds, out of a buffer.
    for (let i = 0; i < 24; i++) {
      log.now += 100;
      log.send('d-1', i < 12 ? FAULTY : HEALTHY, { at: PROBE_START + i * HOUR_MS });
    }
    expect(durationMs(await play(log))).toBe(10 * HOUR_MS);
  });

  it('is opened, updated and closed by one clock, that of the device (thingsboard #6773)', async () => {
    const aheadMs = 90 * MINUTE_MS;
    const log = new ProbeLog();
    for (let i = 0; i < 24; i++) log.send('d-1', i < 12 ? FAULTY : HEALTHY, { at: log.now - aheadMs }).pass(HOUR_MS);
    const alerts = await play(log);
    for (const { at, onset } of alerts) {
      expect((at - (PROBE_START - aheadMs)) % HOUR_MS).toBe(0);
      expect((onset - (PROBE_START - aheadMs)) % HOUR_MS).toBe(0);
    }
    expect(durationMs(alerts)).toBe(10 * HOUR_MS);
  });

  it('never ends before it began, also when old samples come in between (thingsboard #10860)', async () => {
    const log = new ProbeLog();
    for (let i = 0; i < 24; i++) {
      log.send('d-1', i < 12 ? FAULTY : HEALTHY);
      if (i % 3 === 0) log.send('d-1', HEALTHY, { at: log.now - 30 * HOUR_MS });
      log.pass(HOUR_MS);
    }
    const alerts = await play(log);
    expect(alerts.length).toBeGreaterThan(1);
    for (const { at, onset } of alerts) expect(onset).toBeLessThanOrEqual(at);
    expect(durationMs(alerts)).toBeGreaterThan(0);
  });

  it('that waits for time fires without new data where its absence is the condition (thingsboard pull 16118)', async () => {
    const log = send(new ProbeLog(), HEALTHY, 3);
    expect(await play(log)).toEqual([]);
    // Nothing but the time of the log goes on.
    expect(inWords(await play(log.pass(9 * HOUR_MS)))).toEqual(['d-1 noData raised']);
  });

  it('that waits for time goes on waiting after a restart where it was (thingsboard #10439)', async () => {
    const log = send(new ProbeLog(), FAULTY, 24);
    const whole = await play(log);
    for (let cut = 1; cut < log.log.entries.length; cut += 397) {
      const world = worldOf(log.log);
      const part = new ProbeLog().log;
      part.entries.push(...log.log.entries.slice(0, cut));
      await runProbe({ ...world, log: part });
      expect(await runProbe(world), `cut at ${cut}`).toEqual(whole);
    }
  });

  it('of each device has the severity that this device is given (thingsboard #15006)', () => {
    const policy = parseAlertPolicy({
      exceptions: [{ when: { tenant: 'acme', device: 'hospital-fridge' }, set: { severity: 'critical' } }],
    });
    const subject = { tenant: 'acme', model: 'refrigerator', faultKey: 'fan', severity: 'major', mode: '' } as const;
    expect(policyOf(policy, { ...subject, device: 'hospital-fridge' }).severity).toBe('critical');
    expect(policyOf(policy, { ...subject, device: 'home-fridge' }).severity).toBe('major');
  });

  it('names what raised it, with its version (mainflux #853)', async () => {
    const [alert] = await play(send(new ProbeLog(), FAULTY, 10));
    expect(alert?.evidence.detector).toEqual({ name: 'probe', version: '1' });
    expect(alert?.evidence.ensemble?.name).toBe('ensemble');
  });
});

describe('missing data', () => {
  it('is no recovery: an open alert stays open through a hole (prometheus #14085)', async () => {
    const log = send(new ProbeLog(), FAULTY, 10).pass(200 * HOUR_MS);
    send(log, FAULTY, 10);
    expect(inWords(await play(log)).filter((one) => one.includes(FAULT))).toEqual([`d-1 ${FAULT} raised`]);
  });

  it('does not resolve an alert whose source fell silent, however long that lasts (alertmanager #204)', async () => {
    const log = send(new ProbeLog(), FAULTY, 10).pass(2_000 * HOUR_MS);
    const words = inWords(await play(log));
    expect(words).toEqual([`d-1 ${FAULT} raised`, 'd-1 noData raised']);
  });

  it('makes no alert go and come back: short holes say nothing (alertmanager #3048)', async () => {
    const log = new ProbeLog();
    for (let i = 0; i < 40; i++) {
      log.send('d-1', FAULTY).pass(HOUR_MS);
      if (i % 4 === 0) log.pass(3 * HOUR_MS);
    }
    expect(inWords(await play(log))).toEqual([`d-1 ${FAULT} raised`]);
  });

  it('does not fulfil a delay: a hole counts neither for an alert nor for its end (prometheus #14085)', () => {
    const script = new EpisodeScript({ onSamples: 1, onMs: HOUR_MS, offSamples: 1, offMs: HOUR_MS });
    expect(script.play('#9#9#').words()).toEqual([]);
    expect(script.play('#'.repeat(13)).words()).toEqual(['raised']);
    expect(script.play('.9.9.').words()).toEqual(['raised']);
  });
});
