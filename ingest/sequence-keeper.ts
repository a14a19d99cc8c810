/**
 * Keeps the memory of sequence numbers across restarts: a snapshot file now and then, and the log from there. It is the
 * log's consumer `sequence`, so that the log keeps what the snapshot does not hold yet.
 */
import { errorText } from '../contract/kernel/errors.ts';
import type { DeviceDirectory } from '../contract/ports/broker.ts';
import type { Logger } from '../contract/ports/services.ts';
import type { LogConsumers, LoggedEntry, LogReader, Position } from '../contract/ports/telemetry-log.ts';
import { birthPayload, eventPayload, FLAT_BOOT, statePayload } from '../contract/wire/payloads.ts';
import { fingerprintOf } from './content-ring.ts';
import { declaredSignals } from './declared-signals.ts';
import { readIfThere, replaceFile } from './log/durable-files.ts';
import type { SequenceBook } from './sequence.ts';
import { encodeSnapshot, restoreSnapshot } from './sequence-snapshot.ts';

export const SEQUENCE_CONSUMER = 'sequence';
const REPLAY_ENTRIES = 2_000;

interface Needs {
  readonly log: LogReader & LogConsumers;
  readonly directory: Pick<DeviceDirectory, 'declare'>;
  readonly logger: Logger;
}

export class SequenceKeeper {
  readonly #needs: Needs;
  readonly #path: string | undefined;
  #saved: Position = 0;

  /** Without a path nothing is saved and the whole log is read at start. */
  constructor(needs: Needs, path: string | undefined) {
    this.#needs = needs;
    this.#path = path;
  }

  /** Position of the newest snapshot. */
  get saved(): Position {
    return this.#saved;
  }

  /** Fills the book and returns the position up to which it is complete. */
  async restore(book: SequenceBook): Promise<Position> {
    const { log, logger } = this.#needs;
    this.#saved = await this.#restoreSnapshot(book);
    if (this.#saved < log.start() || this.#saved > log.end()) {
      logger.warn(
        { snapshot: this.#saved, start: log.start(), end: log.end() },
        'The sequence snapshot is not of this log',
      );
      book.forgotDevices = true; // Whoever is not in the book may be old: the store is asked.
    }
    // Births that the registry writer has not handed on yet are not in the directory either.
    const births = log.committed('registry');
    let position = Math.min(this.#saved, births, log.end());
    for (;;) {
      const batch = await log.read(position, { maxEntries: REPLAY_ENTRIES });
      if (batch.next === position) return position;
      for (const entry of batch.entries) this.#replay(entry, book);
      position = batch.next;
    }
  }

  /** Writes the snapshot; `position` = every entry up to there is marked in the book. */
  async save(book: SequenceBook, position: Position): Promise<void> {
    if (position <= this.#saved) return;
    if (this.#path) await replaceFile(this.#path, encodeSnapshot(book, position));
    this.#saved = position;
    if (this.#path) await this.#needs.log.commit(SEQUENCE_CONSUMER, position);
  }

  async #restoreSnapshot(book: SequenceBook): Promise<Position> {
    const text = this.#path ? await readIfThere(this.#path) : undefined;
    if (text === undefined) return 0;
    const position = restoreSnapshot(text, book);
    if (position === undefined) this.#needs.logger.warn({ path: this.#path }, 'The sequence snapshot is not readable');
    return position ?? 0;
  }

  #replay(entry: LoggedEntry, book: SequenceBook): void {
    try {
      if (entry.kind === 'birth') replayDeclaration(entry, book, this.#needs.directory);
      if (entry.position > this.#saved) replayEntry(entry, book);
    } catch (error) {
      this.#needs.logger.warn({ position: entry.position, error: errorText(error) }, 'Could not replay a log entry');
    }
  }
}

function replayDeclaration(entry: LoggedEntry, book: SequenceBook, directory: Pick<DeviceDirectory, 'declare'>): void {
  const declared = declaredSignals(birthPayload.parse(parseBody(entry)));
  book.device(entry).declared = declared;
  directory.declare(entry, declared);
}

/** Marks what the entry says; marking twice changes nothing. */
function replayEntry(entry: LoggedEntry, book: SequenceBook): void {
  switch (entry.kind) {
    case 'telemetry': {
      // Our own door checked it before it was logged.
      const { boot, seq, s } = parseBody(entry) as { boot: string; seq: number; s: unknown[] };
      const memory = book.device(entry);
      if (boot !== FLAT_BOOT) memory.currentBoot ??= boot;
      // Where a sample was refused, the entry is not what the device sent: nothing can be compared with it.
      const fingerprint = s.includes(null) ? 0 : fingerprintOf(entry.body);
      book.window(memory, 'telemetry', boot).mark(seq, fingerprint);
      return;
    }
    case 'event': {
      const { boot, seq } = eventPayload.parse(parseBody(entry));
      book.window(book.device(entry), 'event', boot).mark(seq, fingerprintOf(entry.body));
      return;
    }
    case 'birth':
      book.device(entry).currentBoot = birthPayload.parse(parseBody(entry)).boot;
      return;
    case 'state': {
      const state = statePayload.parse(parseBody(entry));
      if (state.state === 'online') book.device(entry).currentBoot = state.boot;
      return;
    }
    default:
      return; // Nothing with a sequence number.
  }
}

function parseBody(entry: LoggedEntry): unknown {
  return JSON.parse(Buffer.from(entry.body.buffer, entry.body.byteOffset, entry.body.byteLength).toString('utf8'));
}
