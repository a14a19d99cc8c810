/**
 * What keeps alarms quiet, and what happens when it ends: maintenance windows, shelves, silent devices that explain others,
 * groups. Issue numbers name the complaints about other systems that a test answers.
 */
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openDatabase } from '../../api/db/database.ts';
import { applySeed } from '../../api/db/seed.ts';
import { createFindingsFollower } from '../../api/findings-follower.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import { alarmHarness, emptyAlarms } from '../support/alarm-harness.ts';
import { alertOf, memoryFindings, T0, TEST_KEYS, testSeed } from '../support/api-harness.ts';
import { manualClock, noMetrics, silentLogger } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const SECRET = `whsec_${Buffer.from('a secret of at least 24 bytes').toString('base64')}`;
const clock = manualClock(T0 + 60_000);

describeOnDatabases('alarms', clock, (database) => {
  const desk = alarmHarness(database, clock);

  beforeAll(async () => {
    const seed = testSeed((file) => {
      for (const tenant of file.tenants) {
        for (const centre of tenant.centres) centre.webhook = { url: 'http://127.0.0.1:9/hook', secret: SECRET };
        for (let n = 4; n <= 12; n++) {
          tenant.devices.push({ id: `fridge-${n}`, model: 'refrigerator', secret: `secret-of-fridge-${n}-0123456789` });
        }
      }
    });
    await applySeed(database(), seed, TEST_KEYS, clock);
  });
  beforeEach(() => emptyAlarms(database()));

  const cleared = (facts: Partial<AlertFinding> = {}) => alertOf({ kind: 'alertCleared', at: T0 + 1, ...facts });
  const silent = (device: string, facts: Partial<AlertFinding> = {}) =>
    alertOf({
      device,
      episode: `silent-${device}`,
      faultKey: 'noData',
      component: 'connection',
      severity: 'minor',
      ...facts,
    });

  describe('a maintenance window', () => {
    const window = (facts: object = {}) =>
      desk.addSilence({ from: clock.now(), until: clock.now() + HOUR_MS, ...facts });

    it('silences tickets and webhooks, and records everything all the same (tacticalrmm #1770)', async () => {
      await window();
      await desk.apply([alertOf()]);
      expect(await desk.tickets()).toEqual([]);
      expect(await desk.webhooks()).toEqual([]);
      expect(await desk.alarm('ep-1')).toMatchObject({
        state: 'open',
        annunciatedAt: null,
        evidence: { score: 0.999 },
      });
      expect(await desk.events('ep-1')).toEqual(['raised', 'held']);
    });

    it('ends by itself, says what it silenced, and acts on what is still active (goalert #3230)', async () => {
      const id = await window();
      await desk.apply([alertOf(), alertOf({ device: 'fridge-2', episode: 'gone' })]);
      await desk.apply([cleared({ device: 'fridge-2', episode: 'gone' })]);
      clock.advance(HOUR_MS);
      await desk.settle();
      expect(await desk.tickets()).toEqual(['ep-1 → SC-26-000001']);
      expect(await desk.events('ep-1')).toEqual(['raised', 'held', 'annunciated', 'released']);
      const [report] = await desk.reports();
      expect(report).toMatchObject({ silenceId: id, endedBy: 'system', silenced: 2, acted: 1 });
      expect(report?.items.map((one) => [one.alert, one.outcome])).toEqual([
        ['ep-1', 'ticket'],
        ['gone', 'cleared'],
      ]);
      const told = await desk.webhooks();
      expect(told.map((body) => body.type).sort()).toEqual(['silence.ended', 'ticket.opened']);
      expect((await desk.silences())[0]).toMatchObject({ endedBy: 'system', settleAt: null });
      // The evidence that the ticket asks for is that of the finding, not of the end of the window.
      expect((await desk.ticketRows())[0]).toMatchObject({ observedAt: T0 });
    });

    it('comes again each week, and says each time what it silenced (goalert #3230)', async () => {
      // Midnight: before the window of the day, whatever time the tests before have come to.
      clock.advance(DAY_MS - (clock.now() % DAY_MS));
      const weekly = {
        timeZone: 'Europe/Berlin',
        days: [1, 2, 3, 4, 5, 6, 7],
        from: '12:00',
        to: '16:00',
        last: clock.now() + 2 * DAY_MS,
      };
      await window({ weekly });
      await desk.apply([alertOf()]);
      clock.advance(HOUR_MS);
      await desk.settle();
      const [next] = await desk.silences();
      expect(next).toMatchObject({ endedAt: null });
      expect(next?.from).toBeGreaterThan(clock.now());
      expect(await desk.reports()).toHaveLength(1);
      clock.advance((next?.from ?? 0) - clock.now());
      await desk.apply([alertOf({ device: 'fridge-3', episode: 'second' })]);
      expect(await desk.events('second')).toEqual(['raised', 'held']);
      clock.advance(4 * HOUR_MS);
      await desk.settle();
      expect((await desk.reports()).map((report) => report.items.map((one) => one.alert))).toEqual([
        ['ep-1'],
        ['second'],
      ]);
      clock.advance(3 * DAY_MS);
      await desk.settle();
      expect((await desk.silences())[0]).toMatchObject({ settleAt: null, endedBy: 'system' });
    });

    it.each([
      ['a device', { device: 'fridge-1' }, ['ep-2', 'ep-3']],
      ['a model', { model: 'turbofan' }, ['ep-1', 'ep-2', 'ep-3']],
      ['a centre', { centre: 'south' }, ['ep-1', 'ep-3']],
      ['all', {}, []],
    ])('is as small as %s (goalert #2594)', async (_, scope, tickets) => {
      await window(scope);
      await desk.apply([1, 2, 3].map((n) => alertOf({ device: `fridge-${n}`, episode: `ep-${n}` })));
      expect((await desk.tickets()).map((line) => line.split(' ')[0])).toEqual(tickets);
    });

    it('stops running escalations; after it attention is asked for anew (goalert #2594)', async () => {
      await desk.apply([alertOf()]);
      const due = (await desk.alarm('ep-1'))?.escalateAt ?? 0;
      expect(due).toBe(clock.now() + 240 * MINUTE_MS);
      await desk.addSilence({ from: clock.now() + HOUR_MS, until: clock.now() + 10 * HOUR_MS });
      clock.advance(5 * HOUR_MS);
      await desk.settle();
      expect(await desk.events('ep-1')).toEqual(['raised', 'annunciated', 'held']);
      expect(await desk.alarm('ep-1')).toMatchObject({ escalateAt: null, escalationLevel: 0 });
      clock.advance(5 * HOUR_MS);
      await desk.settle();
      expect((await desk.reports())[0]?.items).toMatchObject([{ alert: 'ep-1', outcome: 'annunciated' }]);
      expect(await desk.alarm('ep-1')).toMatchObject({ escalateAt: clock.now() + 240 * MINUTE_MS });
      clock.advance(4 * HOUR_MS);
      await desk.settle();
      const reminders = (await desk.webhooks()).filter((body) => body.type === 'alert.changed');
      expect(reminders).toMatchObject([{ data: { change: 'escalated', level: 1, alert: { id: 'ep-1' } } }]);
    });

    it('says nothing where it silenced nothing', async () => {
      await window();
      clock.advance(HOUR_MS);
      await desk.settle();
      expect(await desk.webhooks()).toEqual([]);
      expect(await desk.reports()).toMatchObject([{ silenced: 0 }]);
    });

    it('holds back the reopening of a ticket thought repaired, too', async () => {
      await desk.apply([alertOf(), cleared()]);
      await database().withOwner((client) =>
        client.query(`SET ROLE presage_system; UPDATE tickets SET state = 'resolved'; RESET ROLE`),
      );
      await window();
      await desk.apply([alertOf({ episode: 'again', at: T0 + 5 })]);
      expect((await desk.ticketRows())[0]).toMatchObject({ state: 'resolved' });
      clock.advance(HOUR_MS);
      await desk.settle();
      expect((await desk.ticketRows())[0]).toMatchObject({ state: 'reopened' });
    });
  });

  describe('a shelf', () => {
    const shelve = (until: number) =>
      desk.addSilence({
        kind: 'shelve',
        device: 'fridge-1',
        faultKey: 'compressorBearingWear',
        from: clock.now(),
        until,
      });

    it('expires by itself, across restarts: its time is a row (phoebus #629)', async () => {
      await shelve(clock.now() + HOUR_MS);
      await desk.apply([alertOf()]);
      await desk.settle();
      expect(await desk.tickets()).toEqual([]);
      clock.advance(HOUR_MS - 1);
      await desk.settle();
      expect(await desk.tickets()).toEqual([]);
      clock.advance(1);
      // Another process on the same database, started after the moment has passed.
      const other = openDatabase({ url: database().url() }, { logger: silentLogger, clock });
      await other.start();
      await desk.settle(other);
      await other.stop();
      expect(await desk.tickets()).toEqual(['ep-1 → SC-26-000001']);
      expect(await desk.events('ep-1')).toEqual(['raised', 'shelved', 'held', 'annunciated', 'released', 'unshelved']);
    });

    it('is about the fault of the device: it holds when the alarm clears and comes again', async () => {
      await shelve(clock.now() + HOUR_MS);
      await desk.apply([alertOf(), cleared(), alertOf({ episode: 'ep-2', at: T0 + 2 })]);
      expect(await desk.tickets()).toEqual([]);
      expect(await desk.events('ep-2')).toEqual(['raised', 'shelved', 'held']);
      await desk.apply([alertOf({ episode: 'other', faultKey: 'evaporatorFanWear', component: 'evaporatorFan' })]);
      expect(await desk.tickets()).toEqual(['other → SC-26-000001']);
    });

    it('ends when the alarm gets worse than what was shelved', async () => {
      await shelve(clock.now() + HOUR_MS);
      await desk.apply([alertOf()]);
      await desk.apply([alertOf({ kind: 'alertUpdated', at: T0 + 2, severity: 'critical' })]);
      expect(await desk.tickets()).toEqual(['ep-1 → SC-26-000001']);
      expect((await desk.silences())[0]).toMatchObject({
        endedBy: 'system',
        endReason: 'its severity rose to critical',
      });
      await desk.settle();
      expect((await desk.reports())[0]).toMatchObject({ silenced: 1 });
    });
  });

  describe('a silent device', () => {
    const explained = async (id: string) => (await desk.alarm(id))?.suppressedBy;

    it('explains its own lesser alarms, and tells of them when it is back', async () => {
      await desk.apply([silent('fridge-1'), alertOf()]);
      expect(await explained('ep-1')).toBe('silent-fridge-1');
      expect(await explained('silent-fridge-1')).toBeNull();
      expect(await desk.tickets()).toEqual([]);
      await desk.apply([silent('fridge-1', { kind: 'alertCleared', at: T0 + 5 })]);
      expect(await explained('ep-1')).toBeNull();
      expect(await desk.tickets()).toEqual(['ep-1 → SC-26-000001']);
      expect(await desk.events('ep-1')).toEqual([
        'raised',
        'suppressed',
        'held',
        'unsuppressed',
        'annunciated',
        'released',
      ]);
    });

    it('explains those of all devices below it: a hub that is offline hides its forty sensors', async () => {
      for (const n of [2, 3, 4]) await desk.setDevice(`fridge-${n}`, { parent: n === 4 ? 'fridge-3' : 'fridge-1' });
      await desk.apply([
        silent('fridge-1', { severity: 'major' }),
        ...[2, 3, 4].map((n) => silent(`fridge-${n}`, { severity: 'major' })),
        alertOf({ device: 'fridge-5', episode: 'elsewhere' }),
      ]);
      expect(await Promise.all([2, 3, 4].map((n) => explained(`silent-fridge-${n}`)))).toEqual(
        Array(3).fill('silent-fridge-1'),
      );
      // One ticket for the hub, none for what is below it.
      expect((await desk.tickets()).map((line) => line.split(' ')[0])).toEqual(['elsewhere', 'silent-fridge-1']);
    });

    it('never hides what is critical or latched', async () => {
      await desk.setPolicy({ alarms: { latch: ['refrigerantLeak'] } });
      await desk.apply([
        silent('fridge-1'),
        alertOf({ severity: 'critical' }),
        alertOf({ episode: 'leak', faultKey: 'refrigerantLeak', component: 'refrigerantCircuit' }),
      ]);
      expect(await desk.tickets()).toHaveLength(2);
      expect([await explained('ep-1'), await explained('leak')]).toEqual([null, null]);
    });

    it('waits a moment for its parent to be the reason, in whatever order they are noticed', async () => {
      await desk.setDevice('fridge-2', { parent: 'fridge-1' });
      await desk.apply([silent('fridge-2', { severity: 'major' })]);
      expect(await desk.tickets()).toEqual([]);
      clock.advance(60_000);
      await desk.apply([silent('fridge-1', { severity: 'major' })]);
      clock.advance(60_000);
      await desk.settle();
      expect((await desk.tickets()).map((line) => line.split(' ')[0])).toEqual(['silent-fridge-1']);
      // The hub is back, this one is not: now it speaks for itself.
      await desk.apply([silent('fridge-1', { kind: 'alertCleared', at: T0 + 9 })]);
      expect((await desk.tickets()).map((line) => line.split(' ')[0])).toContain('silent-fridge-2');
    });

    it('tells of itself after that moment, when its parent is well', async () => {
      await desk.setDevice('fridge-2', { parent: 'fridge-1' });
      await desk.apply([silent('fridge-2', { severity: 'major' })]);
      clock.advance(120_000);
      await desk.settle();
      expect(await desk.tickets()).toEqual(['silent-fridge-2 → SC-26-000001']);
    });
  });

  describe('many units with one fault', () => {
    beforeEach(() => desk.setPolicy({ alarms: { group: { holdBelow: 'critical' } } }));

    const unit = (n: number, facts: Partial<AlertFinding> = {}) =>
      alertOf({ device: `fridge-${n}`, episode: `unit-${n}`, at: T0 + n, ...facts });
    const units = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => unit(from + n));
    const sameBatch = async () => {
      for (let n = 1; n <= 12; n++) await desk.setDevice(`fridge-${n}`, { batch: 'B7', firmware: '2.1.0' });
    };
    const told = async (type: string) => (await desk.webhooks()).filter((body) => body.type === type).length;

    it('are one group, counted once and told once, and later ones join it', async () => {
      await sameBatch();
      await desk.apply(units(1, 4));
      expect(await desk.groups()).toEqual([]);
      await desk.apply(units(5, 8));
      const [group] = await desk.groups();
      expect(group).toMatchObject({
        model: 'refrigerator',
        batch: 'B7',
        firmware: '2.1.0',
        exposed: 12,
        state: 'open',
      });
      expect(await desk.groups()).toHaveLength(1);
      const members = await Promise.all(units(1, 8).map(async ({ episode }) => (await desk.alarm(episode))?.groupId));
      expect(new Set(members)).toEqual(new Set([group?.id]));
      expect(await told('group.opened')).toBe(1);
      // The first four had theirs before anybody knew; the others wait for a decision.
      expect(await desk.tickets()).toHaveLength(4);
      await desk.apply([unit(9, { severity: 'critical' })]);
      expect(await desk.tickets()).toHaveLength(5);
    });

    it('get a ticket each by default: a group is no repair', async () => {
      await desk.setPolicy({});
      await sameBatch();
      await desk.apply(units(1, 8));
      expect(await desk.groups()).toHaveLength(1);
      expect(await desk.tickets()).toHaveLength(8);
    });

    it('are no group where batch or firmware differ', async () => {
      await sameBatch();
      await desk.setDevice('fridge-1', { batch: 'B8' });
      await desk.setDevice('fridge-2', { firmware: '2.2.0' });
      await desk.apply(units(1, 6));
      expect(await desk.groups()).toEqual([]);
      await desk.apply(units(7, 7));
      expect(await desk.groups()).toHaveLength(1);
    });

    it('get their tickets when nobody decides in time', async () => {
      await sameBatch();
      await desk.apply(units(1, 8));
      const before = (await desk.tickets()).length;
      clock.advance(24 * HOUR_MS);
      await desk.settle();
      expect([before, (await desk.tickets()).length]).toEqual([4, 8]);
      await desk.apply([unit(9)]);
      expect(await desk.tickets()).toHaveLength(9);
    });

    it('close when all are cleared, and say so once', async () => {
      await sameBatch();
      await desk.apply(units(1, 5));
      await desk.apply(units(1, 4).map((one) => ({ ...one, kind: 'alertCleared' as const, at: T0 + 50 })));
      expect((await desk.groups())[0]).toMatchObject({ state: 'open' });
      await desk.apply([unit(5, { kind: 'alertCleared', at: T0 + 60 })]);
      expect((await desk.groups())[0]).toMatchObject({ state: 'closed', closedAt: clock.now() });
      expect(await told('group.closed')).toBe(1);
      expect((await desk.holds()).filter((hold) => hold.endedAt === null)).toEqual([]);
    });
  });

  describe('a latched alarm', () => {
    it('stands after it has cleared, and hands its latch to the next episode of the fault', async () => {
      await desk.setPolicy({ alarms: { latch: ['compressorBearingWear'] } });
      await desk.apply([alertOf(), cleared()]);
      expect(await desk.alarm('ep-1')).toMatchObject({ state: 'cleared', latched: true, closedAt: null });
      await desk.apply([alertOf({ episode: 'ep-2', at: T0 + 5, confirmed: false })]);
      expect(await desk.alarm('ep-1')).toMatchObject({ latched: false, closedAt: clock.now() });
      expect(await desk.alarm('ep-2')).toMatchObject({ latched: true });
      expect(await desk.events('ep-1')).toEqual(['raised', 'latched', 'annunciated', 'cleared', 'carried']);
    });
  });

  describe('reminders', () => {
    it('come until somebody acknowledges, and not for ever', async () => {
      await desk.apply([alertOf({ severity: 'critical' })]);
      for (let n = 0; n < 6; n++) {
        clock.advance(30 * MINUTE_MS);
        await desk.settle();
      }
      const levels = (await desk.webhooks()).flatMap((body) => (body.type === 'alert.changed' ? body.data.level : []));
      expect(levels).toEqual([1, 2, 3]);
      expect(await desk.alarm('ep-1')).toMatchObject({ escalateAt: null });
    });
  });

  describe('two processes on one database', () => {
    const second = async () => {
      const other = openDatabase({ url: database().url() }, { logger: silentLogger, clock });
      await other.start();
      return other;
    };

    it('apply the same findings at the same moment: one alarm, one ticket (ThingsBoard #2986, #15583)', async () => {
      const other = await second();
      for (let n = 0; n < 12; n++) {
        const findings = [1, 2, 3].map((m) =>
          alertOf({ device: `fridge-${m}`, episode: `r${n}-${m}`, at: T0 + n * 10 }),
        );
        await Promise.all([desk.apply(findings), desk.apply(findings, other), desk.apply(findings)]);
        const ends = findings.map((one) => ({ ...one, kind: 'alertCleared' as const, at: one.at + 5 }));
        await Promise.all([desk.apply(ends, other), desk.apply(ends)]);
      }
      await other.stop();
      const raised = (await desk.eventRows()).filter((row) => row.type === 'raised').map((row) => row.alertId);
      expect(raised).toHaveLength(36);
      expect(new Set(raised).size).toBe(36);
      expect(await desk.ticketRows()).toHaveLength(3);
    });

    it('follow one log side by side from its first entry: every finding has its effect once', async () => {
      await desk.setPolicy({ alarms: { group: { minUnits: 100 } } });
      const other = await second();
      const findings = memoryFindings();
      for (let n = 0; n < 60; n++) {
        const device = `fridge-${1 + (n % 6)}`;
        const episode = `${device}-${Math.floor(n / 12)}`;
        const kind = Math.floor(n / 6) % 2 === 0 ? 'alertRaised' : 'alertCleared';
        findings.add(alertOf({ device, episode, kind, at: T0 + n * 1_000 }));
      }
      const deps = {
        clock,
        logger: silentLogger,
        metrics: noMetrics,
        findings,
        publicUrl: () => 'http://c',
        onNews() {},
      };
      const followers = [database(), other, database()].map((one) =>
        createFindingsFollower({ ...deps, database: one }, { idleMs: 5, batchMaxFindings: 3 }),
      );
      await Promise.all(followers.map((one) => one.start()));
      await waitFor('all to be at the end', () => followers.every((one) => one.position() === findings.end()));
      await Promise.all(followers.map((one) => one.stop()));
      await other.stop();
      const types = (await desk.eventRows()).map((row) => `${row.alertId} ${row.type}`);
      expect(types.filter((line) => line.endsWith(' raised'))).toHaveLength(30);
      expect(new Set(types.filter((line) => /raised|cleared/.test(line))).size).toBe(60);
      expect(await desk.ticketRows()).toHaveLength(6);
    });

    it('settle the end of one window at the same moment: one report, one ticket', async () => {
      const other = await second();
      await desk.addSilence({ from: clock.now(), until: clock.now() + HOUR_MS });
      await desk.apply([alertOf()]);
      clock.advance(HOUR_MS);
      await Promise.all([desk.settle(), desk.settle(other)]);
      await other.stop();
      expect(await desk.reports()).toHaveLength(1);
      expect(await desk.tickets()).toEqual(['ep-1 → SC-26-000001']);
      expect((await desk.events('ep-1')).filter((type) => type === 'annunciated')).toHaveLength(1);
    });
  });
});
