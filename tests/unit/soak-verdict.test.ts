/** The verdict of the soak run sees what grows through the noise of what does not. */
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../contract/kernel/random.ts';
import { judgeSoak, type SoakSample } from '../soak/judge-soak.ts';

const MIB = 1024 * 1024;

/** 45 minutes, a look every ten seconds; `drift` says what is added at each second. */
function run(drift: (atSeconds: number) => Partial<SoakSample>, minutes = 45): SoakSample[] {
  const random = seededRandom(7);
  return Array.from({ length: minutes * 6 }, (_, step) => {
    const atSeconds = step * 10;
    const added = drift(atSeconds);
    return {
      atSeconds,
      residentBytes: 300 * MIB + random() * 30 * MIB + (added.residentBytes ?? 0),
      openFiles: 60 + Math.floor(random() * 3) + (added.openFiles ?? 0),
      lagBytes: random() * 40_000 + (added.lagBytes ?? 0),
    };
  });
}

describe('the verdict of a soak run', () => {
  it('is content with noise, and with caches that fill at first', () => {
    const warmUp = (atSeconds: number) => ({ residentBytes: Math.min(atSeconds, 500) * 200_000 });
    expect(judgeSoak(run(() => ({})))).toMatchObject({ judged: true, ok: true });
    expect(judgeSoak(run(warmUp))).toMatchObject({ judged: true, ok: true });
  });

  it.each([
    ['memory', (atSeconds: number) => ({ residentBytes: atSeconds * 30_000 }), 'residentBytes'],
    ['descriptors', (atSeconds: number) => ({ openFiles: Math.floor(atSeconds / 200) }), 'openFiles'],
    ['lag', (atSeconds: number) => ({ lagBytes: atSeconds * 2_000 }), 'lagBytes'],
  ] as const)('sees %s that grows', (_what, drift, key) => {
    const verdict = judgeSoak(run(drift));
    expect(verdict.ok).toBe(false);
    expect(verdict[key].ok).toBe(false);
  });

  it('allows lag a second of what comes in, and no more', () => {
    const growing = run((atSeconds) => ({ lagBytes: atSeconds * 2_000 }));
    expect(judgeSoak(growing, 10 * MIB).lagBytes.ok).toBe(true);
    expect(judgeSoak(growing, 2 * MIB).lagBytes.ok).toBe(false);
  });

  it('does not claim to know after a minute', () => {
    expect(judgeSoak(run(() => ({}), 1))).toMatchObject({ judged: false, ok: false });
    expect(judgeSoak([])).toMatchObject({ judged: false, ok: false });
  });
});
