/** The event-loop side of the embedded store's worker: calls and their answers, and what to do when the thread dies. */
import type { Worker } from 'node:worker_threads';
import { AppError, ERRORS, type ErrorCode, errorText } from '../../contract/kernel/errors.ts';
import type { WorkerAnswer, WorkerCall, WorkerNotice, WorkerOperations } from './worker-protocol.ts';

/** Calls that may be unanswered at once. */
const MAX_PENDING_CALLS = 1_000;

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class WorkerLink {
  readonly #spawn: () => Worker;
  readonly #onNotice: (notice: WorkerNotice) => void;
  /** by call id */
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | undefined;
  #closed = true;
  #nextId = 1;

  constructor(spawn: () => Worker, onNotice: (notice: WorkerNotice) => void) {
    this.#spawn = spawn;
    this.#onNotice = onNotice;
  }

  /** Starts the worker and opens the file. */
  open(): Promise<void> {
    this.#closed = false;
    return this.call('open', []);
  }

  /**
   * Calls the worker; starts it when it does not run, also after it died.
   * @throws AppError as thrown in the worker; STORE_UNAVAILABLE when it dies or too many calls wait
   */
  call<K extends keyof WorkerOperations>(
    operation: K,
    args: Parameters<WorkerOperations[K]>,
    transfer: readonly ArrayBuffer[] = [],
  ): ReturnType<WorkerOperations[K]> {
    const answer = new Promise((resolve, reject) => {
      const refusal = this.#closed ? 'the embedded store is not started' : this.#overload();
      if (refusal) {
        reject(new AppError('STORE_UNAVAILABLE', refusal));
        return;
      }
      const call: WorkerCall = { id: this.#nextId++, operation, args };
      this.#pending.set(call.id, { resolve, reject });
      this.#running().postMessage(call, [...transfer]);
    });
    return answer as ReturnType<WorkerOperations[K]>;
  }

  /** Lets the worker finish its queries, close the file and end. */
  async close(): Promise<void> {
    const worker = this.#worker;
    if (!worker || this.#closed) return;
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    const closing = this.call('close', []);
    this.#closed = true;
    await closing;
    this.#worker = undefined;
    await ended;
  }

  #overload(): string | undefined {
    return this.#pending.size < MAX_PENDING_CALLS
      ? undefined
      : `${MAX_PENDING_CALLS} calls wait for the embedded store`;
  }

  #running(): Worker {
    if (!this.#worker) {
      const worker = this.#spawn();
      worker.on('message', (answer: WorkerAnswer) => this.#receive(answer));
      worker.on('error', (error) => this.#lost(worker, errorText(error)));
      worker.on('exit', (code) => this.#lost(worker, `the store's thread ended with code ${code}`));
      this.#worker = worker;
    }
    return this.#worker;
  }

  #receive(answer: WorkerAnswer): void {
    if ('notice' in answer) {
      this.#onNotice(answer.notice);
      return;
    }
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    if ('failure' in answer) pending?.reject(errorOf(answer.failure));
    else pending?.resolve(answer.value);
  }

  #lost(worker: Worker, reason: string): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    this.#onNotice({ kind: 'reopened', reason });
    for (const { reject } of this.#pending.values()) reject(new AppError('STORE_UNAVAILABLE', reason));
    this.#pending.clear();
  }
}

/** The worker's error with its code; the title is in the message already. */
function errorOf({ code, message }: { readonly code: string; readonly message: string }): AppError {
  const known: ErrorCode = code in ERRORS ? (code as ErrorCode) : 'STORE_UNAVAILABLE';
  const title = `${ERRORS[known].title}: `;
  return new AppError(known, message.startsWith(title) ? message.slice(title.length) : message);
}
