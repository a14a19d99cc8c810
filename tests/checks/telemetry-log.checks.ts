/** What every telemetry log must satisfy, whatever it is built on. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PARTITION_COUNT, partitionOf } from '../../contract/kernel/ids.ts';
import { ENTRY_KINDS, type Position, type TelemetryLog } from '../../contract/ports/telemetry-log.ts';
import { appended, barrierOf, logEntry, readAll, textOf } from '../support/log-entries.ts';

/** A log under test and what can be done to it. */
export interface LogUnderTest {
  readonly log: TelemetryLog;
  /** Stops it and opens it again on the same data. */
  reopen(): Promise<LogUnderTest>;
  /** Stops it and removes its data. */
  dispose(): Promise<void>;
}

export function checkTelemetryLog(name: string, open: () => Promise<LogUnderTest>): void {
  describe(`telemetry log: ${name}`, () => {
    let subject: LogUnderTest;
    beforeEach(async () => {
      subject = await open();
    });
    afterEach(() => subject.dispose());

    it('begins empty, at position 0', async () => {
      const { log } = subject;
      expect([log.start(), log.end()]).toEqual([0, 0]);
      expect(await log.read(0, { maxEntries: 10 })).toEqual({ entries: [], next: 0 });
    });

    it('gives back what was appended, unchanged and in order', async () => {
      const entries = ENTRY_KINDS.map((kind, i) =>
        logEntry({
          kind,
          device: `d:${i}`,
          model: i % 2 ? 'kühlschrank' : '',
          receivedAt: i,
          text: `{"n":${i},"t":"ü\\u0000"}`,
        }),
      );
      await Promise.all(entries.map((entry) => appended(subject.log, entry)));
      const read = await readAll(subject.log);
      expect(read.map(({ position: _position, body: _body, ...rest }) => rest)).toEqual(
        entries.map(({ body: _body, ...rest }) => rest),
      );
      expect(read.map(textOf)).toEqual(entries.map(textOf));
    });

    it('takes an empty body and a large one', async () => {
      const large = 'x'.repeat(1024 * 1024);
      await appended(subject.log, logEntry({ text: '' }));
      await appended(subject.log, logEntry({ text: large }));
      expect((await readAll(subject.log)).map((entry) => entry.body.byteLength)).toEqual([0, large.length]);
    });

    it('copies the body before append returns', async () => {
      const body = Buffer.from('{"kept":true}');
      const done = appended(subject.log, logEntry({ body }));
      body.fill(0);
      await done;
      expect((await readAll(subject.log)).map(textOf)).toEqual(['{"kept":true}']);
    });

    it('calls back in order, with rising positions that are those of reading, never before append returned', async () => {
      const positions: Position[] = [];
      let returned = 0;
      await Promise.all(
        Array.from({ length: 50 }, (_, i) => {
          const done = appended(subject.log, logEntry({ text: `${i}` })).then((position) => {
            expect(returned).toBe(50);
            positions.push(position);
          });
          returned++;
          return done;
        }),
      );
      expect(positions).toEqual([...positions].sort((a, b) => a - b));
      expect(new Set(positions).size).toBe(50);
      expect((await readAll(subject.log)).map((entry) => entry.position)).toEqual(positions);
      expect(subject.log.end()).toBe(positions.at(-1));
    });

    it('calls a barrier back once everything before it is durable', async () => {
      const order: string[] = [];
      const first = appended(subject.log, logEntry()).then(() => order.push('entry'));
      const barrier = barrierOf(subject.log).then(() => order.push('barrier'));
      await Promise.all([first, barrier]);
      expect(order).toEqual(['entry', 'barrier']);
      await barrierOf(subject.log);
    });

    it('reads on from any position that it gave', async () => {
      const { log } = subject;
      for (let i = 0; i < 20; i++) await appended(log, logEntry({ text: `${i}` }));
      const all = await readAll(log);
      for (const [i, entry] of all.entries()) {
        expect((await readAll(log, entry.position, 3)).map(textOf)).toEqual(all.slice(i + 1).map(textOf));
      }
    });

    it('lets several readers stand at the same place', async () => {
      const { log } = subject;
      for (let i = 0; i < 10; i++) await appended(log, logEntry({ text: `${i}` }));
      const [a, b] = await Promise.all([readAll(log, 0, 2), readAll(log, 0, 2)]);
      expect(a.map(textOf)).toEqual(b.map(textOf));
      expect(a).toHaveLength(10);
    });

    it('passes over entries of other kinds and still moves on', async () => {
      const { log } = subject;
      const kinds = ['telemetry', 'birth', 'telemetry', 'quarantine', 'telemetry'] as const;
      for (const kind of kinds) await appended(log, logEntry({ kind }));
      const found: string[] = [];
      for (let position = 0; position < log.end(); ) {
        const batch = await log.read(position, { maxEntries: 10, kinds: new Set(['birth', 'quarantine']) });
        found.push(...batch.entries.map((entry) => entry.kind));
        position = batch.next;
      }
      expect(found).toEqual(['birth', 'quarantine']);
    });

    it('passes over entries of other partitions and still moves on', async () => {
      const { log } = subject;
      const devices = Array.from({ length: 40 }, (_, i) => `device-${i}`);
      for (const device of devices) await appended(log, logEntry({ device }));
      const partitions = new Set([...Array(PARTITION_COUNT).keys()].filter((partition) => partition % 2 === 0));
      const found: string[] = [];
      let position = 0;
      for (;;) {
        const batch = await log.read(position, { maxEntries: 5, partitions });
        if (batch.next === position) break;
        found.push(...batch.entries.map((entry) => entry.device));
        position = batch.next;
      }
      expect(position).toBe(log.end());
      expect(found).toEqual(devices.filter((device) => partitions.has(partitionOf({ tenant: 'acme', device }))));
    });

    it('tells listeners of the new end, until they are removed', async () => {
      const ends: Position[] = [];
      const remove = subject.log.onDurable((end) => ends.push(end));
      const position = await appended(subject.log, logEntry());
      await barrierOf(subject.log);
      expect(ends).toContain(position);
      remove();
      const heard = ends.length;
      await appended(subject.log, logEntry());
      await barrierOf(subject.log);
      expect(ends).toHaveLength(heard);
    });

    it('remembers what consumers have finished, and how far each is behind', async () => {
      const { log } = subject;
      const first = await appended(log, logEntry());
      const second = await appended(log, logEntry());
      expect(log.committed('store')).toBe(0);
      await log.commit('store', first);
      expect(log.committed('store')).toBe(first);
      expect(log.lagBytes('store')).toBe(second - first);
      expect(log.lagBytes('analytics')).toBe(second);
      await log.commit('store', second);
      await log.commit('store', first);
      expect(log.committed('store')).toBe(second);
    });

    it('keeps entries, commits and rising positions when it is opened again', async () => {
      const before = await appended(subject.log, logEntry({ text: 'before' }));
      await subject.log.commit('store', before);
      subject = await subject.reopen();
      expect(subject.log.end()).toBe(before);
      expect(subject.log.committed('store')).toBe(before);
      const after = await appended(subject.log, logEntry({ text: 'after' }));
      expect(after).toBeGreaterThan(before);
      expect((await readAll(subject.log)).map(textOf)).toEqual(['before', 'after']);
    });
  });
}
