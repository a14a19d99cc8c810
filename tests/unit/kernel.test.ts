import { describe, expect, it } from 'vitest';
import { AppError, ERRORS } from '../../contract/kernel/errors.ts';
import { clientIdOf, PARTITION_COUNT, parseClientId, partitionOf } from '../../contract/kernel/ids.ts';
import { gaussian, seededRandom } from '../../contract/kernel/random.ts';
import { isRetriableStatus, retryDelayMs } from '../../contract/kernel/retry.ts';
import { formatDuration, parseDuration } from '../../contract/kernel/time.ts';
import { parseTopic, topicOf } from '../../contract/wire/topics.ts';

describe('client ids', () => {
  it('reads back what it wrote', () => {
    const ref = { tenant: 'acme', device: 'fridge:1_A' };
    expect(parseClientId(clientIdOf(ref))).toEqual(ref);
  });

  it.each([
    '',
    'acme',
    '.d',
    'acme.',
    'Acme.d',
    'acme.a.b',
    'acme.d/e',
    'acme.+',
    `${'a'.repeat(25)}.d`,
    'acme.d\u0000',
  ])('refuses %j', (text) => {
    expect(parseClientId(text)).toBeUndefined();
  });

  it('spreads devices over all partitions', () => {
    const used = new Set(
      Array.from({ length: 2_000 }, (_, index) => partitionOf({ tenant: 'acme', device: `d${index}` })),
    );
    expect(used.size).toBe(PARTITION_COUNT);
  });
});

describe('topics', () => {
  it('reads back what it wrote', () => {
    const ref = { tenant: 'acme', device: 'fridge-1' };
    expect(parseTopic(topicOf(ref, 'cmd/req'))).toEqual({ ...ref, channel: 'cmd/req' });
  });

  it.each([
    '',
    'presage/v1',
    'presage/v1/acme/fridge-1',
    'presage/v1/acme/fridge-1/',
    'presage/v1/+/fridge-1/birth',
    'presage/v1/acme/#',
    'presage/v2/acme/f/birth',
    '$SYS/x',
    'presage/v1/acme/f/telemetry/x',
  ])('does not know %j', (topic) => {
    expect(parseTopic(topic)).toBeUndefined();
  });
});

describe('durations', () => {
  it.each([
    ['250ms', 250],
    ['30s', 30_000],
    ['1.5h', 5_400_000],
    ['2d', 172_800_000],
  ])('reads %s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(['', '5', 'h', '-1s', '1 h', '1w'])('refuses %j by name', (text) => {
    expect(() => parseDuration(text)).toThrow(`"${text}"`);
  });

  it.each([
    [950, '950ms'],
    [65_000, '1m 5s'],
    [93_600_000, '1d 2h'],
    [3_600_000, '1h'],
  ])('writes %d ms as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});

describe('retry', () => {
  it('grows to its ceiling and never waits less than half of it', () => {
    expect([1, 2, 3, 20].map((attempt) => retryDelayMs(attempt, 0))).toEqual([100, 200, 400, 15_000]);
    expect(retryDelayMs(20, 0.999)).toBeLessThanOrEqual(30_000);
  });

  it.each([
    [400, false],
    [401, false],
    [404, false],
    [408, true],
    [425, true],
    [429, true],
    [500, true],
    [501, false],
    [503, true],
  ])('status %d may be tried again: %s', (status, retriable) => {
    expect(isRetriableStatus(status)).toBe(retriable);
  });
});

describe('seeded randomness', () => {
  it('repeats itself for the same seed and differs for another', () => {
    const draw = (seed: number) => Array.from({ length: 5 }, seededRandom(seed));
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
  });

  it('has the mean and spread of a normal distribution', () => {
    const random = seededRandom(3);
    const values = Array.from({ length: 20_000 }, () => gaussian(random));
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.03);
    expect(Math.abs(variance - 1)).toBeLessThan(0.05);
  });
});

describe('errors', () => {
  it('carry status, retriability and facts from the catalogue', () => {
    const error = new AppError('STORE_UNAVAILABLE', 'connection refused', { facts: { url: 'x' } });
    expect(error).toMatchObject({ status: 503, retriable: true, facts: { url: 'x' } });
    expect(error.message).toBe(`${ERRORS.STORE_UNAVAILABLE.title}: connection refused`);
  });
});
