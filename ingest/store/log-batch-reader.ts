/** Reads the telemetry of a log in batches of the size that a store likes to write, in whatever thread the store lives. */
import type { LoggedEntry, Position } from '../../contract/ports/telemetry-log.ts';
import { openSegmentLogReader, type SegmentReader } from '../log/segment-reader.ts';

/** A batch has at most about so many messages … */
const MAX_ENTRIES = 5_000;
/** … and bytes, of the log as a whole: what is passed over counts too. */
const MAX_BYTES = 8 * 1024 * 1024;
const KINDS: ReadonlySet<'telemetry'> = new Set(['telemetry']);

export class LogBatchReader {
  readonly #reader: SegmentReader;
  #durableEnd: Position = 0;

  constructor(directory: string) {
    this.#reader = openSegmentLogReader(directory, { durableEnd: () => this.#durableEnd });
  }

  /** Telemetry entries behind `from`; `next` = where to read on. */
  async read(from: Position, durableEnd: Position): Promise<{ entries: LoggedEntry[]; next: Position }> {
    this.#durableEnd = durableEnd;
    const entries: LoggedEntry[] = [];
    let next = from;
    while (next < durableEnd && entries.length < MAX_ENTRIES && next - from < MAX_BYTES) {
      const batch = await this.#reader.read(next, { kinds: KINDS, maxEntries: MAX_ENTRIES - entries.length });
      for (const entry of batch.entries) entries.push(entry);
      next = batch.next;
    }
    return { entries, next };
  }

  close(): Promise<void> {
    return this.#reader.close();
  }
}
