/**
 * Whom analytics waits for, and until when: one line a device, so that nobody's whole state must be in memory for it to be
 * missed, and nobody is looked at before it is due. A message costs O(1), a device that is due O(log n); nothing scans.
 * A heap item may be older than its device's line: it is looked at when it comes up, and put back.
 */
import { type DeviceRef, PARTITION_COUNT, partitionOf } from '../../contract/kernel/ids.ts';
import { type Listening, silentFrom } from './listening.ts';

/** A line as it is saved. */
export type WatchLine = readonly [tenant: string, device: string, lastAt: number, silenceMs: number];

interface Line {
  readonly ref: DeviceRef;
  readonly shard: number;
  lastAt: number;
  silenceMs: number;
  /** Due time of its heap item that counts; others are left over. */
  queuedAt: number;
}

interface Item {
  readonly dueAt: number;
  readonly key: string;
}

export interface SilenceWatch {
  /** Waits for a device from now on; false when there are too many already. */
  expect(key: string, ref: DeviceRef, lastAt: number, silenceMs: number): boolean;
  /** Waits for it no more. */
  forget(key: string): void;
  /** Takes out one device that was due before the log's time; its line may be behind what its state knows. */
  nextDue(listening: Listening): DeviceRef | undefined;
  size(): number;
  /** Shards with other devices than when they were saved, or saved longer ago than `everyMs` of log time. */
  changedShards(logTime: number, everyMs: number): readonly number[];
  linesOf(shard: number): readonly WatchLine[];
  noteSaved(shards: readonly number[], logTime: number): void;
  /** Forgets all. */
  clear(): void;
}

/** Lines are saved by partition. */
export const SHARDS = PARTITION_COUNT;

export function createSilenceWatch(maxDevices: number, graceMs: number): SilenceWatch {
  /** by client id */
  const lines = new Map<string, Line>();
  const keysByShard = Array.from({ length: SHARDS }, () => new Set<string>());
  let heap: Item[] = [];
  const touched = new Set<number>();
  const otherDevices = new Set<number>();
  let savedAt = 0;

  function queue(line: Line, key: string, dueAt: number): void {
    line.queuedAt = dueAt;
    push(heap, { dueAt, key });
  }

  function drop(key: string, line: Line): void {
    lines.delete(key);
    keysByShard[line.shard]?.delete(key);
    otherDevices.add(line.shard);
  }

  return {
    expect(key, ref, lastAt, silenceMs) {
      const dueAt = lastAt + silenceMs;
      const known = lines.get(key);
      if (known) {
        known.lastAt = lastAt;
        known.silenceMs = silenceMs;
        touched.add(known.shard);
        if (dueAt < known.queuedAt) queue(known, key, dueAt);
        return true;
      }
      if (lines.size >= maxDevices) return false;
      const line: Line = { ref, shard: partitionOf(ref), lastAt, silenceMs, queuedAt: dueAt };
      lines.set(key, line);
      keysByShard[line.shard]?.add(key);
      otherDevices.add(line.shard);
      queue(line, key, dueAt);
      return true;
    },
    forget(key) {
      const line = lines.get(key);
      if (line) drop(key, line);
    },
    nextDue(listening) {
      for (let top = heap[0]; top !== undefined && top.dueAt < listening.logTime; top = heap[0]) {
        pop(heap);
        const line = lines.get(top.key);
        if (!line || line.queuedAt !== top.dueAt) continue;
        const dueAt = silentFrom(listening, line.lastAt, line.silenceMs, graceMs);
        if (dueAt >= listening.logTime) {
          queue(line, top.key, dueAt);
          continue;
        }
        drop(top.key, line);
        return line.ref;
      }
      return undefined;
    },
    size: () => lines.size,
    changedShards(logTime, everyMs) {
      const isTime = Math.abs(logTime - savedAt) >= everyMs;
      return isTime ? [...new Set([...otherDevices, ...touched])] : [...otherDevices];
    },
    linesOf: (shard) =>
      [...(keysByShard[shard] ?? [])].flatMap((key): WatchLine[] => {
        const line = lines.get(key);
        return line ? [[line.ref.tenant, line.ref.device, line.lastAt, line.silenceMs]] : [];
      }),
    noteSaved(shards, logTime) {
      for (const shard of shards) {
        otherDevices.delete(shard);
        touched.delete(shard);
      }
      if (touched.size === 0) savedAt = logTime;
    },
    clear() {
      lines.clear();
      for (const keys of keysByShard) keys.clear();
      heap = [];
      touched.clear();
      otherDevices.clear();
      savedAt = 0;
    },
  };
}

/** Adds to a binary heap, the earliest due on top. */
function push(heap: Item[], item: Item): void {
  let at = heap.length;
  heap.push(item);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if ((heap[parent] as Item).dueAt <= item.dueAt) break;
    heap[at] = heap[parent] as Item;
    at = parent;
  }
  heap[at] = item;
}

function pop(heap: Item[]): void {
  const last = heap.pop();
  if (!last || heap.length === 0) return;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && (heap[child + 1] as Item).dueAt < (heap[child] as Item).dueAt) child++;
    if ((heap[child] as Item).dueAt >= last.dueAt) break;
    heap[at] = heap[child] as Item;
    at = child;
  }
  heap[at] = last;
}
