/**
 * What analytics was ordered, and how much each version has seen: plain JSON, saved with the states of the devices in one
 * transaction, so that neither is ever ahead of the other. Pure and bounded.
 */
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { VersionName } from '../../contract/ports/findings.ts';
import type { AssignOrder } from '../../contract/ports/orders.ts';
import type { Position } from '../../contract/ports/telemetry-log.ts';
import type { RegistryKind, RunnableVersion, VersionExposure } from '../../contract/ports/versions.ts';

/** Versions that judge the devices of one tenant and model from a position of the log on. */
export interface Assignment {
  readonly from: Position;
  readonly active: RunnableVersion;
  readonly shadows: readonly Shadow[];
}

export interface Shadow extends RunnableVersion {
  /** Since when it has run without a break: a version that comes back later starts anew. */
  readonly since: Position;
}

export interface OrderBook {
  readonly v: 1;
  /** Newest last: an order that stands in the log twice counts at its first place. */
  readonly taken: (readonly [id: string, position: Position])[];
  /** by {@link assignmentKey}, oldest first */
  readonly assignments: Record<string, Assignment[]>;
  /** by {@link exposureKey} */
  readonly exposure: Record<string, VersionExposure>;
}

const MAX_TAKEN = 1_000;
/** Older ones matter only to samples that wait for stragglers: a minute. */
const MAX_KEPT_ASSIGNMENTS = 8;
const MAX_ASSIGNED = 5_000;
const MAX_EXPOSURES = 2_000;

export function initOrderBook(): OrderBook {
  return { v: 1, taken: [], assignments: {}, exposure: {} };
}

/** A stored book that this version can continue, else an empty one. Our own writer made it. */
export function reviveOrderBook(stored: unknown): OrderBook {
  const book = stored as OrderBook | undefined;
  return book?.v === 1 ? book : initOrderBook();
}

/** Notes an order. False: it was taken before, this is its second place in the log. */
export function noteOrder(book: OrderBook, id: string, position: Position): boolean {
  if (book.taken.some(([known]) => known === id)) return false;
  book.taken.push([id, position]);
  if (book.taken.length > MAX_TAKEN) book.taken.shift();
  return true;
}

export function assignmentKey(tenant: string, what: RegistryKind, model: string): string {
  return `${tenant}\n${what}\n${model}`;
}

/** Takes an assignment in. False: there are too many tenants and models with versions of their own. */
export function assign(book: OrderBook, order: AssignOrder, from: Position): boolean {
  const key = assignmentKey(order.tenant, order.what, order.model);
  const before = book.assignments[key];
  if (!before && Object.keys(book.assignments).length >= MAX_ASSIGNED) return false;
  const last = before?.at(-1);
  const shadows = order.shadows.map((shadow): Shadow => {
    const known = last?.shadows.find((one) => sameVersion(one, shadow));
    return { ...shadow, since: known?.since ?? from };
  });
  const list = before ?? [];
  list.push({ from, active: order.active, shadows });
  if (list.length > MAX_KEPT_ASSIGNMENTS) list.shift();
  book.assignments[key] = list;
  for (const gone of last?.shadows ?? []) {
    if (!shadows.some((one) => sameVersion(one, gone))) releaseShadow(book, order, gone);
  }
  return true;
}

/** Its places are free for others; what it has seen stays on record. */
function releaseShadow(book: OrderBook, { tenant, model }: AssignOrder, gone: VersionName): void {
  const seen = book.exposure[exposureKey(tenant, model, 'shadow', gone)];
  if (seen) seen.devices = 0;
}

/** The assignment that holds at `position`; `undefined` = what the build ships. */
export function assignmentAt(list: readonly Assignment[] | undefined, position: Position): Assignment | undefined {
  for (let i = (list?.length ?? 0) - 1; i >= 0; i--) {
    const one = list?.[i] as Assignment;
    if (one.from <= position) return one;
  }
  return undefined;
}

export function sameVersion(a: VersionName, b: VersionName): boolean {
  return a.name === b.name && a.version === b.version;
}

export function exposureKey(
  tenant: string,
  model: string,
  role: VersionExposure['role'],
  { name, version }: VersionName,
): string {
  return [tenant, model, role, name, version].join('\n');
}

/** The record of a version, made on first use; the one that was used least lately makes room. */
export function exposureOf(
  book: OrderBook,
  facts: Pick<VersionExposure, 'tenant' | 'model' | 'role' | 'name' | 'version'>,
  at: number,
): VersionExposure {
  const key = exposureKey(facts.tenant, facts.model, facts.role, facts);
  const known = book.exposure[key];
  if (known) return known;
  const keys = Object.keys(book.exposure);
  if (keys.length >= MAX_EXPOSURES) {
    const age = (one: string): number => (book.exposure[one] as VersionExposure).lastAt;
    delete book.exposure[keys.reduce((oldest, one) => (age(one) < age(oldest) ? one : oldest))];
  }
  const { tenant, model, role, name, version } = facts;
  const made = {
    tenant,
    model,
    role,
    name,
    version,
    deviceDays: 0,
    devices: 0,
    refusedDevices: 0,
    firstAt: at,
    lastAt: at,
  };
  book.exposure[key] = made;
  return made;
}

/** Devices of all tenants that have states beside the active one. */
export function shadowedDevices(book: OrderBook): number {
  let devices = 0;
  for (const key in book.exposure) devices += book.exposure[key]?.devices ?? 0;
  return devices;
}

/** Day of a device's clock, as exposure counts days. */
export function dayOf(at: number): number {
  return Math.floor(at / DAY_MS);
}
