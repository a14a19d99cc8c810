/** How one more finding changes what is known of an episode. Replays and late findings change nothing. */
import type { AlertFinding, Evidence, Severity } from '../../contract/ports/findings.ts';

/** An episode as the desk keeps it. */
export interface Episode {
  readonly tenant: string;
  readonly id: string;
  readonly device: string;
  readonly model: string;
  readonly component: string;
  readonly faultKey: string;
  readonly severity: Severity;
  readonly state: 'open' | 'cleared';
  readonly confirmed: boolean;
  readonly onset: number;
  readonly raisedAt: number;
  /** Device time of the newest finding taken in. */
  readonly updatedAt: number;
  readonly clearedAt: number | null;
  readonly evidence: Evidence;
}

/** The episode after `finding`; the same object when nothing changed. A cleared episode stays cleared; late data may put right when it began. */
export function mergeAlert(known: Episode | undefined, finding: AlertFinding): Episode {
  const cleared = finding.kind === 'alertCleared';
  if (!known) return { ...asEpisode(finding), raisedAt: finding.at, clearedAt: cleared ? finding.at : null };
  if (finding.at < known.updatedAt) return known;
  const isCorrected = finding.evidence.rule?.correction === 'lateData';
  if (known.state === 'cleared') {
    const isNews = cleared && isCorrected && known.onset !== finding.onset;
    return isNews ? { ...known, onset: finding.onset } : known;
  }
  if (cleared) return { ...known, state: 'cleared', clearedAt: finding.at, updatedAt: finding.at };
  const next = {
    ...known,
    ...asEpisode(finding),
    onset: isCorrected ? finding.onset : Math.min(known.onset, finding.onset),
  };
  return finding.at === known.updatedAt && sameText(known, next) ? known : next;
}

/** Ends an episode that a newer one of the same fault key has replaced: its clearing was never seen. */
export function supersede(known: Episode, at: number): Episode {
  const clearedAt = Math.max(at, known.updatedAt);
  return { ...known, state: 'cleared', clearedAt, updatedAt: clearedAt };
}

function asEpisode(finding: AlertFinding): Omit<Episode, 'raisedAt' | 'clearedAt'> {
  return {
    tenant: finding.tenant,
    id: finding.episode,
    device: finding.device,
    model: finding.model,
    component: finding.component,
    faultKey: finding.faultKey,
    severity: finding.severity,
    state: finding.kind === 'alertCleared' ? 'cleared' : 'open',
    confirmed: finding.confirmed,
    onset: finding.onset,
    updatedAt: finding.at,
    evidence: finding.evidence,
  };
}

function sameText(a: Episode, b: Episode): boolean {
  return (
    a.severity === b.severity &&
    a.confirmed === b.confirmed &&
    JSON.stringify(a.evidence) === JSON.stringify(b.evidence)
  );
}
