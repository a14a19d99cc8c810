/**
 * Telemetry at the door: decoded, judged by its sequence number, and appended. What is too old for the memory of sequence
 * numbers waits for the store's answer. This is the hot path.
 */
import { AppError, errorText } from '../contract/kernel/errors.ts';
import { clientIdOf } from '../contract/kernel/ids.ts';
import type { DeviceDirectory, RegisteredDevice } from '../contract/ports/broker.ts';
import type { Logger } from '../contract/ports/services.ts';
import type { TelemetryLog } from '../contract/ports/telemetry-log.ts';
import { FLAT_BOOT } from '../contract/wire/payloads.ts';
import type { TelemetryMessage } from '../contract/wire/sample.ts';
import { type Acceptance, accept } from './accept.ts';
import { fingerprintOf } from './content-ring.ts';
import { countMessage, type QualityCounts, watchClock } from './data-quality.ts';
import { type DecodedTelemetry, decodeTelemetry, toMessage } from './decode.ts';
import type { IngestCounts } from './ingest-counts.ts';
import { conflictOf, type Done, type Outcomes } from './outcomes.ts';
import type { ReceivedPublish } from './quarantine.ts';
import type { SequenceBook, SequenceWindow } from './sequence.ts';
import type { StoreQuestions } from './store-questions.ts';

/** A telemetry message on its way through the door. */
interface Passage {
  readonly publish: ReceivedPublish;
  readonly device: RegisteredDevice;
  readonly decoded: DecodedTelemetry;
  readonly window: SequenceWindow;
  readonly fingerprint: number;
  readonly done: Done;
}

export interface TelemetryChannelNeeds {
  readonly log: TelemetryLog;
  readonly directory: Pick<DeviceDirectory, 'peek'>;
  readonly logger: Logger;
  readonly book: SequenceBook;
  readonly store: StoreQuestions;
  readonly outcomes: Outcomes;
  readonly count: IngestCounts;
  /** Messages that may wait for the store's answer at once. */
  readonly maxLookups: number;
}

export class TelemetryChannel {
  readonly #needs: TelemetryChannelNeeds;
  readonly #book: SequenceBook;
  readonly #outcomes: Outcomes;
  readonly #count: IngestCounts;
  readonly #listeners = new Set<(message: TelemetryMessage) => void>();
  /**
   * Look-ups under way, by message identity: the window each is in flight in. The book may forget that window meanwhile,
   * and a copy would then be looked up, not found, and taken as well.
   */
  readonly lookups = new Map<string, SequenceWindow>();

  constructor(needs: TelemetryChannelNeeds) {
    this.#needs = needs;
    this.#book = needs.book;
    this.#outcomes = needs.outcomes;
    this.#count = needs.count;
  }

  /** For live streams: every accepted message, once it is durable. Returns what removes the listener. */
  onAccepted(listener: (message: TelemetryMessage) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  take(publish: ReceivedPublish, done: Done): void {
    const { payload, receivedAt } = publish;
    const device = this.#needs.directory.peek(publish.device) ?? publish.device;
    const memory = this.#book.device(device);
    const decoded = decodeTelemetry(payload, device.model, memory.declared ?? device.declaredSignals, receivedAt);
    if (decoded.kind === 'refused') {
      this.#outcomes.refuse(publish, decoded, done);
      return;
    }
    const isFlat = decoded.boot === FLAT_BOOT;
    if (!isFlat) memory.currentBoot ??= decoded.boot;
    const window = this.#book.window(memory, 'telemetry', decoded.boot);
    const fingerprint = fingerprintOf(decoded.refusals.length === 0 ? decoded.body : payload);
    const passage: Passage = { publish, device, decoded, window, fingerprint, done };
    const acceptance = accept(decoded.seq, window, fingerprint);
    switch (acceptance.kind) {
      case 'accepted':
        this.#judge(memory.quality, acceptance, passage);
        window.begin(decoded.seq, fingerprint);
        this.#append(passage);
        return;
      case 'duplicate':
        this.#outcomes.duplicate(window, decoded.seq, acceptance.inFlight, 'telemetry', done);
        return;
      case 'conflict':
        this.#outcomes.conflict(publish, window, conflictOf(decoded), acceptance.inFlight, done);
        return;
      case 'lookup':
        this.#lookUp(passage);
        return;
    }
  }

  #judge(quality: QualityCounts, acceptance: Extract<Acceptance, { kind: 'accepted' }>, passage: Passage): void {
    const { decoded, publish } = passage;
    const gapBefore = decoded.boot === FLAT_BOOT ? 0 : (acceptance.gapBefore ?? 0);
    if (acceptance.late) this.#count.late.add('');
    if (gapBefore > 0) this.#count.missing.add('', gapBefore);
    countMessage(quality, acceptance.late === true, gapBefore);
    if (decoded.refusals.length > 0) quality.refused++;
    if (decoded.hist) return;
    const newest = decoded.t + Math.max(0, decoded.samples.at(-1)?.[0] ?? 0);
    if (watchClock(quality, newest, publish.receivedAt)) this.#count.skewed.add('');
  }

  /** The acknowledgement waits for the quarantine of refused samples too: it goes first, and the log keeps the order. */
  #append(passage: Passage): void {
    const { publish, device, decoded, window } = passage;
    let quarantineError: Error | undefined;
    if (decoded.refusals.length > 0) {
      this.#outcomes.quarantineSamples(publish, decoded, (error) => {
        quarantineError = error;
      });
    }
    const entry = {
      kind: 'telemetry',
      tenant: device.tenant,
      device: device.device,
      model: device.model,
      receivedAt: publish.receivedAt,
      body: decoded.body,
    } as const;
    // Only what is needed stays in memory until the disk has answered: holding all parsed payloads costs a fifth of the
    // throughput in garbage collection.
    const { seq } = decoded;
    const { done } = passage;
    const samples = decoded.samples.length - decoded.refusals.length;
    const message = this.#listeners.size > 0 ? toMessage(decoded, device, publish.receivedAt) : undefined;
    this.#needs.log.append(entry, (error, position) => {
      const waiters = window.finish(seq, !error);
      if (!error) this.#outcomes.logged('telemetry', position);
      if (!error) this.#count.samples.add('accepted', samples);
      if (!error && message) this.#tell(message);
      this.#outcomes.share(error ?? quarantineError, done, waiters);
    });
  }

  #tell(message: TelemetryMessage): void {
    for (const listener of this.#listeners) {
      try {
        listener(message);
      } catch (error) {
        this.#needs.logger.error({ error: errorText(error) }, 'A listener of accepted messages threw');
      }
    }
  }

  #lookUp(passage: Passage): void {
    const { device, decoded, window, fingerprint, done } = passage;
    const key = `${clientIdOf(device)}/${decoded.boot}/${decoded.seq}`;
    const earlier = this.lookups.get(key);
    if (earlier) {
      this.#outcomes.duplicate(earlier, decoded.seq, true, 'telemetry', done);
      return;
    }
    this.#count.lookups.add('');
    if (this.lookups.size >= this.#needs.maxLookups) {
      this.#outcomes.answer(done, new AppError('NOT_READY', 'too many messages wait for the store'));
      return;
    }
    this.lookups.set(key, window);
    window.begin(decoded.seq, fingerprint);
    const { tenant, device: id, model } = device;
    this.#needs.store.hasMessage({ tenant, device: id, model, boot: decoded.boot, seq: decoded.seq }).then(
      (stored) => {
        this.lookups.delete(key);
        if (stored) this.#wasStored(passage);
        else this.#append(passage);
      },
      (error: unknown) => {
        this.lookups.delete(key);
        this.#lookUpFailed(passage, error);
      },
    );
  }

  #wasStored({ decoded, window, done }: Passage): void {
    this.#count.duplicates.add('telemetry');
    const waiters = window.finish(decoded.seq, false);
    this.#outcomes.share(undefined, done, waiters);
  }

  #lookUpFailed({ decoded, window, done }: Passage, cause: unknown): void {
    const error = cause instanceof Error ? cause : new Error(errorText(cause));
    const waiters = window.finish(decoded.seq, false);
    this.#outcomes.share(error, done, waiters);
  }
}
