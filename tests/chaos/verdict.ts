/**
 * Judges a server by its devices' journal, its export and its quarantine. Every acknowledged good sample is exported
 * exactly once and equal; nothing else is exported; every acknowledged bad one is in quarantine, not more often than it
 * was sent. What was sent and never acknowledged may be there or not, but once and equal.
 */
import type { ExportedSample, QuarantineEntry } from '../../contract/http/resources.ts';
import type { JournalMessage, JournalSample } from './journal.ts';

/** An answer of the server and the tenant whose token asked for it. */
export type OfTenant<Item> = Item & { readonly tenant: string };

export const VIOLATIONS = {
  missing: 'acknowledged and good, but neither exported nor refused by the store',
  doubled: 'exported more than once',
  different: 'exported with another time or other values',
  unsent: 'exported, but no device of this tenant ever sent it',
  badStored: 'breaks the contract, but was exported',
  notQuarantined: 'acknowledged and bad, but not in quarantine',
  quarantinedTooOften: 'more often in quarantine than it was sent',
  quarantinedUnsent: 'in quarantine, but no device of this tenant ever sent it',
} as const;
export type Violation = keyof typeof VIOLATIONS;

export interface Verdict {
  readonly ok: boolean;
  /** Count by kind; kinds that did not occur are absent. */
  readonly violations: Readonly<Partial<Record<Violation, number>>>;
  /** The first of them. */
  readonly examples: readonly { readonly violation: Violation; readonly what: string }[];
  readonly messages: { readonly sent: number; readonly acked: number; readonly copies: number };
  readonly samples: {
    /** Good samples in acknowledged messages. */
    readonly acked: number;
    readonly exported: number;
    /** Exported, though never acknowledged. */
    readonly unacknowledged: number;
    /** Refused by the telemetry store, in quarantine instead. */
    readonly refusedByStore: number;
  };
  readonly quarantineEntries: number;
}

export interface Findings {
  readonly journal: readonly JournalMessage[];
  readonly exported: readonly OfTenant<ExportedSample>[];
  readonly quarantined: readonly OfTenant<QuarantineEntry>[];
}

const MAX_EXAMPLES = 10;

export function judge({ journal, exported, quarantined }: Findings): Verdict {
  const counts: Partial<Record<Violation, number>> = {};
  const examples: { violation: Violation; what: string }[] = [];
  const report = (violation: Violation, what: string): void => {
    counts[violation] = (counts[violation] ?? 0) + 1;
    if (examples.length < MAX_EXAMPLES) examples.push({ violation, what });
  };
  const byIdentity = new Map(journal.map((message) => [identityOf(message), message]));
  const refusedByStore = new Set(
    quarantined
      .filter((entry) => entry.reason === 'STORE_WRITE_REJECTED')
      .map((entry) => `${identityOf(entry)}/${/^s\[(\d+)\]/.exec(entry.at)?.[1] ?? ''}`),
  );
  /** how often a sample was exported, by its identity */
  const seen = new Map<string, number>();
  for (const sample of exported) {
    const key = `${identityOf(sample)}/${sample.index}`;
    const times = (seen.get(key) ?? 0) + 1;
    seen.set(key, times);
    const message = byIdentity.get(identityOf(sample));
    const sent = message && message.sends > 0 ? message.samples[sample.index] : undefined;
    if (!sent) report('unsent', key);
    else if (!sent.good) report('badStored', key);
    else if (times > 1) report('doubled', key);
    else if (!isEqual(sent, sample)) report('different', `${key}: ${JSON.stringify(sent)} ≠ ${JSON.stringify(sample)}`);
  }
  let ackedSamples = 0;
  let unacknowledged = 0;
  for (const message of journal) {
    message.samples.forEach((sample, index) => {
      if (!sample.good) return;
      const key = `${identityOf(message)}/${index}`;
      if (message.acks > 0) ackedSamples++;
      else if (seen.has(key)) unacknowledged++;
      if (message.acks > 0 && !seen.has(key) && !refusedByStore.has(key)) report('missing', key);
    });
  }
  judgeQuarantine(journal, quarantined, report);
  const acked = journal.filter((message) => message.acks > 0);
  return {
    ok: Object.keys(counts).length === 0,
    violations: counts,
    examples,
    messages: {
      sent: journal.filter((message) => message.sends > 0).length,
      acked: acked.length,
      copies: journal.reduce((sum, message) => sum + message.sends, 0),
    },
    samples: {
      acked: ackedSamples,
      exported: exported.length,
      unacknowledged,
      refusedByStore: refusedByStore.size,
    },
    quarantineEntries: quarantined.length,
  };
}

/** One record for the bad samples of a message, or for the whole message; again for every copy that arrived. */
function judgeQuarantine(
  journal: readonly JournalMessage[],
  quarantined: Findings['quarantined'],
  report: (violation: Violation, what: string) => void,
): void {
  /** records by tenant, device and hash of the payload */
  const records = new Map<string, number>();
  for (const entry of quarantined) {
    if (entry.channel !== 'telemetry' || entry.reason === 'STORE_WRITE_REJECTED') continue;
    const key = `${entry.tenant}/${entry.device}/${entry.sha256}`;
    records.set(key, (records.get(key) ?? 0) + 1);
  }
  for (const message of journal) {
    const key = `${message.tenant}/${message.device}/${message.sha256}`;
    const found = records.get(key) ?? 0;
    records.delete(key);
    const good = message.samples.filter((sample) => sample.good).length;
    const isBad = message.samples.length === 0 || good < message.samples.length;
    // A copy of a message that is good in part is a duplicate; of one that is wholly bad nothing is remembered.
    const least = !isBad ? 0 : good > 0 ? Math.min(1, message.acks) : message.acks;
    if (found < least) report('notQuarantined', `${identityOf(message)}: ${found} of ${least}`);
    if (found > (isBad ? message.sends : 0)) report('quarantinedTooOften', `${identityOf(message)}: ${found}`);
  }
  for (const key of records.keys()) report('quarantinedUnsent', key);
}

function identityOf(of: {
  tenant: string;
  device: string;
  boot?: string | undefined;
  seq?: number | undefined;
}): string {
  return `${of.tenant}/${of.device}/${of.boot ?? ''}/${of.seq ?? ''}`;
}

function isEqual(sent: JournalSample, stored: ExportedSample): boolean {
  const names = Object.keys(sent.signals);
  return (
    sent.time === stored.time &&
    names.length === Object.keys(stored.signals).length &&
    names.every((name) => Object.is(sent.signals[name], stored.signals[name]))
  );
}
