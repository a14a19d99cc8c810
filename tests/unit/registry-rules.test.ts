import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { agreementOf, type RaisedAlert } from '../../api/registry/agreement.ts';
import {
  activeBefore,
  decideMove,
  type KnownVersion,
  type PastChange,
  type RegistryMove,
} from '../../api/registry/decide.ts';
import { ensembleParameters } from '../../contract/ports/versions.ts';

const version = (id: string, state: KnownVersion['state'], over: Partial<KnownVersion> = {}): KnownVersion => ({
  ...{ id, state, kind: 'ensemble', version: id, runnable: true },
  ...over,
});
const became = (entryId: string, act: PastChange['act'], to: PastChange['to'] = 'active'): PastChange => ({
  ...{ entryId, act, to },
});

describe('a decision about versions', () => {
  it('retires what was active when another one is promoted', () => {
    const [a, b] = [version('a', 'active'), version('b', 'shadow')];
    expect(decideMove('promote', b, [a, b], [])).toEqual({
      kind: 'change',
      changes: [
        { id: 'a', act: 'retired', from: 'active', to: 'retired' },
        { id: 'b', act: 'promoted', from: 'shadow', to: 'active' },
      ],
    });
  });

  it('goes back by two when it is rolled back twice, not to and fro', () => {
    const history = [became('a', 'adopted'), became('b', 'promoted'), became('c', 'promoted')];
    expect(activeBefore(history)).toBe('b');
    expect(activeBefore([...history, became('b', 'rolledBack')])).toBe('a');
    expect(activeBefore([...history, became('b', 'rolledBack'), became('a', 'rolledBack')])).toBeUndefined();
    expect(activeBefore([...history, became('b', 'rolledBack'), became('d', 'promoted')])).toBe('b');
    expect(activeBefore([...history, became('c2', 'succeeded')])).toBe('b');
  });

  it.each<[RegistryMove, KnownVersion, RegExp]>([
    ['promote', version('a', 'active'), /active already/],
    ['promote', version('a', 'retired', { runnable: false }), /does not have the parts/],
    ['retire', version('a', 'active'), /one version must be active/],
    ['retire', version('a', 'retired'), /retired already/],
    ['shadow', version('a', 'shadow'), /shadow already/],
    ['shadow', version('a', 'retired', { kind: 'prognosis' }), /only ensembles/],
    ['shadow', version('a', 'retired', { runnable: false }), /does not have the parts/],
    ['rollBack', version('a', 'shadow'), /only the active/],
    ['rollBack', version('a', 'active'), /nothing was active before/],
  ])('says why it refuses: %s', (move, entry, reason) => {
    const decided = decideMove(move, entry, [entry], [became('a', 'adopted')]);
    expect(decided).toMatchObject({ kind: 'refused', reason: expect.stringMatching(reason) });
  });

  it('lets two versions at most run beside the active one', () => {
    const all = [version('a', 'active'), version('b', 'shadow'), version('c', 'shadow'), version('d', 'retired')];
    const decided = decideMove('shadow', all[3] as KnownVersion, all, []);
    expect(decided).toMatchObject({ kind: 'refused', reason: 'b and c run beside already; retire one first' });
  });

  it('leaves exactly one active, whatever is asked for in whatever order', () => {
    const moves = fc.constantFrom<RegistryMove>('promote', 'rollBack', 'retire', 'shadow');
    fc.assert(
      fc.property(fc.array(fc.tuple(moves, fc.nat(4)), { maxLength: 40 }), (asked) => {
        let all = ['a', 'b', 'c', 'd', 'e'].map((id) => version(id, id === 'a' ? 'active' : 'retired'));
        const history: PastChange[] = [became('a', 'adopted')];
        for (const [move, n] of asked) {
          const decided = decideMove(move, all[n] as KnownVersion, all, history);
          if (decided.kind === 'refused') continue;
          for (const { id, act, from, to } of decided.changes) {
            expect(all.find((one) => one.id === id)?.state).toBe(from);
            all = all.map((one) => (one.id === id ? { ...one, state: to } : one));
            history.push({ entryId: id, act, to });
            // The index that forbids two is not deferred: what was active goes first.
            expect(all.filter((one) => one.state === 'active').length).toBeLessThanOrEqual(1);
          }
          expect(all.filter((one) => one.state === 'active')).toHaveLength(1);
          expect(all.filter((one) => one.state === 'shadow').length).toBeLessThanOrEqual(2);
        }
      }),
    );
  });
});

describe('parameters of an ensemble', () => {
  const good = ensembleParameters.parse({
    alertsPer1000DeviceDays: 5,
    onSamples: 3,
    onMs: 0,
    offSamples: 12,
    offMs: 3_600_000,
    clearShare: 0.6,
    confirmSamples: 12,
    foreseenPredictions: 5,
    warnHorizon: { cycle: 30, h: 336 },
    updateEverySamples: 24,
    adoptAfterMs: 604_800_000,
    detectors: ['drift'],
  });

  it.each([
    { alertsPer1000DeviceDays: 0 },
    { alertsPer1000DeviceDays: 1_001 },
    { onSamples: 0 },
    { onSamples: 1.5 },
    { clearShare: 1 },
    { warnHorizon: { cycle: 30 } },
    { adoptAfterMs: 1_000 },
    { detectors: [] },
    { detectors: ['drift', 'drift'] },
    { unknown: 1 },
  ])('outside their ranges are refused: %o', (change) => {
    expect(ensembleParameters.safeParse({ ...good, ...change }).success).toBe(false);
  });
});

describe('agreement of two versions', () => {
  const alert = (over: Partial<RaisedAlert> = {}): RaisedAlert => ({
    ...{ device: 'a', faultKey: 'f', onset: 100, clearedAt: 200 },
    ...over,
  });

  it('counts alerts about the same device, fault and time once each', () => {
    const shadow = [alert(), alert({ onset: 150 }), alert({ device: 'b' }), alert({ onset: 900, clearedAt: null })];
    const active = [
      alert({ onset: 190, clearedAt: 300 }),
      alert({ onset: 950, clearedAt: null }),
      alert({ faultKey: 'g' }),
    ];
    expect(agreementOf(shadow, active)).toEqual({ both: 2, onlyShadow: 2, onlyActive: 1, share: 0.4 });
  });

  it('is undefined when neither has raised anything', () => {
    expect(agreementOf([], [])).toEqual({ both: 0, onlyShadow: 0, onlyActive: 0, share: undefined });
  });
});
