/**
 * Ingest: decides about every message of a device, appends the outcome to the telemetry log, and calls back when it is
 * durable; only then does the broker acknowledge. A message that breaks the contract is acknowledged too, once its
 * quarantine entry is durable: refusing it would only make the device send it for ever.
 */
import { signalsOf } from '../contract/devices/catalogue.ts';
import type { DataQuality } from '../contract/http/resources.ts';
import { AppError, type ErrorCode, errorText } from '../contract/kernel/errors.ts';
import { clientIdOf, type DeviceRef } from '../contract/kernel/ids.ts';
import { SECOND_MS } from '../contract/kernel/time.ts';
import type { DeliverPublish, DeviceDirectory, PresenceChange, RegisteredDevice } from '../contract/ports/broker.ts';
import type { ReplayQuarantined } from '../contract/ports/replay.ts';
import type { Clock, Logger, Metrics, Service } from '../contract/ports/services.ts';
import type { Appended, EntryKind, Position, TelemetryLog } from '../contract/ports/telemetry-log.ts';
import type { TelemetryReader } from '../contract/ports/telemetry-store.ts';
import { FLAT_BOOT } from '../contract/wire/payloads.ts';
import type { TelemetryMessage } from '../contract/wire/sample.ts';
import { UPSTREAM_CHANNELS } from '../contract/wire/topics.ts';
import { type Acceptance, accept } from './accept.ts';
import { parseChannelPayload, type RareChannel } from './channels.ts';
import { fingerprintOf } from './content-ring.ts';
import { Counters } from './counters.ts';
import { countMessage, dataQuality, type QualityCounts, watchClock } from './data-quality.ts';
import { type DeclaredSignals, declaredSignals } from './declared-signals.ts';
import { type DecodedTelemetry, decodeTelemetry, type RefusedTelemetry, toMessage } from './decode.ts';
import { type Keeping, PayloadBudget, type PayloadLimits } from './payload-budget.ts';
import { type QuarantineFacts, quarantineEntry, quarantineRecord, type ReceivedPublish } from './quarantine.ts';
import { Replayer } from './replay.ts';
import { DEFAULT_SEQUENCE_LIMITS, SequenceBook, type SequenceLimits, type SequenceWindow } from './sequence.ts';
import { SequenceKeeper } from './sequence-keeper.ts';
import { SignalBudget, type SignalLimits } from './signal-budget.ts';
import { isPacked, unpack } from './unpack.ts';

const MIB = 1024 * 1024;
/** As many devices as may be connected. */
const MAX_UNLOGGED = 50_000;

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

type Done = (error: Error | undefined) => void;

/** A telemetry message on its way through the door. */
interface Passage {
  readonly publish: ReceivedPublish;
  readonly device: RegisteredDevice;
  readonly decoded: DecodedTelemetry;
  readonly window: SequenceWindow;
  readonly fingerprint: number;
  readonly done: Done;
}

class IngestService implements Ingest {
  readonly #needs: IngestNeeds;
  readonly #options: Required<Omit<IngestOptions, 'sequenceFile' | 'signalLimits' | 'payloadLimits'>>;
  readonly #book: SequenceBook;
  readonly #keeper: SequenceKeeper;
  readonly #signals: SignalBudget;
  readonly #payloads: PayloadBudget;
  readonly #replayer: Replayer;
  readonly #listeners = new Set<(message: TelemetryMessage) => void>();
  readonly #counters: Counters;
  readonly #count: ReturnType<typeof createCounts>;
  /** Everything up to here has been called back, so the book holds it. */
  #position: Position = 0;
  /**
   * Look-ups under way, by message identity: the window each is in flight in. The book may forget that window meanwhile,
   * and a copy would then be looked up, not found, and taken as well.
   */
  readonly #lookups = new Map<string, SequenceWindow>();
  /** Logins that the log did not take; tried again every second. */
  readonly #unlogged: PresenceChange[] = [];
  #running = false;
  #timer: NodeJS.Timeout | undefined;
  #savedAt = 0;
  #saving: Promise<void> | undefined;

  constructor(needs: IngestNeeds, options: IngestOptions) {
    this.#needs = needs;
    this.#options = {
      snapshotEveryBytes: options.snapshotEveryBytes ?? 64 * MIB,
      snapshotEveryMs: options.snapshotEveryMs ?? 30 * SECOND_MS,
      sequenceLimits: options.sequenceLimits ?? DEFAULT_SEQUENCE_LIMITS,
      maxLookups: options.maxLookups ?? 1_024,
      lookupTimeoutMs: options.lookupTimeoutMs ?? 10 * SECOND_MS,
    };
    this.#book = new SequenceBook(this.#options.sequenceLimits);
    this.#signals = new SignalBudget(options.signalLimits);
    this.#payloads = new PayloadBudget(options.payloadLimits);
    this.#replayer = new Replayer({
      ...needs,
      book: this.#book,
      lookups: this.#lookups,
      settled: () => this.#inTime(this.#settled()),
      onLogged: (position, samples) => this.#replayed(position, samples),
    });
    this.#keeper = new SequenceKeeper(needs, options.sequenceFile);
    this.#counters = new Counters(needs.metrics);
    this.#count = createCounts(this.#counters);
  }

  /** The log must be open. Reads what the last snapshot does not hold. */
  async start(): Promise<void> {
    if (this.#running) return;
    this.#position = await this.#keeper.restore(this.#book);
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
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
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

  /** Before the first message of the connection, so it is durable before that one is acknowledged. */
  presence(change: PresenceChange): void {
    const { connected, connection, at, remoteAddress, certificateSerial, tenant, device } = change;
    if (!connected || connection === undefined || !this.#running) return;
    const body = Buffer.from(JSON.stringify({ connection, remoteAddress, certificateSerial }));
    const model = this.#needs.directory.peek({ tenant, device })?.model ?? '';
    this.#needs.log.append({ kind: 'session', tenant, device, model, receivedAt: at, body }, (error, position) => {
      if (error) {
        // The log is full; the connection may outlive that.
        if (this.#unlogged.length < MAX_UNLOGGED) this.#unlogged.push(change);
        return;
      }
      this.#position = position;
      this.#count.logged.add('session');
    });
  }

  #replayed(position: Position, samples: number): void {
    this.#position = position;
    this.#count.logged.add('telemetry');
    this.#count.replayed.add('');
    this.#count.samples.add('replayed', samples);
  }

  #packed(publish: ReceivedPublish, done: Done): void {
    const unpacked = unpack(publish.payload);
    this.#count.unpacked.add(unpacked.kind);
    if (unpacked.kind === 'json')
      this.#plain({ ...publish, payload: unpacked.payload, received: publish.payload }, done);
    else this.#refuse(publish, { kind: 'refused', reason: unpacked.reason, at: '', samples: 0 }, done);
  }

  #plain(publish: ReceivedPublish, done: Done): void {
    if (publish.channel === 'telemetry') this.#telemetry(publish, done);
    else this.#rare(publish.channel, publish, done);
  }

  #telemetry(publish: ReceivedPublish, done: Done): void {
    const { payload, receivedAt } = publish;
    const device = this.#needs.directory.peek(publish.device) ?? publish.device;
    const memory = this.#book.device(device);
    const decoded = decodeTelemetry(payload, device.model, memory.declared ?? device.declaredSignals, receivedAt);
    if (decoded.kind === 'refused') {
      this.#refuse(publish, decoded, done);
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
        this.#duplicate(window, decoded.seq, acceptance.inFlight, 'telemetry', done);
        return;
      case 'conflict':
        this.#conflict(publish, window, conflictOf(decoded), acceptance.inFlight, done);
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
      this.#quarantineSamples(publish, decoded, (error) => {
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
      if (!error) this.#position = position;
      const waiters = window.finish(seq, !error);
      if (!error) this.#count.logged.add('telemetry');
      if (!error) this.#count.samples.add('accepted', samples);
      if (!error && message) this.#tell(message);
      this.#share(error ?? quarantineError, done, waiters);
    });
  }

  #share(error: Error | undefined, done: Done, waiters: readonly Done[] | undefined): void {
    this.#answer(done, error);
    for (const waiter of waiters ?? []) waiter(error);
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

  /**
   * Acknowledged behind everything that came before it: acknowledgements keep the order of their messages
   * (MQTT 3.1.1, 4.6), and a copy of a message in flight shares the fate of the first.
   */
  #duplicate(window: SequenceWindow, seq: number, inFlight: boolean, channel: string, done: Done): void {
    const acknowledge: Done = (error) => {
      if (!error) this.#count.duplicates.add(channel);
      this.#answer(done, error);
    };
    if (!inFlight) this.#needs.log.barrier(acknowledge);
    else window.wait(seq, (error) => (error ? acknowledge(error) : this.#needs.log.barrier(acknowledge)));
  }

  /**
   * The first one stays, whatever this one says; it is quarantined, because either the device lost its count or somebody
   * else speaks in its name. While the first is in flight this one waits: if that fails, the number is free again.
   */
  #conflict(
    publish: ReceivedPublish,
    window: SequenceWindow,
    refused: RefusedTelemetry & { readonly seq: number },
    inFlight: boolean,
    done: Done,
  ): void {
    const quarantine = (): void => {
      this.#count.conflicts.add(publish.channel);
      this.#refuse(publish, refused, done);
    };
    if (!inFlight) quarantine();
    else window.wait(refused.seq, (error) => (error ? this.#answer(done, error) : quarantine()));
  }

  #lookUp(passage: Passage): void {
    const { device, decoded, window, fingerprint, done } = passage;
    const key = `${clientIdOf(device)}/${decoded.boot}/${decoded.seq}`;
    const earlier = this.#lookups.get(key);
    if (earlier) {
      this.#duplicate(earlier, decoded.seq, true, 'telemetry', done);
      return;
    }
    this.#count.lookups.add('');
    if (this.#lookups.size >= this.#options.maxLookups) {
      this.#answer(done, new AppError('NOT_READY', 'too many messages wait for the store'));
      return;
    }
    this.#lookups.set(key, window);
    window.begin(decoded.seq, fingerprint);
    this.#isStored(passage).then(
      (stored) => {
        this.#lookups.delete(key);
        if (stored) this.#wasStored(passage);
        else this.#append(passage);
      },
      (error: unknown) => {
        this.#lookups.delete(key);
        this.#lookUpFailed(passage, error);
      },
    );
  }

  async #isStored({ device, decoded }: Passage): Promise<boolean> {
    const { tenant, device: id, model } = device;
    const asking = async (): Promise<boolean> => {
      await this.#settled();
      return this.#needs.reader.hasMessage({ tenant, device: id, model, boot: decoded.boot, seq: decoded.seq });
    };
    return this.#inTime(asking());
  }

  /** Resolves when the store holds everything that was appended so far. */
  async #settled(): Promise<void> {
    const { log, passed } = this.#needs;
    await new Promise<void>((resolve, reject) => log.barrier((error) => (error ? reject(error) : resolve())));
    await passed?.(log.end());
  }

  #inTime<T>(answer: Promise<T>): Promise<T> {
    return withTimeout(answer, this.#options.lookupTimeoutMs, () => {
      return new AppError('STORE_UNAVAILABLE', 'no answer whether a message is stored');
    });
  }

  #wasStored({ decoded, window, done }: Passage): void {
    this.#count.duplicates.add('telemetry');
    const waiters = window.finish(decoded.seq, false);
    this.#share(undefined, done, waiters);
  }

  #lookUpFailed({ decoded, window, done }: Passage, cause: unknown): void {
    const error = cause instanceof Error ? cause : new Error(errorText(cause));
    const waiters = window.finish(decoded.seq, false);
    this.#share(error, done, waiters);
  }

  #rare(channel: RareChannel, publish: ReceivedPublish, done: Done): void {
    switch (channel) {
      case 'birth':
        this.#birth(publish, done);
        return;
      case 'state':
        this.#state(publish, done);
        return;
      case 'event':
        this.#event(publish, done);
        return;
      default: {
        const parsed = parseChannelPayload(channel, publish.payload);
        if (parsed.kind === 'refused') this.#refuse(publish, parsed, done);
        else this.#appendRaw('other', publish, this.#acknowledge(done));
      }
    }
  }

  /**
   * The signals count from now on, before the birth is durable: telemetry that was sent right behind it is decoded
   * within the same round. If the append fails, the device is not acknowledged and sends its birth again.
   */
  #birth(publish: ReceivedPublish, done: Done): void {
    const parsed = parseChannelPayload('birth', publish.payload);
    if (parsed.kind === 'refused') {
      this.#refuse(publish, parsed, done);
      return;
    }
    const memory = this.#book.device(publish.device);
    const declared = declaredSignals(parsed.payload);
    const refused = this.#tooManySignals(publish, memory.declared, declared);
    if (refused) {
      this.#refuse(publish, { ...refused, boot: parsed.payload.boot }, done);
      return;
    }
    memory.currentBoot = parsed.payload.boot;
    memory.declared = declared;
    this.#needs.directory.declare(publish.device, memory.declared);
    this.#appendRaw('birth', publish, this.#acknowledge(done));
  }

  #tooManySignals(
    publish: ReceivedPublish,
    before: DeclaredSignals | undefined,
    declared: DeclaredSignals,
  ): RefusedTelemetry | undefined {
    const device = this.#needs.directory.peek(publish.device) ?? publish.device;
    const { tenant, model } = device;
    const known = { catalogue: signalsOf(model), before: before ?? device.declaredSignals };
    const admission = this.#signals.admit({ tenant, model, ...known, names: declared.keys() }, publish.receivedAt);
    if (admission.kind === 'admitted') return undefined;
    return { kind: 'refused', reason: admission.reason, at: `signals.${admission.name}`, samples: 0 };
  }

  /** A last will of an older boot must not end a newer one: it is kept in the log, but not as a state. */
  #state(publish: ReceivedPublish, done: Done): void {
    const parsed = parseChannelPayload('state', publish.payload);
    if (parsed.kind === 'refused') {
      this.#refuse(publish, parsed, done);
      return;
    }
    const { boot, state } = parsed.payload;
    const memory = this.#book.device(publish.device);
    if (state === 'online') memory.currentBoot = boot;
    const stale = memory.currentBoot !== undefined && memory.currentBoot !== boot;
    if (stale) this.#count.staleStates.add('');
    this.#appendRaw(stale ? 'other' : 'state', publish, this.#acknowledge(done));
  }

  #event(publish: ReceivedPublish, done: Done): void {
    const parsed = parseChannelPayload('event', publish.payload);
    if (parsed.kind === 'refused') {
      this.#refuse(publish, parsed, done);
      return;
    }
    const { boot, seq } = parsed.payload;
    const window = this.#book.window(this.#book.device(publish.device), 'event', boot);
    const fingerprint = fingerprintOf(publish.payload);
    const acceptance = accept(seq, window, fingerprint);
    if (acceptance.kind === 'conflict') {
      this.#conflict(publish, window, conflictOf({ boot, seq, samples: [] }), acceptance.inFlight, done);
      return;
    }
    if (acceptance.kind === 'duplicate') {
      this.#duplicate(window, seq, acceptance.inFlight, 'event', done);
      return;
    }
    // Events are few and not in the telemetry store: one that is too old to be remembered is taken.
    window.begin(seq, fingerprint);
    this.#appendRaw('event', publish, (error) => {
      const waiters = window.finish(seq, !error);
      this.#share(error, done, waiters);
    });
  }

  #appendRaw(kind: EntryKind, { device, payload, receivedAt }: ReceivedPublish, done: Appended): void {
    const { tenant, model } = device;
    const entry = { kind, tenant, device: device.device, model, receivedAt, body: payload };
    this.#needs.log.append(entry, (error, position) => {
      if (!error) {
        this.#position = position;
        this.#count.logged.add(kind);
      }
      done(error, position);
    });
  }

  /** The whole message is refused and acknowledged. */
  #refuse(publish: ReceivedPublish, refused: RefusedTelemetry, done: Done): void {
    this.#book.device(publish.device).quality.refused++;
    this.#quarantine(publish, refused, (error) => {
      if (!error) this.#count.quarantined.add(refused.reason);
      if (!error && refused.samples > 0) this.#count.samples.add('refused', refused.samples);
      this.#answer(done, error);
    });
  }

  #quarantineSamples(publish: ReceivedPublish, decoded: DecodedTelemetry, done: Done): void {
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
    this.#needs.log.append(quarantineEntry(record, publish.device.model), (error, position) => {
      if (!error) {
        this.#position = position;
        this.#count.logged.add('quarantine');
        this.#count.payloads.add(keeping);
      }
      done(error);
    });
  }

  #acknowledge(done: Done): Done {
    return (error) => this.#answer(done, error);
  }

  #answer(done: Done, error: Error | undefined): void {
    if (error) this.#count.refused.add(error instanceof AppError ? error.code : 'INTERNAL');
    else this.#count.acked.add('');
    done(error);
  }

  #tick(): void {
    for (const change of this.#unlogged.splice(0)) this.presence(change);
    this.#counters.flush();
    const { metrics, clock } = this.#needs;
    const help = 'Devices whose sequence numbers are remembered';
    metrics.gauge('presage_ingest_sequence_devices', help, this.#book.deviceCount);
    const grown = this.#position - this.#keeper.saved >= this.#options.snapshotEveryBytes;
    const aged = clock.now() - this.#savedAt >= this.#options.snapshotEveryMs;
    if (this.#saving || !(grown || aged)) return;
    this.#saving = this.#save().finally(() => {
      this.#saving = undefined;
    });
  }

  async #save(): Promise<void> {
    this.#savedAt = this.#needs.clock.now();
    try {
      await this.#keeper.save(this.#book, this.#position);
    } catch (error) {
      // The next one may succeed; meanwhile the log keeps what the snapshot would hold.
      this.#needs.logger.warn({ error: errorText(error) }, 'Could not save the sequence numbers');
    }
  }
}

/** All counters of ingest; docs/ingest.md says how they add up. */
function createCounts(counters: Counters) {
  const quarantineReasons: readonly ErrorCode[] = [
    'PAYLOAD_INVALID',
    'PAYLOAD_NOT_JSON',
    'PAYLOAD_TOO_LARGE',
    'SEQUENCE_CONFLICT',
  ];
  return {
    received: counters.create(
      'presage_ingest_received_total',
      'Messages that the broker delivered',
      'channel',
      UPSTREAM_CHANNELS,
    ),
    logged: counters.create('presage_ingest_logged_total', 'Entries that are durable in the log', 'kind', [
      'telemetry',
    ]),
    acked: counters.create('presage_ingest_acked_total', 'Messages that may be acknowledged'),
    refused: counters.create('presage_ingest_unacknowledged_total', 'Messages that were not acknowledged', 'reason', [
      'LOG_FULL',
      'NOT_READY',
      'STORE_UNAVAILABLE',
    ]),
    duplicates: counters.create('presage_ingest_duplicates_total', 'Messages that were taken before', 'channel', [
      'telemetry',
    ]),
    quarantined: counters.create(
      'presage_ingest_quarantined_total',
      'Messages of which nothing could be taken',
      'reason',
      quarantineReasons,
    ),
    quarantinedSamples: counters.create(
      'presage_ingest_quarantined_samples_total',
      'Samples refused in messages of which the rest was taken',
      'reason',
      ['SAMPLE_INVALID', 'SIGNAL_NOT_FINITE', 'SIGNAL_TYPE', 'SIGNAL_UNKNOWN', 'TIME_INVALID', 'TIME_IN_FUTURE'],
    ),
    samples: counters.create('presage_ingest_samples_total', 'Telemetry samples by outcome', 'outcome', [
      'accepted',
      'refused',
      'replayed',
    ]),
    payloads: counters.create(
      'presage_ingest_quarantine_payloads_total',
      'Refused payloads by whether they were kept for a replay',
      'outcome',
      ['kept', 'overBudget', 'neverReplayable'],
    ),
    replayed: counters.create(
      'presage_ingest_replayed_total',
      'Telemetry entries logged by a replay of the quarantine',
    ),
    conflicts: counters.create(
      'presage_ingest_conflicts_total',
      'Security: messages that used a sequence number again for another content',
      'channel',
      ['telemetry', 'event'],
    ),
    unpacked: counters.create('presage_ingest_unpacked_total', 'Messages in gzip or CBOR by outcome', 'outcome', [
      'json',
      'refused',
    ]),
    late: counters.create('presage_ingest_late_total', 'Telemetry messages behind a newer one of their boot'),
    missing: counters.create('presage_ingest_missing_total', 'Sequence numbers that had not come when a newer one did'),
    skewed: counters.create('presage_ingest_clock_skewed_total', 'Devices whose clock was found more than 60 s off'),
    lookups: counters.create('presage_ingest_lookups_total', 'Telemetry messages that the store was asked about'),
    staleStates: counters.create('presage_ingest_stale_states_total', 'Last wills of an older boot'),
  };
}

function conflictOf({ boot, seq, samples }: Pick<DecodedTelemetry, 'boot' | 'seq' | 'samples'>) {
  return { kind: 'refused', reason: 'SEQUENCE_CONFLICT', at: 'seq', boot, seq, samples: samples.length } as const;
}

async function withTimeout<T>(promise: Promise<T>, ms: number, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(late()), ms);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
