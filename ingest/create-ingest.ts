/**
 * Ingest: decides about every message of a device, appends the outcome to the telemetry log, and calls back when it is
 * durable; only then does the broker acknowledge. A message that breaks the contract is acknowledged too, once its
 * quarantine entry is durable: refusing it would only make the device send it for ever.
 */
import type { DataQuality } from '../contract/http/resources.ts';
import { AppError, errorText } from '../contract/kernel/errors.ts';
import type { DeviceRef } from '../contract/kernel/ids.ts';
import { SECOND_MS } from '../contract/kernel/time.ts';
import type { DeliverPublish, DeviceDirectory, PresenceChange } from '../contract/ports/broker.ts';
import type { ReplayQuarantined } from '../contract/ports/replay.ts';
import type { Clock, Logger, Metrics, Service } from '../contract/ports/services.ts';
import type { Position, TelemetryLog } from '../contract/ports/telemetry-log.ts';
import type { TelemetryReader } from '../contract/ports/telemetry-store.ts';
import type { TelemetryMessage } from '../contract/wire/sample.ts';
import { Counters } from './counters.ts';
import { dataQuality } from './data-quality.ts';
import { createCounts, type IngestCounts } from './ingest-counts.ts';
import { LoginLog } from './login-log.ts';
import { type Done, Outcomes } from './outcomes.ts';
import { PayloadBudget, type PayloadLimits } from './payload-budget.ts';
import type { ReceivedPublish } from './quarantine.ts';
import { RareChannels } from './rare-channels.ts';
import { Replayer } from './replay.ts';
import { DEFAULT_SEQUENCE_LIMITS, SequenceBook, type SequenceLimits } from './sequence.ts';
import { SequenceKeeper } from './sequence-keeper.ts';
import { SignalBudget, type SignalLimits } from './signal-budget.ts';
import { StoreQuestions } from './store-questions.ts';
import { TelemetryChannel } from './telemetry-channel.ts';
import { LogTicker } from './ticker.ts';
import { isPacked, unpack } from './unpack.ts';

const MIB = 1024 * 1024;

export interface IngestNeeds {
  readonly log: TelemetryLog;
  readonly directory: Pick<DeviceDirectory, 'peek' | 'declare'>;
  readonly reader: Pick<TelemetryReader, 'hasMessage' | 'export'>;
  /** Resolves when the store holds everything up to a position: before that, it cannot say that a message is new. */
  readonly passed?: (position: Position) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface IngestOptions {
  /** Where the memory of sequence numbers is saved; without it every start reads the whole log. */
  readonly sequenceFile?: string;
  /** A snapshot is written after so many bytes of log. Default 64 MiB, about half a second of reading at start. */
  readonly snapshotEveryBytes?: number;
  /** … or after so long, if anything changed. Default 30 s. */
  readonly snapshotEveryMs?: number;
  readonly sequenceLimits?: SequenceLimits;
  readonly signalLimits?: SignalLimits;
  readonly payloadLimits?: PayloadLimits;
  /** Messages that may wait for the store's answer at once; more are not acknowledged. Default 1,024. */
  readonly maxLookups?: number;
  /** A lookup that takes longer fails, and its message is not acknowledged. Default 10 s. */
  readonly lookupTimeoutMs?: number;
}

export interface Ingest extends Service {
  readonly deliver: DeliverPublish;
  /** Logs a login, so that it can be told later through which connection a message came. Departures are not logged. */
  presence(change: PresenceChange): void;
  /** Decodes quarantined telemetry again and logs what is good now, once. */
  readonly replay: ReplayQuarantined;
  /** How good the data of a device is; `undefined` before its first message, or when it was forgotten. */
  dataQuality(ref: DeviceRef): DataQuality | undefined;
  /** For live streams: every accepted telemetry message, once it is durable. Returns what removes the listener. */
  onAccepted(listener: (message: TelemetryMessage) => void): () => void;
}

export function createIngest(needs: IngestNeeds, options: IngestOptions = {}): Ingest {
  return new IngestService(needs, options);
}

class IngestService implements Ingest {
  readonly #needs: IngestNeeds;
  readonly #snapshotEveryBytes: number;
  readonly #snapshotEveryMs: number;
  readonly #book: SequenceBook;
  readonly #keeper: SequenceKeeper;
  readonly #ticker: LogTicker;
  readonly #counters: Counters;
  readonly #count: IngestCounts;
  readonly #outcomes: Outcomes;
  readonly #telemetry: TelemetryChannel;
  readonly #rare: RareChannels;
  readonly #logins: LoginLog;
  readonly #replayer: Replayer;
  #running = false;
  #timer: NodeJS.Timeout | undefined;
  #savedAt = 0;
  #saving: Promise<void> | undefined;

  constructor(needs: IngestNeeds, options: IngestOptions) {
    this.#needs = needs;
    this.#snapshotEveryBytes = options.snapshotEveryBytes ?? 64 * MIB;
    this.#snapshotEveryMs = options.snapshotEveryMs ?? 30 * SECOND_MS;
    const book = new SequenceBook(options.sequenceLimits ?? DEFAULT_SEQUENCE_LIMITS);
    this.#book = book;
    this.#keeper = new SequenceKeeper(needs, options.sequenceFile);
    this.#ticker = new LogTicker(needs);
    this.#counters = new Counters(needs.metrics);
    const count = createCounts(this.#counters);
    this.#count = count;
    const payloads = new PayloadBudget(options.payloadLimits);
    const outcomes = new Outcomes({ log: needs.log, book, payloads, count });
    this.#outcomes = outcomes;
    const store = new StoreQuestions(needs, options.lookupTimeoutMs ?? 10 * SECOND_MS);
    const maxLookups = options.maxLookups ?? 1_024;
    this.#telemetry = new TelemetryChannel({ ...needs, book, store, outcomes, count, maxLookups });
    this.#rare = new RareChannels({ ...needs, book, signals: new SignalBudget(options.signalLimits), outcomes, count });
    this.#logins = new LoginLog({ ...needs, outcomes });
    this.#replayer = new Replayer({
      ...needs,
      book,
      lookups: this.#telemetry.lookups,
      settled: () => store.settled(),
      onLogged: (position, samples) => this.#replayed(position, samples),
    });
  }

  /** The log must be open. Reads what the last snapshot does not hold. */
  async start(): Promise<void> {
    if (this.#running) return;
    this.#outcomes.position = await this.#keeper.restore(this.#book);
    this.#savedAt = this.#needs.clock.now();
    this.#running = true;
    this.#timer = setInterval(() => this.#tick(), SECOND_MS).unref();
  }

  /** Takes nothing more, and saves its memory once everything taken before is decided. Stop it before the log. */
  async stop(): Promise<void> {
    if (!this.#running) return;
    this.#running = false;
    clearInterval(this.#timer);
    await new Promise<void>((resolve) => this.#needs.log.barrier(() => resolve()));
    await this.#saving;
    await this.#save();
    this.#counters.flush();
  }

  dataQuality(ref: DeviceRef): DataQuality | undefined {
    const quality = this.#book.peek(ref)?.quality;
    return quality && quality.messages + quality.refused > 0 ? dataQuality(quality) : undefined;
  }

  onAccepted(listener: (message: TelemetryMessage) => void): () => void {
    return this.#telemetry.onAccepted(listener);
  }

  /** Before the first message of the connection, so it is durable before that one is acknowledged. */
  presence(change: PresenceChange): void {
    if (this.#running) this.#logins.take(change);
  }

  readonly deliver: DeliverPublish = (publish, done) => {
    if (!this.#running) {
      queueMicrotask(() => done(new AppError('NOT_READY', 'ingest is not running')));
      return;
    }
    this.#count.received.add(publish.channel);
    if (isPacked(publish.payload)) this.#packed(publish, done);
    else this.#plain(publish, done);
  };

  readonly replay: ReplayQuarantined = (requests) => {
    if (!this.#running) return Promise.reject(new AppError('NOT_READY', 'ingest is not running'));
    return this.#replayer.replay(requests);
  };

  #replayed(position: Position, samples: number): void {
    this.#outcomes.logged('telemetry', position);
    this.#count.replayed.add('');
    this.#count.samples.add('replayed', samples);
  }

  #packed(publish: ReceivedPublish, done: Done): void {
    const unpacked = unpack(publish.payload);
    this.#count.unpacked.add(unpacked.kind);
    if (unpacked.kind === 'json')
      this.#plain({ ...publish, payload: unpacked.payload, received: publish.payload }, done);
    else this.#outcomes.refuse(publish, { kind: 'refused', reason: unpacked.reason, at: '', samples: 0 }, done);
  }

  #plain(publish: ReceivedPublish, done: Done): void {
    if (publish.channel === 'telemetry') this.#telemetry.take(publish, done);
    else this.#rare.take(publish.channel, publish, done);
  }

  #tick(): void {
    this.#logins.tryAgain();
    this.#ticker.beat();
    this.#counters.flush();
    const { metrics, clock } = this.#needs;
    const help = 'Devices whose sequence numbers are remembered';
    metrics.gauge('presage_ingest_sequence_devices', help, this.#book.deviceCount);
    const grown = this.#outcomes.position - this.#keeper.saved >= this.#snapshotEveryBytes;
    const aged = clock.now() - this.#savedAt >= this.#snapshotEveryMs;
    if (this.#saving || !(grown || aged)) return;
    this.#saving = this.#save().finally(() => {
      this.#saving = undefined;
    });
  }

  async #save(): Promise<void> {
    this.#savedAt = this.#needs.clock.now();
    try {
      await this.#keeper.save(this.#book, this.#outcomes.position);
    } catch (error) {
      // The next one may succeed; meanwhile the log keeps what the snapshot would hold.
      this.#needs.logger.warn({ error: errorText(error) }, 'Could not save the sequence numbers');
    }
  }
}
