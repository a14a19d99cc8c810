import { afterEach, describe, expect, it } from 'vitest';
import { type Analytics, type AnalyticsOptions, createAnalytics } from '../../analytics/create-analytics.ts';
import { findModel } from '../../contract/devices/catalogue.ts';
import { seededRandom } from '../../contract/kernel/random.ts';
import type { DeviceCheckpoint } from '../../contract/ports/analytics.ts';
import type { AlertFinding, Finding } from '../../contract/ports/findings.ts';
import { orderEntry, type RuleOrder } from '../../contract/ports/orders.ts';
import type { RunnableRule } from '../../contract/ports/rules.ts';
import type { EntryKind, Position } from '../../contract/ports/telemetry-log.ts';
import type { Signals } from '../../contract/wire/payloads.ts';
import {
  MemoryCheckpoints,
  MemoryFindings,
  MemoryLog,
  NO_METRICS,
  QUIET_LOGGER,
} from '../support/analytics-harness.ts';
import { HOUR, MINUTE, MONDAY, ruleOf } from '../support/rule-device.ts';

const T = MONDAY;
const DEVICES = ['fridge-0', 'fridge-1', 'fridge-2'];

/** A log with whatever an installation logs. */
class HouseLog extends MemoryLog {
  #orders = 0;

  put(kind: EntryKind, device: string, receivedAt: number, body: object): void {
    const position = this.end() + 100;
    const entry = { kind, tenant: 'acme', device, model: 'refrigerator', receivedAt, position };
    this.entries.push({ ...entry, body: new TextEncoder().encode(JSON.stringify(body)) });
  }

  order(receivedAt: number, rule: string, version: number, runs: RunnableRule | null, tenant = 'acme'): RuleOrder {
    const id = `00000000-0000-4000-8000-${String(++this.#orders).padStart(12, '0')}`;
    const order: RuleOrder = { kind: 'rule', id, tenant, at: receivedAt, actor: 'anna', rule, version, runs };
    this.entries.push({ ...orderEntry(order, receivedAt), position: this.end() + 100 });
    return order;
  }

  send(device: string, seq: number, at: number, signals: Signals, receivedAt = at): void {
    this.put('telemetry', device, receivedAt, { boot: 'b', seq, t: at, s: [[0, signals]] });
  }
}

class KilledCheckpoints extends MemoryCheckpoints {
  /** From this save on nothing reaches the disk any more: the process was killed there and does not know. */
  lastSave = Number.POSITIVE_INFINITY;

  override save(changed: readonly DeviceCheckpoint[], position: Position): Promise<void> {
    if (this.saves >= this.lastSave) return Promise.resolve();
    return super.save(changed, position);
  }
}

class House {
  readonly checkpoints = new KilledCheckpoints();
  readonly findings = new MemoryFindings();
  now = 0;
  #running: Analytics | undefined;

  async read(log: MemoryLog, options: Partial<AnalyticsOptions> = {}): Promise<Analytics> {
    await this.stop();
    const clock = { now: () => Math.max(this.now, log.entries.at(-1)?.receivedAt ?? 0) };
    this.#running = createAnalytics(
      {
        log,
        checkpoints: this.checkpoints,
        findings: this.findings,
        findModel,
        prognosersFor: () => [],
        clock,
        logger: QUIET_LOGGER,
        metrics: NO_METRICS,
      },
      { pollMs: 1, ...options },
    );
    await this.#running.start();
    await this.#running.drain();
    return this.#running;
  }

  async stop(): Promise<void> {
    await this.#running?.stop();
    this.#running = undefined;
  }

  alerts(): AlertFinding[] {
    return rulesOnly(this.findings.unique());
  }
}

const rulesOnly = (findings: readonly Finding[]): AlertFinding[] =>
  findings.filter(
    (one): one is AlertFinding =>
      one.kind !== 'prediction' && one.kind !== 'shadowAlert' && one.faultKey.startsWith('rule:'),
  );
const brief = ({ kind, device, faultKey, at }: AlertFinding): string =>
  `${kind} ${device} ${faultKey} ${(at - T) / MINUTE}`;

const houses: House[] = [];
afterEach(async () => {
  for (const house of houses.splice(0)) await house.stop();
});

async function readAll(log: MemoryLog, options: Partial<AnalyticsOptions> = {}): Promise<House> {
  const house = new House();
  houses.push(house);
  await house.read(log, options);
  return house;
}

/** A day of three devices with doors, faults, births, silence, stragglers and changing rules. */
function busyDay(): HouseLog {
  const random = seededRandom(11);
  const log = new HouseLog();
  const events: { at: number; do: () => void }[] = [];
  const plan = (at: number, act: () => void): void => void events.push({ at, do: act });
  const rules = {
    load: 'when compressorCurrentA > 8 A for 10 min then major',
    door: 'when doorOpen for 8 min or count(doorOpen) >= 4 within 2 h then minor, major on firmware "2.*"',
    silent: 'when no data for 25 min then minor',
    code: 'when count(fault E05) >= 2 within 3 h then critical',
  };
  const versions = new Map<string, number>();
  const order = (at: number, id: keyof typeof rules, on: boolean, text = rules[id]): void => {
    const version = (versions.get(id) ?? 0) + 1;
    versions.set(id, version);
    plan(at, () => log.order(at, id, version, on ? ruleOf(text, id, version) : null));
  };
  order(T + MINUTE, 'load', true);
  order(T + MINUTE, 'door', true);
  order(T + MINUTE, 'silent', true);
  order(T + 2 * HOUR, 'code', true);
  order(T + 8 * HOUR + 3 * MINUTE, 'load', true, 'when compressorCurrentA > 6 A for 5 min then minor');
  order(T + 11 * HOUR, 'door', false);
  order(T + 14 * HOUR, 'silent', true, 'when no data for 45 min then minor');
  order(T + 16 * HOUR, 'door', true);
  for (const device of DEVICES) {
    plan(T + HOUR, () =>
      log.put('birth', device, T + HOUR, {
        v: 1,
        boot: 'b',
        t: T + HOUR,
        firmware: device === 'fridge-1' ? '2.0' : '1.9',
      }),
    );
    for (let i = 0; i < 288; i++) {
      const at = T + i * 5 * MINUTE + Math.floor(random() * MINUTE);
      if (device === 'fridge-2' && i % 60 > 48) continue;
      const delay = random() < 0.1 ? Math.floor(random() * 9 * MINUTE) : Math.floor(random() * 2_000);
      const signals = { compressorCurrentA: 4 + 5 * Math.abs(Math.sin(i / 9)), doorOpen: random() < 0.2 };
      plan(at + delay, () => log.send(device, i, at, signals, at + delay));
      if (random() < 0.05) {
        plan(at + 500, () =>
          log.put('event', device, at + 500, { v: 1, boot: 'b', seq: i, t: at, faults: [{ code: 'E05' }] }),
        );
      }
    }
  }
  for (const event of events.sort((a, b) => a.at - b.at)) event.do();
  return log;
}

describe('rules in analytics', () => {
  it('hold from their place in the log on, one version after the other, and end with it', async () => {
    const log = new HouseLog();
    const door = ruleOf('when doorOpen then minor', 'door', 1);
    log.send('fridge-0', 0, T, { doorOpen: true });
    log.order(T + 1_000, 'door', 1, door);
    log.send('fridge-0', 1, T + MINUTE, { doorOpen: true });
    log.order(T + 2 * MINUTE, 'door', 2, ruleOf('when doorOpen then major', 'door', 2));
    log.send('fridge-0', 2, T + 3 * MINUTE, { doorOpen: true });
    log.order(T + 4 * MINUTE, 'door', 3, null);
    log.send('fridge-0', 3, T + 5 * MINUTE, { doorOpen: true });
    const { alerts } = { alerts: (await readAll(log)).alerts() };
    expect(alerts.map((one) => [one.kind, one.severity, one.evidence.rule?.version])).toEqual([
      ['alertRaised', 'minor', 1],
      ['alertCleared', 'minor', 1],
      ['alertRaised', 'major', 2],
      ['alertCleared', 'major', 2],
    ]);
  });

  it('are of their tenant only', async () => {
    const log = new HouseLog();
    log.order(T, 'door', 1, ruleOf('when doorOpen then minor', 'door', 1), 'globex');
    log.send('fridge-0', 1, T + MINUTE, { doorOpen: true });
    expect((await readAll(log)).alerts()).toEqual([]);
  });

  it('take an order that stands in the log twice, or late, at its first place', async () => {
    const log = new HouseLog();
    log.order(T, 'door', 2, null);
    log.order(T, 'door', 1, ruleOf('when doorOpen then minor', 'door', 1));
    log.send('fridge-0', 1, T + MINUTE, { doorOpen: true });
    expect((await readAll(log)).alerts()).toEqual([]);
  });

  it('hear of faults, and of the firmware from births', async () => {
    const log = new HouseLog();
    log.order(T, 'code', 1, ruleOf('on firmware "2.*" when fault E05 then critical', 'code', 1));
    for (const device of DEVICES) log.send(device, 0, T, { doorOpen: false });
    log.put('birth', 'fridge-1', T + 1, { v: 1, boot: 'b', t: T + 1, firmware: '2.4' });
    for (const device of DEVICES) {
      log.put('event', device, T + MINUTE, {
        v: 1,
        boot: 'b',
        seq: 1,
        t: T + MINUTE,
        faults: [{ code: 'E05', status: { confirmed: true } }],
      });
    }
    log.put('event', 'fridge-1', T + HOUR, {
      v: 1,
      boot: 'b',
      seq: 2,
      t: T + HOUR,
      faults: [{ code: 'E05', status: { testFailed: false, confirmed: true } }],
    });
    expect((await readAll(log)).alerts().map(brief)).toEqual([
      'alertRaised fridge-1 rule:code 1',
      'alertCleared fridge-1 rule:code 60',
    ]);
  });

  it('raise no data without any entry of the device, and once, however often it is restarted', async () => {
    const log = new HouseLog();
    log.order(T, 'silent', 1, ruleOf('when no data for 25 min then minor', 'silent', 1));
    log.send('fridge-0', 0, T, { doorOpen: false });
    for (let i = 1; i <= 20; i++) log.send('fridge-1', i, T + i * 2 * MINUTE, { doorOpen: false });
    const house = await readAll(log);
    expect(house.alerts().map(brief)).toEqual(['alertRaised fridge-0 rule:silent 25']);
    for (let i = 21; i <= 30; i++) {
      log.send('fridge-1', i, T + i * 2 * MINUTE, { doorOpen: false });
      await house.read(log);
    }
    expect(house.alerts()).toHaveLength(1);
    log.send('fridge-0', 1, T + 61 * MINUTE, { doorOpen: false });
    await house.read(log);
    expect(house.alerts().map(brief).slice(1)).toEqual(['alertCleared fridge-0 rule:silent 61']);
  });

  it('do not take our own outage for silence of the devices', async () => {
    const log = new HouseLog();
    log.order(T, 'silent', 1, ruleOf('when no data for 25 min then minor', 'silent', 1));
    for (const device of DEVICES) log.send(device, 0, T, { doorOpen: false });
    const house = await readAll(log);
    house.now = T + 3 * HOUR;
    await house.read(log);
    for (const device of DEVICES) log.send(device, 1, T + 3 * HOUR, { doorOpen: false });
    await house.read(log);
    expect(house.alerts()).toEqual([]);
  });

  it('end their alerts when the device becomes a model that they are not about', async () => {
    for (const options of [{}, { maxDevices: 0, batchEntries: 1, saveEveryEntries: 1 }]) {
      const log = new HouseLog();
      log.order(T, 'door', 1, ruleOf('on model refrigerator when doorOpen then minor', 'door', 1));
      log.send('fridge-0', 0, T, { doorOpen: true });
      log.append({ tenant: 'acme', device: 'fridge-0' }, 'washingMachine', 1, T + MINUTE, { motorCurrentA: 1 });
      expect((await readAll(log, options)).alerts().map(brief)).toEqual([
        'alertRaised fridge-0 rule:door 0',
        'alertCleared fridge-0 rule:door 0',
      ]);
    }
  });

  it('clear the alerts of a rule that is gone although the device is silent', async () => {
    const log = new HouseLog();
    log.order(T, 'door', 1, ruleOf('when doorOpen then minor', 'door', 1));
    log.send('fridge-0', 0, T, { doorOpen: true });
    const house = await readAll(log);
    log.order(T + MINUTE, 'door', 2, null);
    log.send('fridge-1', 0, T + 2 * MINUTE, {});
    await house.read(log);
    expect(house.alerts().map(({ kind, evidence }) => [kind, evidence.rule?.correction])).toEqual([
      ['alertRaised', undefined],
      ['alertCleared', 'ruleRemoved'],
    ]);
  });

  it('say the same in one go, in small steps with few devices in memory, and after 40 kills', async () => {
    const log = busyDay();
    const whole = await readAll(log);
    const expected = whole
      .alerts()
      .map((one) => JSON.stringify(one))
      .sort();
    expect(whole.alerts().length).toBeGreaterThan(20);
    expect([...new Set(whole.alerts().map(({ faultKey }) => faultKey))].sort()).toEqual([
      'rule:code',
      'rule:door',
      'rule:load',
      'rule:silent',
    ]);

    const cramped = await readAll(log, { maxDevices: 1, batchEntries: 7, saveEveryEntries: 20 });
    expect(
      cramped
        .alerts()
        .map((one) => JSON.stringify(one))
        .sort(),
    ).toEqual(expected);

    const killed = new House();
    houses.push(killed);
    const random = seededRandom(5);
    for (let life = 0; life < 40; life++) {
      // Each life sees a little more of the log, and dies at a save that it does not know of.
      const part = new MemoryLog();
      part.entries.push(...log.entries.slice(0, Math.floor((log.entries.length * (life + 1)) / 40)));
      killed.checkpoints.lastSave = killed.checkpoints.saves + Math.floor(random() * 4);
      await killed.read(part, { batchEntries: 5, saveEveryEntries: 10 });
      await killed.stop();
    }
    killed.checkpoints.lastSave = Number.POSITIVE_INFINITY;
    await killed.read(log);
    expect(
      killed
        .alerts()
        .map((one) => JSON.stringify(one))
        .sort(),
    ).toEqual(expected);
  });
});
