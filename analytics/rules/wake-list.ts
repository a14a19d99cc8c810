/**
 * Devices whose rules wait for time to pass: one line a device, so that no whole state must be in memory to be missed. A
 * line that was saved long ago is too early at worst: such a device is looked at, and waits on.
 */
import { clientIdOf, type DeviceRef, PARTITION_COUNT, partitionOf } from '../../contract/kernel/ids.ts';

/** A line as it is saved; `open` = 1 while an alert of a rule is open. */
export type WakeLine = readonly [tenant: string, device: string, wakeAt: number | null, open: 0 | 1];

interface Line {
  readonly ref: DeviceRef;
  readonly shard: number;
  /** Server time; `null` = only something new wakes it. */
  wakeAt: number | null;
  open: boolean;
}

export interface WakeList {
  /** Waits for the device until `wakeAt`, and for rules that end its alerts. */
  put(ref: DeviceRef, wakeAt: number | null, open: boolean): void;
  /** Takes out at most `limit` devices whose time has come. */
  takeDue(now: number, limit: number): DeviceRef[];
  /** All devices of the tenant with an open alert are due. */
  wakeOpen(tenant: string, now: number): void;
  size(): number;
  /** Devices that nobody waits for because there are too many. */
  refused(): number;
  /** Shards with other devices than when they were saved, or that were saved longer ago than ten minutes. */
  changedShards(now: number): readonly number[];
  linesOf(shard: number): readonly WakeLine[];
  saved(shards: readonly number[], now: number): void;
  load(lines: readonly WakeLine[]): void;
  clear(): void;
}

/** Lines are saved by partition. */
export const WAKE_SHARDS = PARTITION_COUNT;
const SAVE_EVERY_MS = 10 * 60_000;

export function createWakeList(maxDevices: number): WakeList {
  /** by client id */
  const lines = new Map<string, Line>();
  /** Not later than any line's time. */
  let earliest = Number.POSITIVE_INFINITY;
  const other = new Set<number>();
  const touched = new Set<number>();
  let savedAt = 0;
  let refused = 0;

  function note(line: Line): void {
    earliest = Math.min(earliest, line.wakeAt ?? Number.POSITIVE_INFINITY);
  }

  return {
    put(ref, wakeAt, open) {
      const key = clientIdOf(ref);
      const known = lines.get(key);
      if (wakeAt === null && !open) {
        if (!known) return;
        lines.delete(key);
        other.add(known.shard);
        return;
      }
      if (known) {
        if (known.open !== open) other.add(known.shard);
        else touched.add(known.shard);
        known.wakeAt = wakeAt;
        known.open = open;
        note(known);
        return;
      }
      if (lines.size >= maxDevices) {
        refused++;
        return;
      }
      const line: Line = { ref: { tenant: ref.tenant, device: ref.device }, shard: partitionOf(ref), wakeAt, open };
      lines.set(key, line);
      other.add(line.shard);
      note(line);
    },
    takeDue(now, limit) {
      if (earliest > now) return [];
      const due: DeviceRef[] = [];
      earliest = Number.POSITIVE_INFINITY;
      for (const line of lines.values()) {
        if (line.wakeAt !== null && line.wakeAt <= now && due.length < limit) {
          due.push(line.ref);
          line.wakeAt = null;
        }
        note(line);
      }
      return due;
    },
    wakeOpen(tenant, now) {
      for (const line of lines.values()) {
        if (line.ref.tenant !== tenant || !line.open) continue;
        line.wakeAt = Math.min(line.wakeAt ?? now, now);
        note(line);
      }
    },
    size: () => lines.size,
    refused: () => refused,
    changedShards: (now) =>
      Math.abs(now - savedAt) >= SAVE_EVERY_MS ? [...new Set([...other, ...touched])] : [...other],
    linesOf: (shard) =>
      [...lines.values()]
        .filter((line) => line.shard === shard)
        .map(({ ref, wakeAt, open }) => [ref.tenant, ref.device, wakeAt, open ? 1 : 0] as const),
    saved(shards, now) {
      for (const shard of shards) {
        other.delete(shard);
        touched.delete(shard);
      }
      if (touched.size === 0) savedAt = now;
    },
    load(saved) {
      for (const [tenant, device, wakeAt, open] of saved) {
        const ref = { tenant, device };
        const line: Line = { ref, shard: partitionOf(ref), wakeAt, open: open === 1 };
        lines.set(clientIdOf(ref), line);
        note(line);
      }
    },
    clear() {
      lines.clear();
      earliest = Number.POSITIVE_INFINITY;
      other.clear();
      touched.clear();
      savedAt = 0;
    },
  };
}
