/**
 * What can become of a message, whatever channel it came on: it is logged, or it is a copy, or it is quarantined; in each
 * case its sender is answered once that is durable. Every entry of ingest but telemetry itself is appended here.
 */
import { AppError } from '../contract/kernel/errors.ts';
import type { Appended, EntryKind, Position, TelemetryLog } from '../contract/ports/telemetry-log.ts';
import type { DecodedTelemetry, RefusedTelemetry } from './decode.ts';
import type { IngestCounts } from './ingest-counts.ts';
import type { Keeping, PayloadBudget } from './payload-budget.ts';
import { type QuarantineFacts, quarantineEntry, quarantineRecord, type ReceivedPublish } from './quarantine.ts';
import type { SequenceBook, SequenceWindow } from './sequence.ts';

export type Done = (error: Error | undefined) => void;

export interface OutcomeNeeds {
  readonly log: TelemetryLog;
  readonly book: SequenceBook;
  readonly payloads: PayloadBudget;
  readonly count: IngestCounts;
}

export class Outcomes {
  readonly #log: TelemetryLog;
  readonly #book: SequenceBook;
  readonly #payloads: PayloadBudget;
  readonly #count: IngestCounts;
  /** Everything up to here has been called back, so the book holds it. */
  position: Position = 0;

  constructor({ log, book, payloads, count }: OutcomeNeeds) {
    this.#log = log;
    this.#book = book;
    this.#payloads = payloads;
    this.#count = count;
  }

  /** An entry is durable. */
  logged(kind: EntryKind, position: Position): void {
    this.position = position;
    this.#count.logged.add(kind);
  }

  /** Appends a payload as it came. */
  appendRaw(kind: EntryKind, { device, payload, receivedAt }: ReceivedPublish, done: Appended): void {
    const { tenant, model } = device;
    const entry = { kind, tenant, device: device.device, model, receivedAt, body: payload };
    this.#log.append(entry, (error, position) => {
      if (!error) this.logged(kind, position);
      done(error, position);
    });
  }

  /** The whole message is refused and acknowledged. */
  refuse(publish: ReceivedPublish, refused: RefusedTelemetry, done: Done): void {
    this.#book.device(publish.device).quality.refused++;
    this.#quarantine(publish, refused, (error) => {
      if (!error) this.#count.quarantined.add(refused.reason);
      if (!error && refused.samples > 0) this.#count.samples.add('refused', refused.samples);
      this.answer(done, error);
    });
  }

  quarantineSamples(publish: ReceivedPublish, decoded: DecodedTelemetry, done: Done): void {
    const [first] = decoded.refusals;
    if (!first) return;
    const { boot, seq } = decoded;
    const facts = { reason: first.reason, at: first.at, boot, seq, samples: decoded.refusals.length };
    const places = decoded.refusals.map(({ index }) => index);
    this.#quarantine(publish, { ...facts, part: decoded.refused[0], places }, (error) => {
      if (!error) this.#count.samples.add('refused', decoded.refusals.length);
      for (const refusal of error ? [] : decoded.refusals) this.#count.quarantinedSamples.add(refusal.reason);
      done(error);
    });
  }

  #quarantine(publish: ReceivedPublish, facts: QuarantineFacts, done: Done): void {
    const keeping: Keeping = this.#payloads.admit(publish, facts.reason);
    const record = quarantineRecord(publish, facts, keeping === 'kept');
    this.#log.append(quarantineEntry(record, publish.device.model), (error, position) => {
      if (!error) {
        this.logged('quarantine', position);
        this.#count.payloads.add(keeping);
      }
      done(error);
    });
  }

  /** Answers with whatever came of it. */
  acknowledge(done: Done): Done {
    return (error) => this.answer(done, error);
  }

  answer(done: Done, error: Error | undefined): void {
    if (error) this.#count.refused.add(error instanceof AppError ? error.code : 'INTERNAL');
    else this.#count.acked.add('');
    done(error);
  }

  /** Answers the sender, and those whose copies waited for it. */
  share(error: Error | undefined, done: Done, waiters: readonly Done[] | undefined): void {
    this.answer(done, error);
    for (const waiter of waiters ?? []) waiter(error);
  }

  /**
   * Acknowledged behind everything that came before it: acknowledgements keep the order of their messages
   * (MQTT 3.1.1, 4.6), and a copy of a message in flight shares the fate of the first.
   */
  duplicate(window: SequenceWindow, seq: number, inFlight: boolean, channel: string, done: Done): void {
    const acknowledge: Done = (error) => {
      if (!error) this.#count.duplicates.add(channel);
      this.answer(done, error);
    };
    if (!inFlight) this.#log.barrier(acknowledge);
    else window.wait(seq, (error) => (error ? acknowledge(error) : this.#log.barrier(acknowledge)));
  }

  /**
   * The first one stays, whatever this one says; it is quarantined, because either the device lost its count or somebody
   * else speaks in its name. While the first is in flight this one waits: if that fails, the number is free again.
   */
  conflict(
    publish: ReceivedPublish,
    window: SequenceWindow,
    refused: RefusedTelemetry & { readonly seq: number },
    inFlight: boolean,
    done: Done,
  ): void {
    const quarantine = (): void => {
      this.#count.conflicts.add(publish.channel);
      this.refuse(publish, refused, done);
    };
    if (!inFlight) quarantine();
    else window.wait(refused.seq, (error) => (error ? this.answer(done, error) : quarantine()));
  }
}

/** The refusal of a message whose number was used for another content. */
export function conflictOf({ boot, seq, samples }: Pick<DecodedTelemetry, 'boot' | 'seq' | 'samples'>) {
  return { kind: 'refused', reason: 'SEQUENCE_CONFLICT', at: 'seq', boot, seq, samples: samples.length } as const;
}
