/**
 * Versions that run beside the active one: the same samples, each with a state of its own, begun as a copy of the active
 * state without its episodes. What they find is counted and never becomes an alert.
 */
import type { AlertFinding, Finding, ShadowFinding, VersionName } from '../../contract/ports/findings.ts';
import { stableId } from '../alerts/identity.ts';
import type { DeviceState } from '../device-state.ts';
import type { SampleToScore } from '../scoring/sample.ts';
import type { ShadowJudge } from './judges.ts';

/** What a device keeps of the versions beside, by key of the judge; `null` = there was no room for it. */
export type ShadowStates = Record<string, DeviceState | null>;

/** Asked for each device that a shadow meets first. Deterministic: it counts what stands in the log. */
export type AskForRoom = (shadow: ShadowJudge) => boolean;

/**
 * Gives each shadow its state before the sample is scored and forgets those of versions that are gone. Call it before the
 * active version takes the sample in.
 * @returns shadows that have a state here
 */
export function seatShadows(
  state: DeviceState,
  shadows: readonly ShadowJudge[],
  askForRoom: AskForRoom,
): readonly ShadowJudge[] {
  if (shadows.length === 0) {
    if (state.shadows) delete state.shadows;
    return shadows;
  }
  const known = state.shadows ?? {};
  state.shadows = {};
  for (const shadow of shadows) {
    const own = Object.hasOwn(known, shadow.key) ? known[shadow.key] : undefined;
    state.shadows[shadow.key] = own === undefined ? (askForRoom(shadow) ? copyOf(state) : null) : own;
  }
  return shadows.filter(({ key }) => state.shadows?.[key]);
}

/** Judges one sample by one of them. */
export function scoreBeside(own: DeviceState, shadow: ShadowJudge, sample: SampleToScore): readonly ShadowFinding[] {
  const found: ShadowFinding[] = [];
  for (const one of shadow.scorer.score(own, sample).findings) {
    const told = asShadow(one, shadow.by);
    if (told) found.push(told);
  }
  return found;
}

/** What is normal was learned already; what is under way each version finds out by itself. */
function copyOf(state: DeviceState): DeviceState {
  const { order: _order, shadows: _shadows, counted: _counted, episodes: _episodes, ...rest } = state;
  return { ...(JSON.parse(JSON.stringify(rest)) as Omit<DeviceState, 'episodes'>), episodes: {} };
}

const EVENTS = { alertRaised: 'raised', alertUpdated: 'updated', alertCleared: 'cleared' } as const;

function asShadow(finding: Finding, by: VersionName): ShadowFinding | undefined {
  if (finding.kind === 'prediction' || finding.kind === 'shadowAlert') return undefined;
  const {
    id,
    tenant,
    device,
    model,
    at,
    position,
    episode,
    faultKey,
    component,
    severity,
    confirmed,
    onset,
  }: AlertFinding = finding;
  return {
    ...{ tenant, device, model, at, position, episode, faultKey, component, severity, confirmed, onset },
    id: stableId('shadow', by.name, by.version, id),
    kind: 'shadowAlert',
    event: EVENTS[finding.kind],
    by,
    score: finding.evidence.score,
  };
}
