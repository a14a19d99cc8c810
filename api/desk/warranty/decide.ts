/**
 * Whether a repair is covered, with every clause that was weighed. Pure: the same terms, history and notes give the same answer, and
 * terms that came into force later change nothing for what was bought before. Nothing here voids a warranty by itself: exclusions are
 * notes of people.
 */
import { Temporal } from 'temporal-polyfill';
import type {
  COVERED_ITEMS,
  CustomerRight,
  EXCLUSIONS,
  PROOFS,
  WarrantyClause,
  WarrantyDecision,
  WarrantyNote,
  WarrantyTerms,
} from '../../../contract/http/warranty.ts';

/** What the history of the machine says; dates are calendar days at the centre. */
export interface WarrantyHistory {
  /** Repairs before this ticket, oldest first. */
  readonly repairs: readonly PastRepair[];
  /** Whole days for which it has been in repair, this ticket included. */
  readonly daysInRepair: number;
  readonly daysOfThisRepair: number;
}

export interface PastRepair {
  readonly on: string;
  readonly component: string;
  readonly faultKey: string;
  readonly fittedPart: boolean;
}

export interface WarrantySubject {
  readonly model: string;
  readonly component: string;
  readonly faultKey: string;
  readonly region: string;
  /** The day for which the question is asked. */
  readonly on: string;
  readonly history: WarrantyHistory;
  readonly language: 'en' | 'zh-CN';
}

/** All notes so far as one: later ones win. */
export interface ClaimFacts {
  readonly purchasedOn: string | undefined;
  readonly proof: (typeof PROOFS)[number] | undefined;
  readonly item: (typeof COVERED_ITEMS)[number];
  readonly usage: WarrantyNote['usage'];
  readonly exclusion: (typeof EXCLUSIONS)[number] | undefined;
  readonly underAppeal: boolean;
  readonly goodwillShare: number;
}

export function foldNotes(notes: readonly WarrantyNote[], purchasedOn: string | undefined): ClaimFacts {
  let facts: ClaimFacts = {
    purchasedOn,
    proof: undefined,
    item: 'unit',
    usage: undefined,
    exclusion: undefined,
    underAppeal: false,
    goodwillShare: 0,
  };
  for (const note of notes) {
    const finding = note.finding === 'none' ? undefined : (note.finding ?? facts.exclusion);
    facts = {
      purchasedOn: note.purchasedOn ?? facts.purchasedOn,
      proof: note.proof ?? facts.proof,
      item: note.item ?? facts.item,
      usage: note.usage ?? facts.usage,
      exclusion: finding,
      // A new finding, of whatever kind, answers the appeal.
      underAppeal: note.appeal ?? (note.finding === undefined && facts.underAppeal),
      goodwillShare: note.goodwillShare ?? facts.goodwillShare,
    };
  }
  return facts;
}

type Weighed = WarrantyDecision['weighed'][number];
type Weight = Weighed & { readonly lacksProof: boolean };

export function decideWarranty(terms: WarrantyTerms, subject: WarrantySubject, facts: ClaimFacts): WarrantyDecision {
  const weights = terms.clauses.filter((one) => concerns(one, subject, facts)).map((one) => weigh(one, subject, facts));
  const covering = weights.filter((one) => one.covers).sort((a, b) => ((a.until ?? '') < (b.until ?? '') ? 1 : -1));
  const best = covering.find((one) => !one.lacksProof);
  const weighed = weights.map(({ lacksProof: _, ...one }) => one);
  const common = {
    underAppeal: facts.underAppeal,
    goodwillShare: facts.goodwillShare,
    weighed,
    rights: terms.rights.filter((one) => grantsHere(one, subject, facts)).map((one) => weighRight(one, subject)),
  };
  if (facts.purchasedOn === undefined && !best) return { outcome: 'needs_proof', ...common };
  if (facts.exclusion !== undefined) return { outcome: 'excluded', exclusion: facts.exclusion, ...common };
  if (best) {
    const { clause, until } = best;
    return { outcome: 'in_warranty', clause, ...(until === undefined ? {} : { until }), ...common };
  }
  return { outcome: covering.length > 0 ? 'needs_proof' : 'out_of_warranty', ...common };
}

function concerns(clause: WarrantyClause, subject: WarrantySubject, facts: ClaimFacts): boolean {
  if (clause.item !== facts.item) return false;
  if (clause.models && !clause.models.includes(subject.model)) return false;
  if (clause.components && !clause.components.includes(subject.component)) return false;
  return !clause.regions || clause.regions.includes(subject.region);
}

function weigh(clause: WarrantyClause, subject: WarrantySubject, facts: ClaimFacts): Weight {
  const { id, statutory } = clause;
  const head = { clause: id, name: clause.name[subject.language], statutory };
  const refused = (reason: string): Weight => ({ ...head, covers: false, reason, lacksProof: false });
  const begin = beginOf(clause, subject, facts);
  if (begin === undefined) {
    return refused(
      clause.from === 'repair' ? 'no repair of this component before' : 'the date of purchase is not known',
    );
  }
  // What was in force when the machine was bought, or repaired, counts: later terms rewrite nothing.
  if (begin < clause.effectiveFrom || (clause.effectiveUntil !== undefined && begin > clause.effectiveUntil)) {
    return refused(`not in force on ${begin}`);
  }
  const until = Temporal.PlainDate.from(begin).add({ months: clause.months }).toString();
  if (subject.on > until) return refused(`ended on ${until}`);
  if (clause.usage) {
    const { counter, value } = clause.usage;
    if (facts.usage?.counter !== counter)
      return refused(`the ${counter} reading is not known; up to ${value} are covered`);
    if (facts.usage.value > value) return refused(`${facts.usage.value} ${counter} are more than ${value}`);
  }
  const lacksProof = clause.needsProof && (facts.proof === undefined || facts.proof === 'none');
  const reason = lacksProof ? `would cover until ${until}; it takes a proof of purchase` : `covers until ${until}`;
  return { ...head, covers: true, reason, until, lacksProof };
}

function beginOf(clause: WarrantyClause, subject: WarrantySubject, facts: ClaimFacts): string | undefined {
  if (clause.from === 'purchase') return facts.purchasedOn;
  return subject.history.repairs.filter((one) => one.component === subject.component && one.fittedPart).at(-1)?.on;
}

function grantsHere(right: CustomerRight, subject: WarrantySubject, facts: ClaimFacts): boolean {
  const { purchasedOn, usage } = facts;
  if (right.models && !right.models.includes(subject.model)) return false;
  if (right.regions && !right.regions.includes(subject.region)) return false;
  if (purchasedOn === undefined || purchasedOn < right.effectiveFrom) return false;
  if (right.usage && usage?.counter === right.usage.counter && usage.value > right.usage.value) return false;
  return subject.on <= Temporal.PlainDate.from(purchasedOn).add({ months: right.withinMonths }).toString();
}

/** Days of warning before a count of days is reached: time to decide, and to find a loaner. */
const NEAR_DAYS = 5;

function weighRight(right: CustomerRight, subject: WarrantySubject): WarrantyDecision['rights'][number] {
  const count = countOf(right, subject);
  const near = right.counts === 'repairsOfSameFault' ? right.beyond : right.beyond - NEAR_DAYS;
  const state = count > right.beyond ? 'reached' : count >= Math.max(1, near) ? 'near' : 'far';
  return {
    right: right.id,
    name: right.name[subject.language],
    grants: right.grants,
    count,
    beyond: right.beyond,
    state,
  };
}

function countOf({ counts }: CustomerRight, { history, faultKey, component }: WarrantySubject): number {
  switch (counts) {
    case 'repairsOfSameFault':
      // This repair is one of them.
      return 1 + history.repairs.filter((one) => one.faultKey === faultKey && one.component === component).length;
    case 'daysInRepair':
      return history.daysInRepair;
    case 'daysOfThisRepair':
      return history.daysOfThisRepair;
  }
}
