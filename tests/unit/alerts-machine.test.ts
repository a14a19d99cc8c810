/** What the alert machine does beyond raising and clearing: delays, dead band, flapping, severity, closing as normal. */
import { describe, expect, it } from 'vitest';
import { closeEpisode } from '../../analytics/alerts/episode.ts';
import { policyOf } from '../../analytics/alerts/exceptions.ts';
import { DEFAULT_POLICY } from '../../analytics/alerts/policy.ts';
import { parseAlertPolicy } from '../../analytics/alerts/policy-document.ts';
import { HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import { EpisodeScript, wearWithin } from '../support/episode-script.ts';

describe('delays', () => {
  it('count time as well as samples', () => {
    const slow = new EpisodeScript({ onMs: 30 * MINUTE_MS, offMs: 30 * MINUTE_MS });
    slow.play('######').play('#');
    expect(slow.told.map(({ minute }) => minute)).toEqual([35]);
    slow.play('......').play('.');
    expect(slow.told.map(({ minute }) => minute)).toEqual([35, 70]);
  });

  it('do not pass while the device is silent', () => {
    const slow = new EpisodeScript({ onMs: 30 * MINUTE_MS, offMs: 30 * MINUTE_MS });
    slow.play('##9##');
    expect(slow.told).toEqual([]);
    slow.play('####');
    expect(slow.words()).toEqual(['raised']);
    slow.play('..9..');
    expect(slow.words()).toEqual(['raised']);
    slow.play('....');
    expect(slow.words()).toEqual(['raised', 'cleared']);
  });

  it('are kept by what lies in the dead band, which neither raises nor clears', () => {
    const script = new EpisodeScript();
    expect(script.play('#---#').words()).toEqual(['raised']);
    expect(script.play('.-.-.-.-').words()).toEqual(['raised']);
    expect(script.play('..').words()).toEqual(['raised', 'cleared']);
    expect(script.play('--------').words()).toEqual(['raised', 'cleared']);
  });
});

describe('an alert that comes and goes', () => {
  const SWING = '##..';

  it('is one alert from its fourth opening of a day on', () => {
    const script = new EpisodeScript().play(SWING.repeat(20));
    expect(script.words()).toEqual(['raised', 'cleared', 'raised', 'cleared', 'raised', 'cleared', 'raised']);
    expect(script.told.map(({ flapping }) => flapping)).toEqual([false, false, false, false, false, false, true]);
    expect(script.state.open?.flap).toMatchObject({ openings: 4, swings: 33 });
  });

  it('flaps no more once it has been quiet for long enough, and is over then', () => {
    const script = new EpisodeScript().play(SWING.repeat(6));
    const before = script.told.length;
    script.play('.'.repeat(23));
    expect(script.told).toHaveLength(before);
    script.play('.');
    expect(script.words().at(-1)).toBe('cleared');
    // And what opens after that is counted from one again.
    expect(script.play(SWING.repeat(2)).words().slice(-4)).toEqual(['raised', 'cleared', 'raised', 'cleared']);
  });

  it('flaps no more once it stays, and is an alert like any other then', () => {
    const script = new EpisodeScript().play(SWING.repeat(6)).play('#'.repeat(30));
    expect(script.words().at(-1)).toBe('steady');
    expect(script.told.at(-1)?.flapping).toBe(false);
    expect(script.play('..').words().at(-1)).toBe('cleared');
  });

  it('goes on flapping with every swing: leaving takes more than entering', () => {
    const script = new EpisodeScript().play(SWING.repeat(4));
    for (let i = 0; i < 10; i++) script.play(`##${'.'.repeat(20)}`);
    expect(script.words().filter((word) => word === 'cleared')).toHaveLength(3);
  });

  it('does not flap when its openings lie far apart', () => {
    const script = new EpisodeScript();
    for (let i = 0; i < 8; i++) script.play(SWING).play('9');
    expect(script.told.some(({ flapping }) => flapping)).toBe(false);
    expect(script.words()).toHaveLength(16);
  });

  it('is not quiet because the device is silent', () => {
    const script = new EpisodeScript().play(SWING.repeat(5)).play('99..99..');
    expect(script.state.open?.flap).toBeDefined();
  });

  it('never flaps where the policy says so', () => {
    const script = new EpisodeScript({ flapOpenings: 0 }).play(SWING.repeat(20));
    expect(script.words()).toHaveLength(40);
    expect(script.state.openings).toEqual([]);
  });
});

describe('severity', () => {
  it('only rises within an episode, and is what it is in the next one', () => {
    const script = new EpisodeScript();
    script.severity = 'minor';
    script.play('###');
    script.severity = 'critical';
    script.play('#');
    script.severity = 'minor';
    script.play('####..').play('##');
    expect(script.told.map(({ kind, severity }) => [kind, severity])).toEqual([
      ['alertRaised', 'minor'],
      ['alertUpdated', 'critical'],
      ['alertCleared', 'critical'],
      ['alertRaised', 'minor'],
    ]);
  });
});

describe('closing as normal', () => {
  it('ends the episode, once', () => {
    const script = new EpisodeScript().play('####');
    script.tell(closeEpisode(script.state, script.at, 'accepted'));
    script.tell(closeEpisode(script.state, script.at, 'accepted'));
    expect(script.words()).toEqual(['raised', 'cleared']);
    expect(script.told.at(-1)?.reason).toBe('accepted');
  });

  it('does not count towards flapping', () => {
    const script = new EpisodeScript().play('##..##..##');
    script.tell(closeEpisode(script.state, script.at, 'accepted'));
    script.play('..##');
    expect(script.told.at(-1)).toMatchObject({ kind: 'alertRaised', flapping: false });
  });

  it('makes a prediction no news until half of what was left is gone', () => {
    const script = new EpisodeScript();
    const foresee = (median: number, times: number) => {
      for (let i = 0; i < times; i++) script.sample(0, undefined, { prediction: wearWithin(median) });
    };
    foresee(200, 5);
    expect(script.words()).toEqual(['raised']);
    script.tell(closeEpisode(script.state, script.at, 'accepted'));
    foresee(190, 50);
    foresee(120, 50);
    expect(script.words()).toEqual(['raised', 'cleared']);
    foresee(95, 5);
    expect(script.words()).toEqual(['raised', 'cleared', 'raised']);
    expect(new Set(script.told.map(({ id }) => id)).size).toBe(2);
  });

  it('is done by the policy after its time, if enough samples showed it', () => {
    const script = new EpisodeScript({ acceptAfterMs: 10 * HOUR_MS });
    script.play('#'.repeat(150));
    expect(script.words()).not.toContain('cleared');
    script.play('#'.repeat(52));
    expect(script.told.at(-1)).toMatchObject({ kind: 'alertCleared', reason: 'adopted' });
  });

  it('is never done by the policy unless it says so', () => {
    expect(new EpisodeScript().play('#'.repeat(5_000)).words()).toEqual(['raised', 'confirmed']);
  });
});

describe('the policy of an alert', () => {
  const subject = {
    tenant: 'acme',
    device: 'van-1',
    model: 'electricVan',
    faultKey: 'coolantPumpWear',
    severity: 'major',
    mode: 'driving',
  } as const;

  it('is the common one, uncopied, without exceptions', () => {
    expect(policyOf(DEFAULT_POLICY, subject).policy).toBe(DEFAULT_POLICY);
  });

  it('follows the exceptions that fit, the last word counts', () => {
    const policy = parseAlertPolicy({
      exceptions: [
        { when: { severity: 'major' }, set: { onSamples: 2, offSamples: 40 } },
        { when: { model: 'electricVan', faultKey: 'coolantPumpWear' }, set: { onSamples: 6 } },
        { when: { model: 'refrigerator' }, set: { onSamples: 99 } },
        { when: { tenant: 'acme', device: 'van-1', mode: 'driving' }, set: { severity: 'critical' } },
      ],
    });
    expect(policyOf(policy, subject)).toMatchObject({
      policy: { onSamples: 6, offSamples: 40 },
      severity: 'critical',
    });
    expect(policyOf(policy, { ...subject, mode: 'parked' }).severity).toBe('major');
  });

  it('closes as normal what nobody can explain, and makes it no more than minor', () => {
    const policy = parseAlertPolicy({
      exceptions: [{ when: { faultKey: 'unexplained' }, set: { severity: 'critical' } }],
    });
    const own = policyOf(policy, { ...subject, faultKey: 'unexplained', severity: 'minor' });
    expect(own).toMatchObject({ severity: 'minor', policy: { acceptAfterMs: DEFAULT_POLICY.adoptAfterMs } });
  });
});

describe('a policy document', () => {
  it('leaves what it does not name as it is', () => {
    expect(parseAlertPolicy({})).toEqual(DEFAULT_POLICY);
    expect(parseAlertPolicy({ onSamples: 5 })).toEqual({ ...DEFAULT_POLICY, onSamples: 5 });
  });

  it.each([
    [{ onSample: 5 }, 'onSample'],
    [{ onSamples: 0 }, 'onSamples'],
    [{ clearShare: 1.2 }, 'clearShare'],
    [{ flapOpenings: 2 }, 'flapOpenings'],
    [{ exceptions: [{ when: {}, set: { onSamples: 2 } }] }, 'names nothing'],
    [{ exceptions: [{ when: { model: 'x' }, set: {} }] }, 'sets nothing'],
    [{ exceptions: [{ when: { device: 'd-1' }, set: { onSamples: 2 } }] }, 'together with its tenant'],
    [{ exceptions: [{ when: { mode: 'idle' }, set: { onSamples: 2 } }] }, 'only the severity'],
    [{ exceptions: [{ when: { severity: 'awful' }, set: { onSamples: 2 } }] }, 'exceptions.0.when.severity'],
  ])('is refused when it says %j', (document, word) => {
    expect(() => parseAlertPolicy(document)).toThrow(word);
  });
});
