/**
 * Lets readers in together and a sealing step alone: while samples turn into roll-ups a reader would see them twice or
 * not at all. Readers that come while a step waits go first, so a step never holds anybody up for longer than itself.
 */
export class SealGate {
  #readers = 0;
  #sealing: Promise<unknown> = Promise.resolve();
  #idle: (() => void)[] = [];

  async read<T>(query: () => Promise<T>): Promise<T> {
    await this.#sealing.catch(() => undefined); // Its caller heard of the error.
    this.#readers++;
    try {
      return await query();
    } finally {
      if (--this.#readers === 0) for (const wake of this.#idle.splice(0)) wake();
    }
  }

  /** One step at a time: the caller sees to that. */
  async seal<T>(step: () => Promise<T>): Promise<T> {
    while (this.#readers > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    const sealing = step();
    this.#sealing = sealing;
    return sealing;
  }
}
