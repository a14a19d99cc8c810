/** Guessing is slow from one address, and nobody else waits for it. */
import { expect, it } from 'vitest';
import { createFailedTries } from '../../api/accounts/failed-tries.ts';

const MINUTE = 60_000;

it('lets an address fail five times in fifteen minutes, and then waits for the oldest failure to age', () => {
  const tries = createFailedTries();
  for (let n = 0; n < 5; n++) {
    expect(tries.waitMs('10.0.0.1', n * MINUTE)).toBe(0);
    tries.failed('10.0.0.1', n * MINUTE);
  }
  expect(tries.waitMs('10.0.0.1', 5 * MINUTE)).toBe(10 * MINUTE);
  expect(tries.waitMs('10.0.0.2', 5 * MINUTE)).toBe(0);
  expect(tries.waitMs('10.0.0.1', 15 * MINUTE)).toBe(0);
  tries.failed('10.0.0.1', 15 * MINUTE);
  expect(tries.waitMs('10.0.0.1', 15 * MINUTE)).toBe(MINUTE);
});

it.each([
  ['2001:db8:0:1::7', '2001:db8:0:1:ffff::8', true],
  ['2001:db8::7', '2001:db8:0:0:1::', true],
  ['2001:db8:0:1::7', '2001:db8:0:2::7', false],
  ['::ffff:10.0.0.1', '::ffff:10.0.0.2', false],
])('takes %s and %s for one network: %s', (one, other, same) => {
  const tries = createFailedTries();
  for (let n = 0; n < 5; n++) tries.failed(one, 0);
  expect(tries.waitMs(other, 1) > 0).toBe(same);
});

it('is not silenced for ever by a clock that was set back, and forgets the oldest address beyond its bound', () => {
  const tries = createFailedTries(2);
  for (const address of ['a', 'b', 'c']) for (let n = 0; n < 5; n++) tries.failed(address, 100 * MINUTE);
  expect(['a', 'b', 'c'].map((address) => tries.waitMs(address, 100 * MINUTE) > 0)).toEqual([false, true, true]);
  expect(tries.waitMs('c', 0)).toBe(0);
});
