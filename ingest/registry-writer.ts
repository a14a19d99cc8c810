/**
 * Hands births, states, events and quarantine entries from the log to whoever owns devices' metadata, as the log's
 * consumer `registry`. The database may be away: the log keeps them.
 */
import { z } from 'zod';
import { AppError, errorText } from '../contract/kernel/errors.ts';
import type { Random } from '../contract/kernel/random.ts';
import { SECOND_MS } from '../contract/kernel/time.ts';
import type { RegistryRecord, RegistrySink } from '../contract/ports/registry.ts';
import type { Clock, Logger, Metrics, Readiness, Service } from '../contract/ports/services.ts';
import type { EntryKind, LogConsumers, LoggedEntry, LogNotifier, LogReader } from '../contract/ports/telemetry-log.ts';
import { birthPayload, eventPayload, statePayload } from '../contract/wire/payloads.ts';
import { type Counter, Counters } from './counters.ts';
import { batchStep, type Follower, followLog } from './follow-log.ts';
import { excerptOf, quarantineRecordSchema, sha256Of } from './quarantine.ts';
import { retryForEver } from './retry.ts';

export const REGISTRY_CONSUMER = 'registry';
const RECORD_KINDS: ReadonlySet<EntryKind> = new Set(['birth', 'state', 'event', 'quarantine', 'session']);
const FLUSH_METRICS_MS = SECOND_MS;

export interface RegistryWriterNeeds {
  readonly log: LogReader & LogConsumers & LogNotifier;
  readonly sink: RegistrySink;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface RegistryWriterOptions {
  /** Log entries of all kinds looked at together. Default 2,000. */
  readonly batchEntries?: number;
  /** Default 50 ms. */
  readonly gatherMs?: number;
  /** Default 1 s. */
  readonly commitEveryMs?: number;
  /** Spreads retries. Default Math.random. */
  readonly random?: Random;
}

export interface RegistryWriter extends Service {
  readiness(): Readiness;
}

export function createRegistryWriter(needs: RegistryWriterNeeds, options: RegistryWriterOptions = {}): RegistryWriter {
  return new LogToRegistry(needs, options);
}

class LogToRegistry implements RegistryWriter {
  readonly #needs: RegistryWriterNeeds;
  readonly #options: Required<RegistryWriterOptions>;
  readonly #counters: Counters;
  readonly #count: { readonly records: Counter; readonly dropped: Counter };
  #follower: Follower | undefined;
  /** From the receipt of the newest entry to its storage. */
  #delayMs = 0;
  #failure: unknown;
  #timer: NodeJS.Timeout | undefined;

  constructor(needs: RegistryWriterNeeds, options: RegistryWriterOptions) {
    this.#needs = needs;
    this.#options = {
      batchEntries: options.batchEntries ?? 2_000,
      gatherMs: options.gatherMs ?? 50,
      commitEveryMs: options.commitEveryMs ?? 1_000,
      random: options.random ?? Math.random,
    };
    this.#counters = new Counters(needs.metrics);
    const records = 'Births, states, events and quarantine entries handed to the registry';
    const dropped = 'Acknowledged messages that were passed over; must stay 0';
    this.#count = {
      records: this.#counters.create('presage_ingest_registry_records_total', records, 'kind'),
      dropped: this.#counters.create('presage_ingest_dropped_total', dropped, 'reason', ['unreadable', 'refused']),
    };
  }

  async start(): Promise<void> {
    if (this.#timer) return;
    this.#timer = setInterval(() => this.#flushMetrics(), FLUSH_METRICS_MS).unref();
    const { log } = this.#needs;
    this.#follower = followLog(this.#needs, {
      consumer: REGISTRY_CONSUMER,
      from: async () => log.committed(REGISTRY_CONSUMER),
      step: batchStep(log, {
        handle: (entries, _position, signal) => this.#handle(entries, signal),
        kinds: RECORD_KINDS,
        maxEntries: this.#options.batchEntries,
        maxBytes: 8 * 1024 * 1024,
        gatherMs: this.#options.gatherMs,
      }),
      commitEveryMs: this.#options.commitEveryMs,
      random: this.#options.random,
    });
  }

  async stop(): Promise<void> {
    if (!this.#timer) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#follower?.stop();
    this.#flushMetrics();
  }

  readiness(): Readiness {
    return this.#failure === undefined ? { ok: true } : { ok: false, detail: errorText(this.#failure) };
  }

  #flushMetrics(): void {
    this.#counters.flush();
    const help = 'Time between the receipt of a record and its storage, newest batch';
    this.#needs.metrics.gauge('presage_ingest_registry_delay_seconds', help, this.#delayMs / SECOND_MS);
  }

  async #handle(entries: readonly LoggedEntry[], signal: AbortSignal): Promise<void> {
    const records = entries.map((entry) => this.#toRecord(entry)).filter((record) => record !== undefined);
    if (records.length === 0) return;
    await this.#store(records, signal);
    const newest = entries.at(-1);
    if (newest) this.#delayMs = Math.max(0, this.#needs.clock.now() - newest.receivedAt);
  }

  /** Halves a batch that the database refuses until the one record is found, which then stands for itself in quarantine. */
  async #store(records: readonly RegistryRecord[], signal: AbortSignal): Promise<void> {
    const [only] = records;
    try {
      await this.#tryStore(records, signal);
      for (const record of records) this.#count.records.add(record.kind);
    } catch (error) {
      if (!isRefusal(error) || !only) throw error;
      if (records.length > 1) {
        const half = Math.ceil(records.length / 2);
        await this.#store(records.slice(0, half), signal);
        await this.#store(records.slice(half), signal);
      } else if (only.kind === 'quarantine') {
        this.#needs.logger.error(
          { position: only.position, error: errorText(error) },
          'A quarantine entry was refused',
        );
        this.#count.dropped.add('refused');
      } else {
        await this.#store([refusedRecord(only, errorText(error))], signal);
      }
    }
  }

  #tryStore(records: readonly RegistryRecord[], signal: AbortSignal): Promise<void> {
    const { sink, logger } = this.#needs;
    return retryForEver(() => sink.store(records), {
      signal,
      logger,
      random: this.#options.random,
      what: 'Storing births, states, events and quarantine entries',
      isFinal: isRefusal,
      onOutcome: (error) => {
        this.#failure = error;
      },
    });
  }

  /** An entry that does not meet its schema was not written by this version's door: it is passed over, and said so. */
  #toRecord(entry: LoggedEntry): RegistryRecord | undefined {
    try {
      return toRecord(entry);
    } catch (error) {
      const facts = { position: entry.position, kind: entry.kind, error: errorText(error) };
      this.#needs.logger.error(facts, 'Passed over a log entry that is not readable');
      this.#count.dropped.add('unreadable');
      return undefined;
    }
  }
}

/** The database's own word that it will never take a record; whatever else went wrong may pass. */
function isRefusal(error: unknown): boolean {
  return error instanceof AppError && error.code === 'STORE_WRITE_REJECTED';
}

/** What is kept in the place of a record that the database refuses. */
function refusedRecord(record: Exclude<RegistryRecord, { kind: 'quarantine' }>, reason: string): RegistryRecord {
  const { kind, position, ref, receivedAt } = record;
  const text = JSON.stringify(record);
  const facts = { ...ref, reason: 'STORE_WRITE_REJECTED', at: '', channel: kind, receivedAt } as const;
  const what = { sha256: sha256Of(Buffer.from(text)), excerpt: excerptOf(`${reason} ${text}`), samples: 0 };
  return { kind: 'quarantine', position, record: { ...facts, ...what } };
}

function toRecord(entry: LoggedEntry): RegistryRecord | undefined {
  const { position, receivedAt } = entry;
  const ref = { tenant: entry.tenant, device: entry.device };
  switch (entry.kind) {
    case 'quarantine': {
      const { boot, seq, source, model, places, payload, ...rest } = parseBody(quarantineRecordSchema, entry);
      const optional = {
        ...(boot === undefined ? {} : { boot }),
        ...(seq === undefined ? {} : { seq }),
        ...(source === undefined ? {} : { source }),
        ...(model === undefined ? {} : { model }),
        ...(places === undefined ? {} : { places }),
        ...(payload === undefined ? {} : { payload }),
      };
      return { kind: 'quarantine', position, record: { ...rest, ...optional } };
    }
    case 'birth':
      return { kind: 'birth', position, ref, birth: parseBody(birthPayload, entry), receivedAt };
    case 'state':
      return { kind: 'state', position, ref, state: parseBody(statePayload, entry), receivedAt };
    case 'session': {
      const { certificateSerial, ...session } = parseBody(sessionSchema, entry);
      const certificate = certificateSerial === undefined ? {} : { certificateSerial };
      return { kind: 'session', position, ref, session: { ...session, ...certificate }, receivedAt };
    }
    case 'event':
      return { kind: 'event', position, ref, event: parseBody(eventPayload, entry), receivedAt };
    default:
      return undefined;
  }
}

const sessionSchema = z.object({
  connection: z.string(),
  remoteAddress: z.string(),
  certificateSerial: z.string().optional(),
});

function parseBody<T>(schema: z.ZodType<T>, { body }: LoggedEntry): T {
  return schema.parse(JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8')));
}
