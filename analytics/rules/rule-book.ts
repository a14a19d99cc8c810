/**
 * Which rules hold from which place of the telemetry log on: plain JSON, saved with the states of the devices. A sample is
 * judged by the rules of its own place, whenever it is read.
 */
import type { RuleOrder } from '../../contract/ports/orders.ts';
import type { RunnableRule } from '../../contract/ports/rules.ts';
import type { Position } from '../../contract/ports/telemetry-log.ts';

/** One version of a rule, or its end. */
interface Entry {
  readonly from: Position;
  readonly version: number;
  readonly runs: RunnableRule | null;
}

export interface RuleBook {
  readonly v: 1;
  /** by tenant, then by rule id; newest last */
  readonly tenants: Record<string, Record<string, Entry[]>>;
}

export const MAX_RULES_PER_TENANT = 200;
export const MAX_RULES_PER_MODEL = 50;
const MAX_TENANTS = 1_000;
/** Older ones matter only to samples that wait for stragglers: a minute. */
const MAX_KEPT = 4;

export function initRuleBook(): RuleBook {
  return { v: 1, tenants: {} };
}

/** A stored book that this version can continue, else an empty one. Our own writer made it. */
export function reviveRuleBook(stored: unknown): RuleBook {
  const book = stored as RuleBook | undefined;
  return book?.v === 1 ? book : initRuleBook();
}

/** Takes in an order that stands at `from`. `again`: this version was known. `full`: the tenant has too many rules. */
export function noteRule(book: RuleBook, order: RuleOrder, from: Position): 'taken' | 'again' | 'full' {
  const own = Object.hasOwn(book.tenants, order.tenant) ? book.tenants[order.tenant] : undefined;
  if (!own && Object.keys(book.tenants).length >= MAX_TENANTS) return 'full';
  const rules = own ?? {};
  const list = Object.hasOwn(rules, order.rule) ? (rules[order.rule] as Entry[]) : [];
  if ((list.at(-1)?.version ?? 0) >= order.version) return 'again';
  if (list.length === 0) makeRoom(rules);
  if (list.length === 0 && Object.keys(rules).length >= MAX_RULES_PER_TENANT) return 'full';
  list.push({ from, version: order.version, runs: order.runs });
  if (list.length > MAX_KEPT) list.shift();
  rules[order.rule] = list;
  book.tenants[order.tenant] = rules;
  return 'taken';
}

/** Rules that have long been over need no place. Their versions go on rising in the desk's own record. */
function makeRoom(rules: Record<string, Entry[]>): void {
  const ids = Object.keys(rules);
  if (ids.length < MAX_RULES_PER_TENANT) return;
  const isOver = (id: string): boolean => rules[id]?.at(-1)?.runs === null;
  const from = (id: string): Position => rules[id]?.at(-1)?.from ?? 0;
  const [oldest] = ids.filter(isOver).sort((a, b) => from(a) - from(b));
  if (oldest !== undefined) delete rules[oldest];
}

/** The tenant's rules as they hold at `position`, by id. */
export function rulesAt(book: RuleBook, tenant: string, position: Position): RunnableRule[] {
  const own = Object.hasOwn(book.tenants, tenant) ? book.tenants[tenant] : undefined;
  const found: RunnableRule[] = [];
  for (const id of Object.keys(own ?? {}).sort()) {
    const entry = own?.[id]?.findLast(({ from }) => from <= position);
    if (entry?.runs) found.push(entry.runs);
  }
  return found;
}

/** Whether the tenant has or had rules. */
export function hasRules(book: RuleBook, tenant: string): boolean {
  return Object.hasOwn(book.tenants, tenant);
}

/** Rules that run now. */
export function runningRules(book: RuleBook): number {
  let running = 0;
  for (const rules of Object.values(book.tenants)) {
    for (const list of Object.values(rules)) running += Number(list.at(-1)?.runs != null);
  }
  return running;
}
