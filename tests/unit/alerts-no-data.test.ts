/** "No data" as a condition of its own, through the whole of analytics and in its parts. */
import { describe, expect, it } from 'vitest';
import { initListening, OUTAGE_MS, passEntry, silentFrom } from '../../analytics/silence/listening.ts';
import { createSilenceWatch } from '../../analytics/silence/watch.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import {
  FAULT,
  FAULTY,
  HEALTHY,
  inWords,
  PROBE_POLICY,
  PROBE_START,
  ProbeLog,
  probeAnalytics,
  runProbe,
  worldOf,
} from '../support/probe-fleet.ts';

/** A message an hour for so many hours. */
function hours(log: ProbeLog, count: number, devices: readonly string[] = ['d-1'], signals = HEALTHY): ProbeLog {
  for (let i = 0; i < count; i++) {
    for (const device of devices) log.send(device, signals);
    log.pass(HOUR_MS);
  }
  return log;
}

const play = (log: ProbeLog, options = {}) => runProbe(worldOf(log.log), options);

describe('a device from which nothing comes', () => {
  it('is told of once, after six of its intervals, on its own clock', async () => {
    const log = hours(new ProbeLog(), 3).pass(20 * HOUR_MS);
    const [alert, ...more] = await play(log);
    expect(more).toEqual([]);
    expect(alert).toMatchObject({
      kind: 'alertRaised',
      faultKey: 'noData',
      severity: 'minor',
      confirmed: true,
      onset: PROBE_START + 2 * HOUR_MS,
      at: PROBE_START + 8 * HOUR_MS,
    });
    expect(alert?.evidence.because[0]).toMatchObject({
      signal: 'secondsWithoutData',
      value: 6 * 3_600,
      expected: 3_600,
    });
  });

  it('is told on its own clock, also when that is wrong', async () => {
    const log = new ProbeLog();
    const slowMs = 40 * 60_000;
    for (let i = 0; i < 3; i++) log.send('d-1', HEALTHY, { at: log.now - slowMs }).pass(HOUR_MS);
    log.pass(20 * HOUR_MS).send('d-1', HEALTHY, { at: log.now - slowMs });
    const [raised, cleared] = await play(log);
    expect((raised?.at ?? 0) - (raised?.onset ?? 0)).toBe(6 * HOUR_MS);
    expect(cleared?.at).toBe(log.now - slowMs);
  });

  it('is well again with its first message', async () => {
    const log = hours(new ProbeLog(), 3)
      .pass(9 * HOUR_MS)
      .send('d-1')
      .pass(HOUR_MS);
    expect(inWords(await play(log))).toEqual(['d-1 noData raised', 'd-1 noData cleared dataReturned']);
  });

  it('is told of when its return is all that the log says', async () => {
    // Read in one go, hours later: nothing else tells analytics what time it was meanwhile.
    const log = hours(new ProbeLog(), 3).pass(9 * HOUR_MS);
    const whole = await play(log.send('d-1'), { batchEntries: 100_000 });
    expect(inWords(whole)).toEqual(['d-1 noData raised', 'd-1 noData cleared dataReturned']);
  });

  it('gives the same findings in batches of any size', async () => {
    const log = new ProbeLog();
    hours(log, 5, ['d-1', 'd-2']);
    hours(log, 12, ['d-2']);
    hours(log, 5, ['d-1']);
    const whole = await play(log);
    expect(inWords(whole)).toEqual(['d-1 noData raised', 'd-1 noData cleared dataReturned']);
    const byId = (some: typeof whole) => [...some].sort((a, b) => a.id.localeCompare(b.id));
    for (const batchEntries of [1, 7, 100_000]) expect(byId(await play(log, { batchEntries }))).toEqual(byId(whole));
  });

  it('is not told of at all where the policy says so', async () => {
    const log = hours(new ProbeLog(), 3, ['d-1', 'd-2']).pass(40 * HOUR_MS);
    const exceptions = [{ when: { faultKey: 'noData', tenant: 'acme', device: 'd-1' }, set: { missedBeats: 0 } }];
    const alerts = await play(log, { policy: { ...PROBE_POLICY, exceptions } });
    expect(inWords(alerts)).toEqual(['d-2 noData raised']);
  });

  it('has the severity that the policy gives it', async () => {
    const log = hours(new ProbeLog(), 3).pass(40 * HOUR_MS);
    const exceptions = [{ when: { faultKey: 'noData', model: 'probe' }, set: { severity: 'major' as const } }];
    expect((await play(log, { policy: { ...PROBE_POLICY, exceptions } }))[0]?.severity).toBe('major');
  });

  it('flaps as one alert when it comes and goes', async () => {
    const log = hours(new ProbeLog(), 3);
    for (let i = 0; i < 6; i++) hours(log.pass(9 * HOUR_MS), 8);
    const alerts = await play(log);
    expect(alerts.filter(({ kind }) => kind === 'alertRaised').length).toBeLessThan(5);
    expect(alerts.at(-1)?.evidence.flapping?.openings).toBe(4);
  });
});

describe('silence and the faults of a device', () => {
  it('neither clears what was open nor raises anything else', async () => {
    const log = hours(new ProbeLog(), 7, ['d-1'], FAULTY)
      .pass(10 * DAY_MS)
      .send('d-1', FAULTY);
    expect(inWords(await play(log))).toEqual([
      `d-1 ${FAULT} raised`,
      'd-1 noData raised',
      'd-1 noData cleared dataReturned',
    ]);
  });

  it('leaves a fault that was open what it was, until the device says more', async () => {
    const log = hours(new ProbeLog(), 7, ['d-1'], FAULTY).pass(10 * DAY_MS);
    hours(log, 6, ['d-1'], FAULTY);
    expect(inWords(await play(log)).filter((one) => one.includes(FAULT))).toEqual([`d-1 ${FAULT} raised`]);
    hours(log, 7, ['d-1'], HEALTHY);
    expect(inWords(await play(log)).filter((one) => one.includes(FAULT))).toEqual([
      `d-1 ${FAULT} raised`,
      `d-1 ${FAULT} cleared calm`,
    ]);
  });
});

describe('who is silent with reason', () => {
  it('sleeps: a device that says that it goes is not missed for a week', async () => {
    const log = hours(new ProbeLog(), 3)
      .offline('d-1', true)
      .pass(6 * DAY_MS);
    expect(await play(log)).toEqual([]);
    log.pass(2 * DAY_MS);
    expect(inWords(await play(log))).toEqual(['d-1 noData raised']);
  });

  it('is not a device whose connection was lost: its last will excuses nothing', async () => {
    const log = hours(new ProbeLog(), 3)
      .offline('d-1', false)
      .pass(9 * HOUR_MS);
    expect(inWords(await play(log))).toEqual(['d-1 noData raised']);
  });

  it('is awake again with its next message', async () => {
    const log = hours(new ProbeLog(), 3)
      .offline('d-1', true)
      .pass(30 * HOUR_MS)
      .send('d-1')
      .pass(9 * HOUR_MS);
    const alerts = await play(log);
    expect(inWords(alerts)).toEqual(['d-1 noData raised']);
  });

  it('has left the fleet: all its alerts end, and nobody waits for it', async () => {
    const log = hours(new ProbeLog(), 7, ['d-1'], FAULTY).pass(9 * HOUR_MS);
    const order = {
      kind: 'decommission',
      id: '3f1c4a52-7a0e-4d9b-8a50-0f0c6b1d7c11',
      tenant: 'acme',
      device: 'd-1',
    } as const;
    log.order({ ...order, model: 'probe', at: log.now, actor: 'anna', why: 'scrapped' }).pass(9 * DAY_MS);
    const alerts = await play(log);
    expect(inWords(alerts)).toEqual([
      `d-1 ${FAULT} raised`,
      'd-1 noData raised',
      `d-1 ${FAULT} cleared decommissioned`,
      'd-1 noData cleared decommissioned',
    ]);
    expect(alerts.at(-1)?.order).toEqual({ id: order.id, by: 'anna', why: 'scrapped' });
  });

  it('sends in batches: what a message covers is how long the next one may take', async () => {
    const log = new ProbeLog();
    for (let i = 0; i < 4; i++) log.sendBatch('d-1', 12).pass(12 * HOUR_MS);
    expect(await play(log)).toEqual([]);
  });

  it('is not excused by one message that brought the backlog of an outage', async () => {
    const log = hours(new ProbeLog(), 3)
      .sendBatch('d-1', 48)
      .pass(9 * HOUR_MS);
    expect(inWords(await play(log))).toEqual(['d-1 noData raised']);
  });

  it('sends less often than its model: that is learned', async () => {
    const log = new ProbeLog();
    for (let i = 0; i < 20; i++) log.send('d-1').pass(5 * HOUR_MS);
    log.pass(20 * HOUR_MS);
    expect(await play(log)).toEqual([]);
    log.pass(10 * HOUR_MS);
    expect(inWords(await play(log))).toEqual(['d-1 noData raised']);
  });

  it('is not heard by old data: backfill says nothing of today', async () => {
    const log = hours(new ProbeLog(), 3).pass(9 * HOUR_MS);
    log.send('d-1', HEALTHY, { at: log.now - 8 * HOUR_MS, hist: true }).pass(MINUTE_MS);
    expect(inWords(await play(log))).toEqual(['d-1 noData raised']);
  });

  it('never sent at all', async () => {
    const log = new ProbeLog().offline('d-9', true).pass(30 * DAY_MS);
    expect(await play(log)).toEqual([]);
  });
});

describe('our own outage', () => {
  const fleet = Array.from({ length: 200 }, (_, i) => `d-${i}`);

  it('makes nobody silent: after a day without a server no device is told of', async () => {
    const log = hours(new ProbeLog(), 5, fleet).down(DAY_MS);
    // They come back within the hour, each at its own time.
    for (const device of fleet) log.pass(20_000).send(device);
    log.pass(HOUR_MS);
    expect(await play(log)).toEqual([]);
  });

  it('begins the wait anew, with time to come back, for those who do not', async () => {
    const log = hours(new ProbeLog(), 5, ['d-1']).down(DAY_MS);
    log.tick();
    expect(await play(log.pass(6 * HOUR_MS))).toEqual([]);
    const [alert] = await play(log.pass(HOUR_MS));
    // Last heard at 4:00, again listened to from 29:00 on, ten minutes of grace, six hours.
    expect(alert?.at).toBe(PROBE_START + 29 * HOUR_MS + 10 * MINUTE_MS + 6 * HOUR_MS);
  });

  it('does not undo a silence that had been before it', async () => {
    const log = hours(new ProbeLog(), 3)
      .pass(9 * HOUR_MS)
      .down(DAY_MS);
    log.tick();
    log.pass(HOUR_MS);
    for (const batchEntries of [1, 100_000]) {
      expect(inWords(await play(log, { batchEntries }))).toEqual(['d-1 noData raised']);
    }
  });

  it('is told from the log alone, so a replay a year later finds the same', async () => {
    const log = hours(new ProbeLog(), 5, ['d-1', 'd-2']).down(5 * HOUR_MS);
    hours(log, 9, ['d-2']);
    const first = await play(log);
    expect(inWords(first)).toEqual(['d-1 noData raised']);
    expect(await play(log, { batchEntries: 3 })).toEqual(first);
  });
});

describe('a restart of analytics', () => {
  it('forgets nobody: who fell silent before it is told of after it', async () => {
    const log = hours(new ProbeLog(), 3, ['d-1', 'd-2']);
    const world = worldOf(log.log);
    await runProbe(world);
    hours(log, 9, ['d-2']);
    // Nothing of d-1 stands behind the save: only what was saved knows of it.
    expect(inWords(await runProbe(world))).toEqual(['d-1 noData raised']);
  });

  it('tells the same under the same ids when nothing had been saved', async () => {
    const log = hours(new ProbeLog(), 3)
      .pass(9 * HOUR_MS)
      .send('d-1');
    const world = worldOf(log.log);
    await runProbe(world);
    const once = world.findings.appended.length;
    await runProbe({ ...worldOf(log.log), findings: world.findings });
    expect(world.findings.appended).toHaveLength(2 * once);
    expect(world.findings.unique()).toHaveLength(once);
  });

  it('keeps the devices in memory few while many fall silent', async () => {
    const fleet = Array.from({ length: 300 }, (_, i) => `d-${i}`);
    const log = hours(new ProbeLog(), 2, fleet).pass(20 * HOUR_MS);
    const world = worldOf(log.log);
    const analytics = probeAnalytics(world, { maxDevices: 10 });
    await analytics.start();
    await analytics.drain();
    expect(analytics.stats().watchedDevices).toBe(0);
    await analytics.stop();
    expect(new Set(world.findings.unique().map(({ device }) => device)).size).toBe(300);
  });
});

describe('when we listened', () => {
  const heard = (...times: number[]) => {
    const listening = initListening();
    for (const receivedAt of times) passEntry(listening, { receivedAt });
    return listening;
  };

  it('is between entries that lie close together', () => {
    expect(heard(1_000, 1_000 + OUTAGE_MS, 900).outages).toEqual([]);
    expect(heard(1_000, 1_001 + OUTAGE_MS).outages).toEqual([[1_000, 1_001 + OUTAGE_MS]]);
  });

  it('never goes back, whatever old entries are logged again', () => {
    expect(heard(5_000, 100, 4_999).logTime).toBe(5_000);
  });

  it('makes everybody begin anew after an outage, except who was silent before it', () => {
    const listening = heard(100_000, 200_000);
    expect(silentFrom(listening, 90_000, 20_000, 3_000)).toBe(200_000 + 3_000 + 20_000);
    expect(silentFrom(listening, 90_000, 5_000, 3_000)).toBe(95_000);
    expect(silentFrom(listening, 200_000, 5_000, 3_000)).toBe(205_000);
  });

  it('remembers a bounded number of outages', () => {
    const listening = initListening();
    for (let i = 1; i <= 100; i++) passEntry(listening, { receivedAt: i * 10 * OUTAGE_MS });
    expect(listening.outages).toHaveLength(16);
  });
});

describe('the watch', () => {
  const GRACE = 0;
  const ref = (i: number) => ({ tenant: 'acme', device: `d-${i}` });

  it('takes out who is due, and nobody else, earliest first', () => {
    const watch = createSilenceWatch(100, GRACE);
    for (const i of [5, 3, 8, 1, 9, 2]) watch.expect(`k${i}`, ref(i), i * 1_000, 0);
    const listening = { logTime: 5_500, outages: [] };
    const out: string[] = [];
    for (let due = watch.nextDue(listening); due; due = watch.nextDue(listening)) out.push(due.device);
    expect(out).toEqual(['d-1', 'd-2', 'd-3', 'd-5']);
    expect(watch.size()).toBe(2);
  });

  it('looks at 50,000 busy devices without looking at all of them each time', () => {
    const watch = createSilenceWatch(100_000, GRACE);
    const expect1 = (round: number) => {
      for (let i = 0; i < 50_000; i++) watch.expect(`k${i}`, ref(i), round * 60_000, 360_000);
    };
    for (let round = 0; round < 20; round++) {
      expect1(round);
      expect(watch.nextDue({ logTime: round * 60_000, outages: [] })).toBeUndefined();
    }
    expect(watch.size()).toBe(50_000);
    expect(watch.nextDue({ logTime: 19 * 60_000 + 360_001, outages: [] })).toBeDefined();
  });

  it('takes no more devices than its bound', () => {
    const watch = createSilenceWatch(2, GRACE);
    expect([1, 2, 3].map((i) => watch.expect(`k${i}`, ref(i), 0, 1))).toEqual([true, true, false]);
    watch.forget('k1');
    expect(watch.expect('k3', ref(3), 0, 1)).toBe(true);
  });

  it('is earlier for a device that wakes up', () => {
    const watch = createSilenceWatch(10, GRACE);
    watch.expect('k', ref(1), 0, 7 * DAY_MS);
    watch.expect('k', ref(1), HOUR_MS, 6 * HOUR_MS);
    expect(watch.nextDue({ logTime: 8 * HOUR_MS, outages: [] })).toEqual(ref(1));
    expect(watch.nextDue({ logTime: 30 * DAY_MS, outages: [] })).toBeUndefined();
  });

  it('saves a shard at once when other devices are in it, and its times now and then', () => {
    const watch = createSilenceWatch(10, GRACE);
    watch.expect('k', ref(1), 0, 1_000);
    const shards = watch.changedShards(0, 60_000);
    expect(shards).toHaveLength(1);
    watch.noteSaved(shards, 100_000);
    watch.expect('k', ref(1), 500, 1_000);
    expect(watch.changedShards(100_500, 60_000)).toEqual([]);
    expect(watch.changedShards(170_000, 60_000)).toEqual(shards);
    expect(watch.linesOf(shards[0] as number)).toEqual([['acme', 'd-1', 500, 1_000]]);
  });
});
