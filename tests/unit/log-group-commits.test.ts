/** Group commits of the log: two writes under way, called back in order, whatever order the disk ends them in. */
import { cp, mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LogDisk, nodeDisk } from '../../ingest/log/log-disk.ts';
import { listSegments, SEGMENT_HEADER_BYTES } from '../../ingest/log/segment-files.ts';
import { openSegmentLog, type SegmentLog, type SegmentLogOptions } from '../../ingest/log/segment-log.ts';
import { manualClock, noMetrics, silentLogger } from '../support/fake-services.ts';
import { appended, barrierOf, logEntry, readAll, textOf } from '../support/log-entries.ts';
import { waitFor } from '../support/wait-for.ts';

const needs = { clock: manualClock(0), logger: silentLogger, metrics: noMetrics };
let folder: string;
let opened: SegmentLog[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'presage-commits-'));
});
afterEach(async () => {
  await Promise.all(opened.map((log) => log.stop()));
  opened = [];
  await rm(folder, { recursive: true });
});

async function openLog(options: SegmentLogOptions = {}, name = 'log'): Promise<SegmentLog> {
  const log = openSegmentLog({ directory: join(folder, name), ...needs }, options);
  opened.push(log);
  await log.start();
  return log;
}

interface HeldWrite {
  /** Lets it reach the disk. */
  pass(): Promise<void>;
  fail(code: string): void;
}

/** A disk whose writes of entries wait until the test decides. */
function heldDisk() {
  const held: HeldWrite[] = [];
  const write: LogDisk['write'] = (fd, buffer, length, offset) => {
    if (offset < SEGMENT_HEADER_BYTES) return nodeDisk.write(fd, buffer, length, offset);
    return new Promise((resolve, reject) => {
      held.push({
        pass: () => nodeDisk.write(fd, buffer, length, offset).then(resolve),
        fail: (code) => reject(Object.assign(new Error(`${code}: write`), { code, syscall: 'write' })),
      });
    });
  };
  return { held, disk: { ...nodeDisk, write } };
}

const round = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

/** Two groups under way, a third entry gathered behind them; `outcomes` in the order in which they were told. */
async function twoUnderWay() {
  const { held, disk } = heldDisk();
  const segmentLog = await openLog({ disk });
  const outcomes: string[] = [];
  const all: Promise<void>[] = [];
  for (const text of ['first', 'second', 'third']) {
    const told = appended(segmentLog.log, logEntry({ text })).then(
      () => void outcomes.push(text),
      (error: { code: string }) => void outcomes.push(`${text}: ${error.code}`),
    );
    all.push(told);
    await round();
  }
  expect(held).toHaveLength(2);
  return { ...segmentLog, held: held as [HeldWrite, HeldWrite, ...HeldWrite[]], outcomes, told: Promise.all(all) };
}

describe('group commits', () => {
  it('writes a second group while the first is on its way, and no third', async () => {
    const { held, told, outcomes } = await twoUnderWay();
    await held[0].pass();
    await waitFor('the third write', () => held.length === 3);
    await Promise.all([held[1].pass(), held[2]?.pass()]);
    await told;
    expect(outcomes).toEqual(['first', 'second', 'third']);
  });

  it('acknowledges nothing before what came earlier is durable too', async () => {
    const { held, told, outcomes, log } = await twoUnderWay();
    const before = log.end();
    await held[1].pass();
    await round();
    expect(outcomes).toEqual([]);
    expect(log.end()).toBe(before);
    await held[0].pass();
    await waitFor('the third write', () => held.length === 3);
    expect(outcomes).toEqual(['first', 'second']);
    await held[2]?.pass();
    await told;
  });

  it('calls a waiter back behind what was under way when it came', async () => {
    const { held, told, log } = await twoUnderWay();
    let passed = false;
    const waiting = barrierOf(log).then(() => {
      passed = true;
    });
    await held[0].pass();
    await waitFor('the third write', () => held.length === 3);
    await held[2]?.pass();
    await round();
    expect(passed).toBe(false);
    await held[1].pass();
    await Promise.all([told, waiting]);
    expect(passed).toBe(true);
  });

  it.each([
    ['the later one was durable already', [1, 0]],
    ['the later one is still under way', [0, 1]],
  ])('fails everything behind a failed write, also when %s', async (_name, order) => {
    const { held, told, outcomes, log, readiness } = await twoUnderWay();
    for (const index of order) {
      if (index === 0) held[0].fail('EIO');
      else await held[1].pass();
    }
    await told;
    expect(outcomes).toEqual(['first: LOG_FAILED', 'second: LOG_FAILED', 'third: LOG_FAILED']);
    expect(readiness().ok).toBe(false);
    expect(await readAll(log)).toEqual([]);
  });

  it('keeps what was durable before a failed write', async () => {
    const { held, told, outcomes, log } = await twoUnderWay();
    held[1].fail('EIO');
    await held[0].pass();
    await told;
    expect(outcomes).toEqual(['first', 'second: LOG_FAILED', 'third: LOG_FAILED']);
    expect((await readAll(log)).map(textOf)).toEqual(['first']);
  });

  it('cuts off both groups when the disk was full for the first, and goes on', async () => {
    const { held, told, outcomes, log, readiness } = await twoUnderWay();
    held[0].fail('ENOSPC');
    await held[1].pass();
    await told;
    expect(outcomes).toEqual(['first: LOG_FULL', 'second: LOG_FULL', 'third: LOG_FULL']);
    await waitFor('room', () => readiness().ok, 10_000);
    const again = appended(log, logEntry({ text: 'again' }));
    await waitFor('a write', () => held.length === 3);
    await held[2]?.pass();
    await again;
    expect((await readAll(log)).map(textOf)).toEqual(['again']);
    await cp(join(folder, 'log'), join(folder, 'copy'), { recursive: true });
    expect((await readAll((await openLog({}, 'copy')).log)).map(textOf)).toEqual(['again']);
  });

  it('takes a hole that a power cut left before a later group for what it is: never acknowledged', async () => {
    const { held, told, log } = await twoUnderWay();
    const from = log.end();
    await held[1].pass();
    await cp(join(folder, 'log'), join(folder, 'cut'), { recursive: true });
    const file = await open(listSegments(join(folder, 'cut')).at(-1)?.path ?? '', 'r');
    const { size } = await file.stat();
    await file.close();
    const again = await openLog({}, 'cut');
    expect(again.recovered()).toEqual({ droppedBytes: size - SEGMENT_HEADER_BYTES - from, lostBytes: 0 });
    expect(await readAll(again.log)).toEqual([]);
    await Promise.all([held[0].pass(), waitFor('the third write', () => held.length === 3)]);
    await held[2]?.pass();
    await told;
  });

  it('begins a new segment only when nothing else is under way', async () => {
    const { held, disk } = heldDisk();
    const { log } = await openLog({ disk, segmentBytes: 500, maxBytes: 1_000_000 });
    const told = [appended(log, logEntry({ text: 'x'.repeat(400) }))];
    await round();
    told.push(appended(log, logEntry({ text: 'y'.repeat(400) })));
    await round();
    expect(held).toHaveLength(1);
    await held[0]?.pass();
    await waitFor('the second write', () => held.length === 2);
    await held[1]?.pass();
    await Promise.all(told);
    expect(await readdir(join(folder, 'log'))).toHaveLength(2);
    expect(await readAll(log)).toHaveLength(2);
  });

  it('ends when it is stopped with writes under way, and all of them are told', async () => {
    const { held, told, outcomes, stop } = await twoUnderWay();
    const stopped = stop();
    await held[1].pass();
    await held[0].pass();
    await waitFor('the third write', () => held.length === 3);
    await held[2]?.pass();
    await Promise.all([stopped, told]);
    expect(outcomes).toEqual(['first', 'second', 'third']);
  });

  it('keeps every acknowledged entry in every copy of the files, however writes overtake each other', async () => {
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(3), fc.nat(3)), { minLength: 1, maxLength: 12 }), async (steps) => {
        const name = `run-${runs++}`;
        const delay: LogDisk['write'] = async (fd, buffer, length, offset) => {
          const waits = offset < SEGMENT_HEADER_BYTES ? 0 : (steps[offset % steps.length]?.[1] ?? 0);
          await new Promise((resolve) => setTimeout(resolve, waits));
          await nodeDisk.write(fd, buffer, length, offset);
        };
        const { log } = await openLog(
          { disk: { ...nodeDisk, write: delay }, segmentBytes: 2_000, maxBytes: 1_000_000 },
          name,
        );
        const acknowledged: string[] = [];
        let count = 0;
        const all: Promise<unknown>[] = [];
        for (const [entries] of steps) {
          for (let i = 0; i <= entries; i++) {
            const text = `${count++}`;
            all.push(appended(log, logEntry({ text })).then(() => acknowledged.push(text)));
          }
          await new Promise(setImmediate);
        }
        await round();
        const sure = [...acknowledged];
        await cp(join(folder, name), join(folder, `${name}-cut`), { recursive: true });
        await Promise.all(all);
        const kept = (await readAll((await openLog({}, `${name}-cut`)).log)).map(textOf);
        expect(kept.slice(0, sure.length)).toEqual(sure);
        expect((await readAll(log)).map(textOf)).toEqual(Array.from({ length: count }, (_, i) => `${i}`));
      }),
      { numRuns: 25 },
    );
  });
});
