/**
 * How many signals devices may declare. A store keeps a column or a field for every signal of a model, so that a device
 * which declares new names again and again would make every table of its model wider for everybody.
 */
import type { ErrorCode } from '../contract/kernel/errors.ts';
import { HOUR_MS } from '../contract/kernel/time.ts';
import { MAX_SIGNALS_PER_MODEL } from '../contract/wire/payloads.ts';

export interface SignalLimits {
  /** Signals of one model within a tenant, those of the catalogue included. Default 200. */
  readonly maxPerModel?: number;
  /** Names that a tenant may add within an hour, all models together. Default 1,000. */
  readonly maxNewPerHour?: number;
}

/** Models come from the registry, not from devices; beyond this the one that was used longest ago is forgotten. */
const MAX_MODELS = 10_000;

/** What a birth declares, and what is known already. */
export interface Declaration {
  readonly tenant: string;
  readonly model: string;
  /** The catalogue's signals of the model. */
  readonly catalogue: ReadonlyMap<string, unknown>;
  /** What this device declared before: it costs nothing, also after a restart. */
  readonly before: ReadonlyMap<string, unknown>;
  readonly names: Iterable<string>;
}

export type Admission =
  | { readonly kind: 'admitted' }
  | { readonly kind: 'refused'; readonly reason: ErrorCode; readonly name: string };

export class SignalBudget {
  readonly #maxPerModel: number;
  readonly #maxNewPerHour: number;
  /** names beyond the catalogue by `tenant/model`, the one used last at the end */
  readonly #models = new Map<string, Set<string>>();
  /** names added within the current hour, by tenant */
  readonly #added = new Map<string, number>();
  #hour = 0;

  constructor({ maxPerModel = MAX_SIGNALS_PER_MODEL, maxNewPerHour = 1_000 }: SignalLimits = {}) {
    this.#maxPerModel = maxPerModel;
    this.#maxNewPerHour = maxNewPerHour;
  }

  /** Takes all names of the declaration, or none and says which one was too many. */
  admit(declaration: Declaration, now: number): Admission {
    const { tenant, catalogue } = declaration;
    const known = this.#namesOf(declaration);
    for (const name of declaration.before.keys()) if (!catalogue.has(name)) known.add(name);
    const fresh = [...declaration.names].filter((name) => !catalogue.has(name) && !known.has(name));
    if (fresh.length === 0) return { kind: 'admitted' };
    const room = this.#maxPerModel - catalogue.size - known.size;
    const added = this.#addedThisHour(tenant, now);
    const [overModel, overHour] = [fresh[Math.max(0, room)], fresh[Math.max(0, this.#maxNewPerHour - added)]];
    if (overModel !== undefined) return { kind: 'refused', reason: 'SIGNAL_LIMIT', name: overModel };
    if (overHour !== undefined) return { kind: 'refused', reason: 'SIGNAL_BUDGET', name: overHour };
    for (const name of fresh) known.add(name);
    this.#added.set(tenant, added + fresh.length);
    return { kind: 'admitted' };
  }

  #namesOf({ tenant, model }: Declaration): Set<string> {
    const key = `${tenant}/${model}`;
    const names = this.#models.get(key) ?? new Set<string>();
    this.#models.delete(key);
    this.#models.set(key, names);
    if (this.#models.size > MAX_MODELS) {
      const [oldest] = this.#models.keys();
      if (oldest !== undefined) this.#models.delete(oldest);
    }
    return names;
  }

  #addedThisHour(tenant: string, now: number): number {
    const hour = Math.floor(now / HOUR_MS);
    if (hour !== this.#hour) this.#added.clear();
    this.#hour = hour;
    return this.#added.get(tenant) ?? 0;
  }
}
