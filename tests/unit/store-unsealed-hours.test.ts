/** What retention knows of the hours that hold raw samples. */
import { describe, expect, it } from 'vitest';
import { HOUR_MS } from '../../contract/kernel/time.ts';
import { UnsealedHours } from '../../ingest/store/unsealed-hours.ts';

const T0 = 495_000 * HOUR_MS;
const [MODEL, OTHER] = [1, 2];

describe('the hours that hold raw samples', () => {
  it('are due oldest first, once they have ended and everything in them came before the cut', () => {
    const hours = new UnsealedHours();
    hours.add(MODEL, T0 + 2 * HOUR_MS, T0 + 2 * HOUR_MS);
    hours.add(MODEL, T0 + 1.5, T0 + 10);
    hours.add(MODEL, T0 + HOUR_MS - 0.5, T0 + 20);
    expect(hours.oldestDue(MODEL, T0 + HOUR_MS - 1)).toBeUndefined();
    expect(hours.oldestDue(MODEL, T0 + HOUR_MS)).toEqual({ from: T0, samples: 2 });
    expect(hours.oldestDue(OTHER, T0 + HOUR_MS)).toBeUndefined();
    hours.add(MODEL, T0, T0 + 5 * HOUR_MS);
    expect(hours.oldestDue(MODEL, T0 + 4 * HOUR_MS)).toEqual({ from: T0 + 2 * HOUR_MS, samples: 1 });
    expect(hours.oldestDue(MODEL, T0 + 6 * HOUR_MS)).toEqual({ from: T0, samples: 3 });
  });

  it('go slice by slice, and come back with what comes late', () => {
    const hours = new UnsealedHours();
    hours.add(MODEL, T0, T0, 10);
    hours.remove(MODEL, T0, 4);
    expect(hours.oldestDue(MODEL, T0 + HOUR_MS)).toEqual({ from: T0, samples: 6 });
    hours.remove(MODEL, T0, 6);
    expect(hours.oldestDue(MODEL, T0 + HOUR_MS)).toBeUndefined();
    hours.remove(MODEL, T0, 1);
    hours.add(MODEL, T0 + 7, T0);
    expect(hours.oldestDue(MODEL, T0 + HOUR_MS)).toEqual({ from: T0, samples: 1 });
  });

  it('are forgotten all together when they are too many, and it says so', () => {
    const hours = new UnsealedHours(3);
    for (const hour of [0, 1, 2]) hours.add(MODEL, T0 + hour * HOUR_MS, T0);
    hours.remove(MODEL, T0, 1);
    hours.add(OTHER, T0, T0);
    expect(hours.overflowed).toBe(false);
    hours.add(OTHER, T0 + HOUR_MS, T0);
    expect(hours.overflowed).toBe(true);
    expect(hours.oldestDue(MODEL, T0 + 9 * HOUR_MS)).toBeUndefined();
  });
});
