/** A few connections for reading, so that a long query neither blocks writing nor takes every thread of the process. */
import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { AppError } from '../../contract/kernel/errors.ts';

export class ReaderPool {
  readonly #all: readonly DuckDBConnection[];
  readonly #idle: DuckDBConnection[];
  readonly #maxWaiting: number;
  readonly #waiting: ((connection: DuckDBConnection) => void)[] = [];
  readonly #drained: (() => void)[] = [];

  private constructor(connections: readonly DuckDBConnection[], maxWaiting: number) {
    this.#all = connections;
    this.#idle = [...connections];
    this.#maxWaiting = maxWaiting;
  }

  static async open(
    instance: DuckDBInstance,
    limits: { readonly readers: number; readonly maxWaitingQueries: number },
  ): Promise<ReaderPool> {
    const connections = await Promise.all(Array.from({ length: limits.readers }, () => instance.connect()));
    return new ReaderPool(connections, limits.maxWaitingQueries);
  }

  /**
   * Runs `query` with a connection of its own.
   * @throws AppError STORE_UNAVAILABLE when too many queries wait already
   */
  async use<T>(query: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
    const connection = this.#idle.pop() ?? (await this.#wait());
    try {
      return await query(connection);
    } finally {
      this.#release(connection);
    }
  }

  /** Resolves when no query runs or waits. */
  drain(): Promise<void> {
    if (this.#idle.length === this.#all.length) return Promise.resolve();
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  close(): void {
    for (const connection of this.#all) connection.closeSync();
  }

  #wait(): Promise<DuckDBConnection> {
    if (this.#waiting.length >= this.#maxWaiting) {
      throw new AppError('STORE_UNAVAILABLE', `${this.#maxWaiting} queries wait already`);
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #release(connection: DuckDBConnection): void {
    const next = this.#waiting.shift();
    if (next) next(connection);
    else this.#idle.push(connection);
    if (this.#idle.length === this.#all.length) for (const done of this.#drained.splice(0)) done();
  }
}
