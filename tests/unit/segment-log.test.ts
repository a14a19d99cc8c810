/** What is particular to the segment files: torn tails, damage, bounds, failing disks, deletion. */
import { cp, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LogDisk, nodeDisk } from '../../ingest/log/log-disk.ts';
import { listSegments, SEGMENT_HEADER_BYTES } from '../../ingest/log/segment-files.ts';
import { openSegmentLog, type SegmentLog, type SegmentLogOptions } from '../../ingest/log/segment-log.ts';
import { openSegmentLogReader } from '../../ingest/log/segment-reader.ts';
import { manualClock, noMetrics, silentLogger } from '../support/fake-services.ts';
import { recordingMetrics } from '../support/ingest-harness.ts';
import { appended, barrierOf, logEntry, RECEIVED_AT, readAll, textOf } from '../support/log-entries.ts';
import { waitFor } from '../support/wait-for.ts';

const needs = { clock: manualClock(0), logger: silentLogger, metrics: noMetrics };
let folder: string;
/** Of the log under test. */
let directory: string;
/** Everything opened by a test, stopped after it. */
let opened: SegmentLog[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'presage-log-'));
  directory = join(folder, 'log');
});
afterEach(async () => {
  await Promise.all(opened.map((log) => log.stop()));
  opened = [];
  await rm(folder, { recursive: true });
});

async function openLog(options: SegmentLogOptions = {}, at = directory): Promise<SegmentLog> {
  const log = openSegmentLog({ directory: at, ...needs }, options);
  opened.push(log);
  await log.start();
  return log;
}

/** The files as a killed process leaves them: nothing is stopped or said goodbye to. */
async function copyAsKilled(name: string): Promise<string> {
  const copy = join(folder, name);
  await cp(directory, copy, { recursive: true });
  return copy;
}

const lastSegment = (at = directory): string => listSegments(at).at(-1)?.path ?? '';

async function flipByte(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[offset] = (bytes[offset] ?? 0) ^ 0xff;
  await writeFile(path, bytes);
}

describe('segment log with many readers', () => {
  it('reads no telemetry for whoever waits for rarer entries', async () => {
    const { log } = await openLog();
    const birth = await appended(log, logEntry({ kind: 'birth' }));
    const end = await appended(log, logEntry({ kind: 'telemetry' }));
    const kinds = new Set(['birth'] as const);
    expect((await log.read(0, { maxEntries: 9, kinds })).entries).toHaveLength(1);
    // Nothing can be read any more, so an answer comes from memory.
    await writeFile(lastSegment(), '');
    expect(await log.read(birth, { maxEntries: 9, kinds })).toEqual({ entries: [], next: end });
    await expect(
      openSegmentLogReader(directory, { durableEnd: () => end }).read(birth, { maxEntries: 9 }),
    ).rejects.toThrow();
  });

  it('reads on for them where the log was before it was opened', async () => {
    await (await openLog()).stop();
    const { log } = await openLog();
    const birth = await appended(log, logEntry({ kind: 'birth' }));
    const again = await openLog({}, await copyAsKilled('killed'));
    const batch = await again.log.read(0, { maxEntries: 9, kinds: new Set(['birth'] as const) });
    expect(batch.entries.map(({ position }) => position)).toEqual([birth]);
  });
});

describe('segment log after a kill', () => {
  it('keeps what was acknowledged without having been stopped', async () => {
    const { log } = await openLog();
    for (const text of ['one', 'two']) await appended(log, logEntry({ text }));
    const again = await openLog({}, await copyAsKilled('killed'));
    expect((await readAll(again.log)).map(textOf)).toEqual(['one', 'two']);
    expect(again.recovered()).toEqual({ droppedBytes: 0, lostBytes: 0 });
  });

  it('cuts off a tail torn at any byte of the last entry and goes on behind the one before', async () => {
    const { log } = await openLog();
    const first = await appended(log, logEntry({ text: 'kept' }));
    const second = await appended(log, logEntry({ text: 'torn' }));
    for (let end = first; end < second; end++) {
      const copy = await copyAsKilled(`torn-${end}`);
      await truncate(lastSegment(copy), SEGMENT_HEADER_BYTES + end);
      const torn = openSegmentLog({ directory: copy, ...needs });
      await torn.start();
      expect(torn.recovered().droppedBytes).toBe(end - first);
      await appended(torn.log, logEntry({ text: 'new' }));
      expect((await readAll(torn.log)).map(textOf)).toEqual(['kept', 'new']);
      await torn.stop();
      await rm(copy, { recursive: true });
    }
  });

  it('cuts off a tail of which the first page never reached the disk', async () => {
    const { log } = await openLog();
    const first = await appended(log, logEntry({ text: 'kept' }));
    await Promise.all(['a', 'b', 'c'].map((text) => appended(log, logEntry({ text }))));
    const copy = await copyAsKilled('holed');
    await flipByte(lastSegment(copy), SEGMENT_HEADER_BYTES + first + 2);
    const again = await openLog({}, copy);
    expect((await readAll(again.log)).map(textOf)).toEqual(['kept']);
    expect(again.recovered().droppedBytes).toBe(log.end() - first);
  });

  it('drops a segment that was just being created', async () => {
    const { log } = await openLog();
    const end = await appended(log, logEntry({ text: 'kept' }));
    const copy = await copyAsKilled('creating');
    await writeFile(join(copy, `${String(end).padStart(16, '0')}.seg`), 'PRESLOG1');
    const again = await openLog({}, copy);
    expect(again.recovered().droppedBytes).toBe(8);
    expect((await readAll(again.log)).map(textOf)).toEqual(['kept']);
  });
});

describe('segment log with damaged files', () => {
  it('refuses to open when an entry is damaged behind which others were acknowledged', async () => {
    const { log } = await openLog();
    await appended(log, logEntry({ text: 'damaged' }));
    await appended(log, logEntry({ text: 'proves that the first was durable' }));
    const copy = await copyAsKilled('damaged');
    await flipByte(lastSegment(copy), SEGMENT_HEADER_BYTES + 30);
    await expect(openLog({}, copy)).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
  });

  it('finds damage in a closed segment when it is read', async () => {
    const { log } = await openLog({ segmentBytes: 100 });
    for (let i = 0; i < 4; i++) await appended(log, logEntry({ text: `entry ${i} ${'x'.repeat(80)}` }));
    const copy = await copyAsKilled('closed');
    await flipByte(listSegments(copy)[1]?.path ?? '', SEGMENT_HEADER_BYTES + 40);
    const again = await openLog({}, copy);
    await expect(readAll(again.log)).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
  });

  it('refuses to open when a segment is shorter than the next one knows', async () => {
    const { log } = await openLog({ segmentBytes: 100 });
    for (let i = 0; i < 4; i++) await appended(log, logEntry({ text: 'x'.repeat(80) }));
    const copy = await copyAsKilled('short');
    const path = listSegments(copy)[0]?.path ?? '';
    await truncate(path, (await stat(path)).size - 1);
    await expect(openLog({}, copy)).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
  });

  it('never gives a position twice: when acknowledged entries are gone it says so and jumps', async () => {
    const { log } = await openLog();
    const first = await appended(log, logEntry({ text: 'kept' }));
    const second = await appended(log, logEntry({ text: 'lost' }));
    await log.commit('store', second);
    const copy = await copyAsKilled('lost');
    await truncate(lastSegment(copy), SEGMENT_HEADER_BYTES + first);
    const again = await openLog({}, copy);
    expect(again.recovered().lostBytes).toBe(second - first);
    expect(await appended(again.log, logEntry({ text: 'new' }))).toBeGreaterThan(second);
    expect((await readAll(again.log)).map(textOf)).toEqual(['kept', 'new']);
    await again.stop();
    const third = await openLog({}, copy);
    expect((await readAll(third.log, first)).map(textOf)).toEqual(['new']);
  });

  it('begins behind the position that a store remembers from a log that is gone', async () => {
    const { log } = await openLog({ minimumEnd: 5_000 });
    expect([log.start(), log.end()]).toEqual([5_000, 5_000]);
    expect(await appended(log, logEntry())).toBeGreaterThan(5_000);
  });
});

describe('bounds of the segment log', () => {
  it('deletes segments behind all named consumers and none before', async () => {
    const { log } = await openLog({ segmentBytes: 100, consumers: ['store', 'analytics'] });
    const positions = [];
    for (let i = 0; i < 5; i++) positions.push(await appended(log, logEntry({ text: 'x'.repeat(80) })));
    await log.commit('store', log.end());
    expect(listSegments(directory)).toHaveLength(5);
    await log.commit('analytics', positions[2] ?? 0);
    expect(log.start()).toBe(positions[2]);
    expect(listSegments(directory).map((segment) => segment.base)).toEqual([positions[2], positions[3]]);
    expect(await readAll(log, 0)).toHaveLength(2);
    await log.commit('analytics', log.end());
    expect(listSegments(directory)).toHaveLength(1);
  });

  it('keeps every segment while somebody copies the files, and gives that up before it is full', async () => {
    const log = await openLog({ segmentBytes: 200, maxBytes: 4_000, consumers: ['store'] });
    let givenUp = 0;
    const passAll = async () => {
      await appended(log.log, logEntry({ text: 'x'.repeat(100) }));
      await log.log.commit('store', log.log.end());
    };
    const release = log.hold(() => givenUp++);
    for (let n = 0; n < 6; n++) await passAll();
    expect([log.log.start(), givenUp]).toEqual([0, 0]);
    release();
    await passAll();
    expect(log.log.start()).toBeGreaterThan(0);

    const from = log.log.start();
    log.hold(() => givenUp++);
    while (log.log.end() - from < 3_000) await passAll();
    await passAll();
    expect(givenUp).toBe(1);
    expect(log.log.start()).toBeGreaterThan(from);
  });

  it('refuses more than maxBytes and takes on once consumers have moved', async () => {
    const { log } = await openLog({ maxBytes: 2_000, consumers: ['store'] });
    const text = 'x'.repeat(200);
    const outcome = async (): Promise<string> => {
      try {
        await appended(log, logEntry({ text }));
        return 'taken';
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    const outcomes = [];
    for (let i = 0; i < 10; i++) outcomes.push(await outcome());
    expect(outcomes.filter((one) => one === 'taken')).toHaveLength(7);
    expect(outcomes.at(-1)).toBe('LOG_FULL');
    expect(await readAll(log)).toHaveLength(7);
    await log.commit('store', log.end());
    expect(await outcome()).toBe('taken');
  });

  it('refuses what does not fit into one group commit', async () => {
    const { log } = await openLog({ maxPendingBytes: 1_000 });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, () => appended(log, logEntry({ text: 'x'.repeat(300) }))),
    );
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    expect(await readAll(log)).toHaveLength(10 - refused.length);
  });

  it('takes nothing below the free disk space it was told to keep', async () => {
    const segmentLog = await openLog({ minFreeBytes: Number.MAX_SAFE_INTEGER });
    const { log } = segmentLog;
    expect(segmentLog.readiness()).toMatchObject({ ok: false, detail: expect.stringContaining('free space') });
    await expect(appended(log, logEntry())).rejects.toMatchObject({ code: 'LOG_FULL' });
  });

  it('gives nobody else a look into its files', async () => {
    const { log } = await openLog();
    await appended(log, logEntry());
    await log.commit('store', log.end());
    const modes = await Promise.all(
      [lastSegment(), join(directory, 'consumers.json')].map(async (path) => (await stat(path)).mode & 0o777),
    );
    expect(modes).toEqual([0o600, 0o600]);
  });
});

describe('segment log on a failing disk', () => {
  const failing = (over: Partial<LogDisk>): LogDisk => ({ ...nodeDisk, ...over });
  const ioError = (code: string, syscall: string): NodeJS.ErrnoException =>
    Object.assign(new Error(`${code}: ${syscall}`), { code, syscall });

  it('acknowledges nothing of a group whose fdatasync failed, and nothing after it', async () => {
    let broken = false;
    const sync = (fd: number): Promise<void> =>
      broken ? Promise.reject(ioError('EIO', 'fdatasync')) : nodeDisk.sync(fd);
    const segmentLog = await openLog({ disk: failing({ sync }) });
    const { log } = segmentLog;
    expect(segmentLog.readiness()).toEqual({ ok: true });
    const kept = await appended(log, logEntry({ text: 'kept' }));
    broken = true;
    const group = [appended(log, logEntry()), appended(log, logEntry()), barrierOf(log)];
    const outcomes = await Promise.allSettled(group);
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['rejected', 'rejected', 'rejected']);
    broken = false; // A later fdatasync may succeed without having written what the first one lost.
    await expect(appended(log, logEntry())).rejects.toMatchObject({ code: 'LOG_FAILED' });
    await expect(barrierOf(log)).rejects.toMatchObject({ code: 'LOG_FAILED' });
    expect(segmentLog.readiness()).toMatchObject({ ok: false, detail: expect.stringContaining('EIO') });
    expect(log.end()).toBe(kept);
    expect((await readAll(log)).map(textOf)).toEqual(['kept']);
  });

  it('fails what was gathered while the failing group was written', async () => {
    let release: (() => void) | undefined;
    const write: LogDisk['write'] = async (...call) => {
      if (call[2] === SEGMENT_HEADER_BYTES) return nodeDisk.write(...call);
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      throw ioError('EIO', 'write');
    };
    const { log } = await openLog({ disk: failing({ write }) });
    const first = appended(log, logEntry());
    await new Promise(setImmediate);
    const second = appended(log, logEntry());
    release?.();
    expect((await Promise.allSettled([first, second])).map((outcome) => outcome.status)).toEqual([
      'rejected',
      'rejected',
    ]);
  });

  it('writes its last group again at the next start: the kernel may have given up those pages', async () => {
    const first = await openLog();
    await appended(first.log, logEntry({ text: 'kept' }));
    const from = first.log.end();
    await Promise.all([
      appended(first.log, logEntry({ text: 'last' })),
      appended(first.log, logEntry({ text: 'group' })),
    ]);
    const calls: string[] = [];
    const disk = failing({
      async write(fd, buffer, length, offset) {
        calls.push(`write ${offset}+${length}`);
        await nodeDisk.write(fd, buffer, length, offset);
      },
      async sync(fd) {
        calls.push('sync');
        await nodeDisk.sync(fd);
      },
    });
    const again = await openLog({ disk }, await copyAsKilled('rewritten'));
    expect(calls).toEqual([`write ${SEGMENT_HEADER_BYTES + from}+${first.log.end() - from}`, 'sync']);
    expect((await readAll(again.log)).map(textOf)).toEqual(['kept', 'last', 'group']);
  });

  it('does not open when its last group cannot be made durable', async () => {
    const { log } = await openLog();
    await appended(log, logEntry());
    const sync = (): Promise<void> => Promise.reject(ioError('EIO', 'fdatasync'));
    const copy = await copyAsKilled('failing');
    await expect(openLog({ disk: failing({ sync }) }, copy)).rejects.toMatchObject({ code: 'EIO' });
  });

  it('goes on after a full disk, without the half-written group', async () => {
    let full = false;
    const write: LogDisk['write'] = async (fd, buffer, length, offset) => {
      if (!full) return nodeDisk.write(fd, buffer, length, offset);
      await nodeDisk.write(fd, buffer, Math.floor(length / 2), offset);
      throw ioError('ENOSPC', 'write');
    };
    const segmentLog = await openLog({ disk: failing({ write }) });
    const { log } = segmentLog;
    await appended(log, logEntry({ text: 'before' }));
    full = true;
    await expect(appended(log, logEntry({ text: 'half' }))).rejects.toMatchObject({ code: 'LOG_FULL' });
    full = false;
    await waitFor('space on the disk', () =>
      appended(log, logEntry({ text: 'after' })).then(
        () => true,
        () => false,
      ),
    );
    expect((await readAll(log)).map(textOf)).toEqual(['before', 'after']);
    const again = await openLog({}, await copyAsKilled('after-full'));
    expect((await readAll(again.log)).map(textOf)).toEqual(['before', 'after']);
  });

  it('refuses appends before it is started and after it was stopped', async () => {
    const segmentLog = openSegmentLog({ directory, ...needs });
    await expect(appended(segmentLog.log, logEntry())).rejects.toMatchObject({ code: 'LOG_FAILED' });
    await segmentLog.start();
    const durable = appended(segmentLog.log, logEntry());
    await segmentLog.stop();
    await segmentLog.stop();
    await durable;
    await expect(appended(segmentLog.log, logEntry())).rejects.toMatchObject({ code: 'LOG_FAILED' });
  });
});

describe('reader of the segment files in another thread', () => {
  it('reads up to the durable end it is told, over segments that come and go', async () => {
    const { log } = await openLog({ segmentBytes: 300, consumers: ['store'] });
    let end = 0;
    const reader = openSegmentLogReader(directory, { durableEnd: () => end });
    const positions = [];
    for (let i = 0; i < 30; i++) positions.push(await appended(log, logEntry({ text: `${i} ${'x'.repeat(60)}` })));
    expect(await readAll(reader)).toEqual([]);
    end = positions[9] ?? 0;
    expect(await readAll(reader)).toHaveLength(10);
    await log.commit('store', positions[19] ?? 0);
    end = log.end();
    const rest = await readAll(reader, 0);
    expect(reader.start()).toBe(log.start());
    expect(rest.map((entry) => entry.position)).toEqual(positions.filter((position) => position > log.start()));
    await reader.close();
  });

  it('reads entries larger than its read-ahead', async () => {
    const { log } = await openLog();
    const sizes = [10, 600_000, 20, 1_200_000, 30];
    await Promise.all(sizes.map((size) => appended(log, logEntry({ text: 'x'.repeat(size) }))));
    expect((await readAll(log)).map((entry) => entry.body.byteLength)).toEqual(sizes);
  });
});

describe('numbers of the segment log', () => {
  it('say what is kept, for whom, how old it is, and what was refused', async () => {
    const metrics = recordingMetrics();
    const clock = manualClock(RECEIVED_AT + 5_000);
    const segmentLog = openSegmentLog(
      { directory, ...needs, clock, metrics },
      { name: 'findings', consumers: ['desk'], maxPendingBytes: 400 },
    );
    opened.push(segmentLog);
    await segmentLog.start();
    const { log } = segmentLog;
    const first = await appended(log, logEntry());
    await appended(log, logEntry());
    await expect(appended(log, logEntry({ text: 'x'.repeat(400) }))).rejects.toMatchObject({ code: 'LOG_FULL' });
    await log.commit('desk', first);
    await waitFor('the age', () => metrics.values.get('presage_log_oldest_seconds{log=findings}') === 5);
    await log.commit('desk', log.end());
    await waitFor('nothing left', () => metrics.values.get('presage_log_oldest_seconds{log=findings}') === 0);
    await segmentLog.stop();
    const of = (name: string, labels = ''): number | undefined =>
      metrics.values.get(`presage_log_${name}{log=findings${labels}}`);
    expect(of('bytes')).toBe(log.end());
    expect(of('lag_bytes', ',consumer=desk')).toBe(0);
    expect(of('appends_total')).toBe(2);
    expect(of('syncs_total')).toBe(2);
    expect(of('refused_total', ',reason=LOG_FULL')).toBe(1);
    expect(of('lost_bytes')).toBe(0);
  });
});
