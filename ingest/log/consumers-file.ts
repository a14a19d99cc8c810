/**
 * Up to where each consumer of a log has finished, and up to where the log was durable when this was written: a small
 * JSON file, replaced as a whole.
 */
import { z } from 'zod';
import { AppError } from '../../contract/kernel/errors.ts';
import type { Position } from '../../contract/ports/telemetry-log.ts';
import { readIfThere, replaceFile } from './durable-files.ts';

const position = z.number().int().nonnegative();
const consumersFile = z.strictObject({
  version: z.literal(1),
  durableEnd: position,
  consumers: z.record(z.string(), position),
});

/** More names than this is a mistake of the caller, not a fleet. */
const MAX_CONSUMERS = 64;

export class ConsumersFile {
  readonly #path: string;
  /** by consumer name */
  readonly #committed = new Map<string, Position>();
  #durableEnd: Position = 0;
  /** Saves run one after the other. */
  #tail: Promise<void> = Promise.resolve();
  /** The save that has not begun yet; later callers share it. */
  #queued: Promise<void> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws AppError LOG_CORRUPT when the file is not what we wrote */
  async load(): Promise<void> {
    const text = await readIfThere(this.#path);
    if (text === undefined) return;
    const parsed = consumersFile.safeParse(parseJson(text));
    if (!parsed.success) throw new AppError('LOG_CORRUPT', `${this.#path} is not readable`, { cause: parsed.error });
    this.#durableEnd = parsed.data.durableEnd;
    for (const [name, at] of Object.entries(parsed.data.consumers)) this.#committed.set(name, at);
  }

  /** The log reached at least this far before: the furthest of what it said itself and what consumers finished. */
  get furthest(): Position {
    return Math.max(this.#durableEnd, ...this.#committed.values());
  }

  committed(consumer: string): Position {
    return this.#committed.get(consumer) ?? 0;
  }

  names(): Iterable<string> {
    return this.#committed.keys();
  }

  /** Moves a consumer; never back. Nothing is on disk before `save`. */
  set(consumer: string, at: Position): void {
    if (!this.#committed.has(consumer) && this.#committed.size >= MAX_CONSUMERS) {
      throw new RangeError(`more than ${MAX_CONSUMERS} consumers of one log`);
    }
    this.#committed.set(consumer, Math.max(at, this.committed(consumer)));
  }

  /** Resolves when everything set before this call is on disk. Calls during a save share the next one. */
  save(durableEnd: Position): Promise<void> {
    this.#durableEnd = Math.max(durableEnd, this.#durableEnd);
    this.#queued ??= this.#enqueue();
    return this.#queued;
  }

  #enqueue(): Promise<void> {
    const saving = this.#tail.then(() => this.#write());
    this.#tail = saving.catch(() => undefined); // Whoever asked for that save hears of its error.
    return saving;
  }

  #write(): Promise<void> {
    this.#queued = undefined;
    const consumers = Object.fromEntries(this.#committed);
    return replaceFile(this.#path, JSON.stringify({ version: 1, durableEnd: this.#durableEnd, consumers }));
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // The schema then says that it is not readable.
  }
}
