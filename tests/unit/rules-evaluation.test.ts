import { describe, expect, it } from 'vitest';
import { createCalendar } from '../../analytics/rules/schedule.ts';
import { fitsPattern } from '../../analytics/rules/scope.ts';
import { alertFinding } from '../../contract/ports/findings.ts';
import { HOUR, MINUTE, MONDAY, RuledDevice, ruleOf } from '../support/rule-device.ts';

const T = MONDAY;

describe('what users of other platforms miss', () => {
  it('OR between conditions (TB #11803, #7227)', () => {
    const device = new RuledDevice(
      'when compressorCurrentA > 8 A or freezerTempC > -5 degC and not doorOpen then major',
    );
    device.send(T, { compressorCurrentA: 3, freezerTempC: -2, doorOpen: true });
    expect(device.findings).toEqual([]);
    device.send(T + MINUTE, { doorOpen: false });
    expect(device.kinds()).toEqual(['alertRaised']);
    device.send(T + 2 * MINUTE, { freezerTempC: -18 });
    device.send(T + 3 * MINUTE, { compressorCurrentA: 9 });
    expect(device.kinds()).toEqual(['alertRaised', 'alertCleared', 'alertRaised']);
  });

  it('hysteresis: a value that dances around the limit raises one alert (TB #7943)', () => {
    const dance = [7.9, 8.1, 7.9, 8.1, 7.5, 8.2, 7.1, 8.1, 6.9];
    const plain = new RuledDevice('when compressorCurrentA > 8 A then major');
    const banded = new RuledDevice('when compressorCurrentA > 8 A until < 7 A then major');
    dance.forEach((value, i) => {
      plain.send(T + i * MINUTE, { compressorCurrentA: value });
      banded.send(T + i * MINUTE, { compressorCurrentA: value });
    });
    expect(plain.alerts()).toHaveLength(4);
    expect(banded.alerts()).toMatchObject([{ onset: T + MINUTE, clearedAt: T + 8 * MINUTE }]);
  });

  it('a duration that is not always 0 s: the onset is where the condition began (TB #14301)', () => {
    const device = new RuledDevice('when compressorCurrentA > 8 A for 10 min then major');
    for (let i = 0; i <= 10; i++) device.send(T + i * MINUTE, { compressorCurrentA: 9 });
    const [raised] = device.findings;
    expect(raised).toMatchObject({ at: T + 10 * MINUTE, onset: T });
    expect(raised?.evidence.rule).toMatchObject({ from: T, to: T + 10 * MINUTE });
  });

  it('durations in the time of the device, not of the server (TB #5173, #10590, #6773)', () => {
    const device = new RuledDevice('when compressorCurrentA > 8 A for 10 min then major');
    // A burst of old samples, all received in one second: nine minutes are not ten.
    for (let i = 0; i <= 9; i++)
      device.send(T + i * MINUTE, { compressorCurrentA: 9 }, { receivedAt: T + 5 * HOUR + i });
    expect(device.findings).toEqual([]);
    device.send(T + 10 * MINUTE, { compressorCurrentA: 9 }, { receivedAt: T + 5 * HOUR + 10 });
    expect(device.findings).toMatchObject([{ kind: 'alertRaised', at: T + 10 * MINUTE, onset: T }]);
    device.send(T + 11 * MINUTE, { compressorCurrentA: 3 }, { receivedAt: T + 5 * HOUR + 11 });
    expect(device.findings.at(-1)).toMatchObject({ kind: 'alertCleared', at: T + 11 * MINUTE });
  });

  it('no alert that starts after it ended (TB #10860)', () => {
    const device = new RuledDevice('when no data for 30 min or doorOpen for 10 min then minor');
    device.send(T, { doorOpen: true });
    device.wait(T + 2 * HOUR);
    for (let i = 1; i < 10; i++) device.send(T + i * 5 * MINUTE, { doorOpen: false }, { receivedAt: T + 2 * HOUR + i });
    const raisedAt = new Map<string, number>();
    for (const { episode, kind, onset, at } of device.findings) {
      if (kind === 'alertRaised') raisedAt.set(episode, at);
      expect(onset).toBeLessThanOrEqual(at);
      expect(at).toBeGreaterThanOrEqual(raisedAt.get(episode) ?? 0);
    }
  });

  it('schedule and duration fire without new data (TB PR #16118)', () => {
    const device = new RuledDevice(
      'when doorOpen for 10 min and during mon-fri 08:00-18:00 in Europe/Berlin then minor hold 12 h',
    );
    device.send(T + 5 * HOUR, { doorOpen: true });
    expect(device.wait(T + 6 * HOUR + 59 * MINUTE)).toEqual([]);
    // 08:00 in Berlin is 07:00 UTC.
    device.wait(T + 7 * HOUR + MINUTE);
    expect(device.findings).toMatchObject([{ kind: 'alertRaised', at: T + 7 * HOUR, onset: T + 7 * HOUR }]);
    device.wait(T + 17 * HOUR + MINUTE);
    expect(device.findings.at(-1)).toMatchObject({ kind: 'alertCleared', at: T + 17 * HOUR });
  });

  it('rules that go on after a restart (TB #10439)', () => {
    const text =
      'when count(compressorCurrentA > 8 A until < 7 A) >= 3 within 2 h or rate(freezerTempC) > 3 degC per hour or no data for 40 min then major';
    const steady = new RuledDevice(text);
    const restarted = new RuledDevice(text);
    restarted.restarts = true;
    for (let i = 0; i < 200; i++) {
      const at = T + i * 5 * MINUTE + (i > 100 ? HOUR : 0);
      const signals = {
        compressorCurrentA: 6 + 3 * Math.abs(Math.sin(i / 2)),
        freezerTempC: -18 + Math.max(0, i - 150) / 4,
      };
      for (const device of [steady, restarted]) {
        device.wait(at - MINUTE);
        device.send(at, signals);
      }
    }
    expect(steady.findings.length).toBeGreaterThan(2);
    expect(restarted.findings).toEqual(steady.findings);
  });

  it('severity per device (TB #15006)', () => {
    const rule = ruleOf('when doorOpen then minor, critical on device fridge-1, major on firmware "2.*"');
    const one = new RuledDevice([rule]);
    one.send(T, { doorOpen: true });
    expect(one.findings).toMatchObject([{ severity: 'critical' }]);
    const other = new RuledDevice([
      ruleOf('when doorOpen then minor, critical on device fridge-2, major on firmware "2.*"'),
    ]);
    other.firmware = '2.1.7';
    other.use([ruleOf('when doorOpen then minor, critical on device fridge-2, major on firmware "2.*"')]);
    other.send(T, { doorOpen: true });
    expect(other.findings).toMatchObject([{ severity: 'major' }]);
  });

  it('which rule made this alarm (mainflux #853)', () => {
    const device = new RuledDevice([
      ruleOf('when compressorCurrentA > 8 A for 10 min and not doorOpen then major', 'overload', 7),
    ]);
    for (let i = 0; i <= 10; i++) device.send(T + i * MINUTE, { compressorCurrentA: 9, doorOpen: false });
    const [finding] = device.findings;
    expect(alertFinding.parse(finding)).toEqual(finding);
    expect(finding).toMatchObject({
      faultKey: 'rule:overload',
      component: 'compressor',
      confirmed: true,
      evidence: {
        detector: { name: 'rule:overload', version: '7' },
        because: [{ signal: 'compressorCurrentA', value: 9, expected: 8, unit: 'A', contribution: 1 }],
        rule: {
          id: 'overload',
          version: 7,
          text: 'when compressorCurrentA > 8 A for 10 min and not doorOpen then major',
          tests: [
            { test: 'compressorCurrentA > 8 A', holds: true, value: 9, at: T + 10 * MINUTE },
            { test: 'doorOpen', holds: false, value: false },
          ],
        },
      },
    });
  });

  it('missing data that is not taken for recovery (AM #204, #3048, prometheus #14085)', () => {
    const device = new RuledDevice('when compressorCurrentA > 8 A then major');
    device.send(T, { compressorCurrentA: 9 });
    device.wait(T + 30 * 24 * HOUR);
    device.send(T + 30 * 24 * HOUR, { freezerTempC: -18 });
    expect(device.kinds()).toEqual(['alertRaised']);
    device.send(T + 30 * 24 * HOUR + MINUTE, { compressorCurrentA: 3 });
    expect(device.kinds()).toEqual(['alertRaised', 'alertCleared']);
  });
});

describe('conditions', () => {
  it('`for` needs the condition to hold throughout', () => {
    const device = new RuledDevice('when compressorCurrentA > 8 A for 10 min then major');
    for (let i = 0; i < 60; i++) device.send(T + i * MINUTE, { compressorCurrentA: i % 9 === 8 ? 7 : 9 });
    expect(device.findings).toEqual([]);
  });

  it('`for` over a group counts since the group holds', () => {
    const device = new RuledDevice('when (compressorCurrentA > 8 A or doorOpen) for 10 min then major');
    for (let i = 0; i <= 10; i++) device.send(T + i * MINUTE, { compressorCurrentA: i < 6 ? 9 : 3, doorOpen: i >= 5 });
    expect(device.findings).toMatchObject([{ at: T + 10 * MINUTE, onset: T }]);
  });

  it('a value that is too old is unknown: it neither raises nor keeps a duration running', () => {
    const device = new RuledDevice('when compressorCurrentA > 8 A for 10 min then major hold 5 min');
    device.send(T, { compressorCurrentA: 9 });
    device.send(T + 20 * MINUTE, { compressorCurrentA: 9 });
    device.wait(T + HOUR);
    expect(device.findings).toEqual([]);
  });

  it('an old value in one branch does not hide the other', () => {
    const device = new RuledDevice('when compressorCurrentA > 8 A or doorOpen then major hold 10 min');
    device.send(T, { compressorCurrentA: 3 });
    device.send(T + HOUR, { doorOpen: true });
    expect(device.kinds()).toEqual(['alertRaised']);
  });

  it('rate is the slope over its time, whatever the interval, in the unit of the rule', () => {
    for (const interval of [MINUTE, 5 * MINUTE, 10_000]) {
      const device = new RuledDevice(
        'when rate(freezerTempC) > 3.6 degF per hour over 1 h until < 1 K per hour then major'.replace(
          ' per hour then',
          ' then',
        ),
      );
      let raised: number | undefined;
      for (let at = 0; at <= 6 * HOUR; at += interval) {
        const value = -18 + (at < 2 * HOUR ? 0.5 * (at / HOUR) : 1 + 2.2 * ((at - 2 * HOUR) / HOUR));
        if (device.send(T + at, { freezerTempC: value }).length > 0) raised ??= at;
      }
      expect(raised, `every ${interval} ms`).toBeGreaterThan(2.3 * HOUR);
      expect(raised).toBeLessThan(3.1 * HOUR);
      expect(device.kinds()).toEqual(['alertRaised']);
    }
  });

  it('rate is not known before half of its time has passed', () => {
    const device = new RuledDevice('when rate(freezerTempC) > 1 degC per hour then major');
    for (let i = 0; i < 6; i++) device.send(T + i * 5 * MINUTE, { freezerTempC: -18 + 5 * i });
    expect(device.findings).toEqual([]);
  });

  it('count counts how often it began within the window', () => {
    const device = new RuledDevice('when count(doorOpen) >= 3 within 1 h then minor');
    for (let i = 0; i < 3; i++) {
      device.send(T + i * 25 * MINUTE, { doorOpen: true });
      device.send(T + i * 25 * MINUTE + MINUTE, { doorOpen: true });
      device.send(T + i * 25 * MINUTE + 2 * MINUTE, { doorOpen: false });
    }
    expect(device.findings).toMatchObject([{ kind: 'alertRaised', at: T + 50 * MINUTE, onset: T }]);
    // The first one leaves the window, without any new data.
    device.wait(T + HOUR + MINUTE);
    expect(device.findings.at(-1)).toMatchObject({ kind: 'alertCleared', at: T + HOUR });
  });

  it('too few within a window are found when the window has been watched', () => {
    const device = new RuledDevice('when count(mode = defrost) < 2 within 24 h then minor');
    for (let h = 0; h < 72; h++) {
      const defrosts = h < 36 && h % 10 === 9;
      device.send(T + h * HOUR, { mode: defrosts ? 'defrost' : 'cooling' });
    }
    expect(device.findings).toMatchObject([{ kind: 'alertRaised' }]);
    expect(device.findings[0]?.at).toBe(T + (19 + 24) * HOUR);
  });

  it('faults raise when reported, end when the device says so or when they are not repeated', () => {
    const device = new RuledDevice('when fault E05 then critical component=compressor');
    device.report(T, 'fault:E05');
    device.report(T + HOUR, 'fault:E05', false);
    device.report(T + 2 * HOUR, 'fault:E05');
    device.report(T + 3 * HOUR, 'fault:E09');
    device.wait(T + 27 * HOUR);
    expect(device.alerts()).toMatchObject([
      { onset: T, clearedAt: T + HOUR },
      { onset: T + 2 * HOUR, clearedAt: T + 26 * HOUR },
    ]);
    expect(device.findings[0]).toMatchObject({ component: 'compressor', severity: 'critical' });
  });

  it('every report counts, not only the first of a row', () => {
    const device = new RuledDevice('when count(fault E05) >= 3 within 24 h then critical');
    for (let i = 0; i < 3; i++) device.report(T + i * HOUR, 'fault:E05');
    expect(device.findings).toMatchObject([{ kind: 'alertRaised', at: T + 2 * HOUR }]);
  });

  it('no data of one signal is seen although others come', () => {
    const device = new RuledDevice('when no freezerTempC for 30 min then minor');
    for (let i = 0; i < 20; i++) device.send(T + i * 5 * MINUTE, i < 5 ? { freezerTempC: -18 } : { doorOpen: false });
    expect(device.findings).toMatchObject([{ kind: 'alertRaised', at: T + 50 * MINUTE, onset: T + 20 * MINUTE }]);
  });

  it('no data is raised while nothing comes, and cleared by the first sample', () => {
    const device = new RuledDevice('when no data for 30 min then minor');
    device.send(T, {});
    expect(device.wait(T + 30 * MINUTE)).toEqual([]);
    expect(device.wait(T + 31 * MINUTE)).toMatchObject([{ kind: 'alertRaised', at: T + 30 * MINUTE, onset: T }]);
    device.wait(T + 3 * HOUR);
    device.send(T + 4 * HOUR, {});
    expect(device.findings).toMatchObject([{}, { kind: 'alertCleared', at: T + 4 * HOUR }]);
  });

  it('no data is found in a recording that nobody waited for', () => {
    const device = new RuledDevice('when no data for 30 min then minor');
    for (const minute of [0, 5, 10, 70, 75])
      device.send(T + minute * MINUTE, {}, { receivedAt: T + 9 * HOUR + minute });
    expect(device.alerts()).toMatchObject([{ onset: T + 10 * MINUTE, clearedAt: T + 70 * MINUTE }]);
  });

  it('clear after keeps an alert open until the calm has lasted', () => {
    const device = new RuledDevice('when compressorCurrentA > 8 A then major clear after 10 min');
    for (const [minute, value] of [
      [0, 9],
      [5, 3],
      [9, 9],
      [12, 3],
      [20, 3],
      [22, 3],
    ] as const)
      device.send(T + minute * MINUTE, { compressorCurrentA: value });
    expect(device.alerts()).toMatchObject([{ onset: T, clearedAt: T + 22 * MINUTE }]);
  });

  it('a rule is about its models, devices and firmwares only', () => {
    for (const [text, applies] of [
      ['on device fridge-1 when doorOpen then minor', true],
      ['on device fridge-2, fridge-3 when doorOpen then minor', false],
      ['on model refrigerator and firmware "2.*" when doorOpen then minor', true],
      ['on firmware "3.*" when doorOpen then minor', false],
      ['on model washingMachine when motorCurrentA > 1 A then minor', false],
    ] as const) {
      const device = new RuledDevice([]);
      device.firmware = '2.0';
      device.use([ruleOf(text)]);
      device.send(T, { doorOpen: true });
      expect(device.findings.length > 0, text).toBe(applies);
    }
    expect(fitsPattern('2.1.7', '2.*.7*')).toBe(true);
    expect(fitsPattern('a'.repeat(5_000), `${'*a'.repeat(30)}b`)).toBe(false);
  });

  it('a rule that names a failure mode brings its component, cause and parts', () => {
    const device = new RuledDevice('when evaporatorFanRpm < 900 rpm then major failure=evaporatorFanWear');
    device.send(T, { evaporatorFanRpm: 500 });
    expect(device.findings).toMatchObject([
      {
        component: 'evaporatorFan',
        evidence: { likelyCauses: [{ faultKey: 'evaporatorFanWear', parts: [{ number: 'FAN-2214' }] }] },
      },
    ]);
  });
});

describe('a change of the rules', () => {
  it('ends the alerts of a rule that is gone or has another version, and says why', () => {
    const device = new RuledDevice([
      ruleOf('when doorOpen then minor', 'door', 1),
      ruleOf('when compressorCurrentA > 8 A then major', 'load', 1),
    ]);
    device.send(T, { doorOpen: true, compressorCurrentA: 9 });
    device.use([ruleOf('when doorOpen for 1 min then minor', 'door', 2)]);
    device.send(T + MINUTE, {});
    expect(device.findings.slice(2)).toMatchObject([
      { kind: 'alertCleared', faultKey: 'rule:door', evidence: { rule: { version: 1, correction: 'ruleChanged' } } },
      { kind: 'alertCleared', faultKey: 'rule:load', evidence: { rule: { correction: 'ruleRemoved' } } },
      { kind: 'alertRaised', faultKey: 'rule:door', onset: T, evidence: { rule: { version: 2 } } },
    ]);
  });

  it('leaves the other rules of the device alone', () => {
    const load = ruleOf('when compressorCurrentA > 8 A for 10 min then major', 'load', 1);
    const device = new RuledDevice([load]);
    for (let i = 0; i <= 12; i++) {
      if (i === 6) device.use([load, ruleOf('when doorOpen then minor', 'door', 1)]);
      device.send(T + i * MINUTE, { compressorCurrentA: 9 });
    }
    expect(device.findings).toMatchObject([{ faultKey: 'rule:load', onset: T, at: T + 10 * MINUTE }]);
  });
});

describe('schedules', () => {
  const berlin = createCalendar({ days: [1, 2, 3, 4, 5, 6, 7], from: 120, to: 180, zone: 'Europe/Berlin' });

  it('follow daylight saving: the hour that is left out never comes, the one that is repeated comes twice', () => {
    const minutesOn = (day: number): number => {
      let minutes = 0;
      for (let at = day - 3 * HOUR; at < day + 24 * HOUR; at += MINUTE) if (createInside(at)) minutes++;
      return minutes;
    };
    const createInside = (at: number): boolean => berlin.at(at).inside;
    // 02:00–03:00 of the last Sundays of March and October 2026, and of a Sunday in between.
    expect(minutesOn(Date.UTC(2026, 2, 29))).toBe(0);
    expect(minutesOn(Date.UTC(2026, 9, 25))).toBe(120);
    expect(minutesOn(Date.UTC(2026, 5, 7))).toBe(60);
  });

  it.each([
    ['Europe/Berlin', 8 * 60, 18 * 60, [1, 2, 3, 4, 5]],
    ['America/New_York', 22 * 60, 6 * 60, [5, 6]],
    ['Asia/Kathmandu', 0, 24 * 60, [7]],
    ['Australia/Lord_Howe', 90, 105, [1, 2, 3, 4, 5, 6, 7]],
    ['Pacific/Apia', 0, 24 * 60, [2]],
  ] as const)('in %s say until when their answer holds, and it does', (zone, from, to, days) => {
    const schedule = { days, from, to, zone };
    const weekday = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      weekday: 'short',
      hour: 'numeric',
      minute: 'numeric',
      hourCycle: 'h23',
    });
    const names = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
    /** The same asked minute by minute from the wall clock. */
    const expected = (at: number): boolean => {
      const parts = Object.fromEntries(weekday.formatToParts(at).map(({ type, value }) => [type, value]));
      const day = names.indexOf(parts.weekday ?? '') + 1;
      const minute = Number(parts.hour) * 60 + Number(parts.minute);
      const list: readonly number[] = days;
      if (to > from) return list.includes(day) && minute >= from && minute < to;
      return (list.includes(day) && minute >= from) || (list.includes(day === 1 ? 7 : day - 1) && minute < to);
    };
    const calendar = createCalendar(schedule);
    for (const start of [Date.UTC(2026, 2, 27), Date.UTC(2026, 9, 23), Date.UTC(2026, 3, 3)]) {
      for (let at = start; at < start + 5 * 24 * HOUR; at += 5 * MINUTE) {
        const { inside, until } = calendar.at(at);
        expect(inside, new Date(at).toISOString()).toBe(expected(at));
        expect(until).toBeGreaterThan(at);
        if (until < at + 7 * 24 * HOUR) expect(expected(until), `until ${new Date(until).toISOString()}`).toBe(!inside);
      }
    }
  });
});
