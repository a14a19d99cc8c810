/**
 * Who guessed wrong too often waits. Only failures count, so that an office behind one address signs in as often as it
 * likes; an IPv6 address counts with its network of 64 bits, because one host owns all of it.
 */
import { isIPv6 } from 'node:net';
import { MINUTE_MS } from '../../contract/kernel/time.ts';

export interface FailedTries {
  /** Milliseconds until this address may try again; 0 = now. */
  waitMs(address: string, now: number): number;
  failed(address: string, now: number): void;
}

const MAX_FAILURES = 5;
const WINDOW_MS = 15 * MINUTE_MS;
/** Beyond it the address that failed longest ago is forgotten: guessing from so many needs no second try. */
const MAX_ADDRESSES = 10_000;

export function createFailedTries(maxAddresses = MAX_ADDRESSES): FailedTries {
  /** times of the last failures by address, the one that failed last at the end */
  const failures = new Map<string, readonly number[]>();
  const recent = (key: string, now: number): readonly number[] =>
    (failures.get(key) ?? []).filter((at) => at > now - WINDOW_MS && at <= now);
  return {
    waitMs(address, now) {
      const times = recent(networkOf(address), now);
      const first = times.at(-MAX_FAILURES);
      return first === undefined ? 0 : first + WINDOW_MS - now;
    },
    failed(address, now) {
      const key = networkOf(address);
      const times = [...recent(key, now), now].slice(-MAX_FAILURES);
      failures.delete(key);
      failures.set(key, times);
      const [oldest] = failures.keys();
      if (failures.size > maxAddresses && oldest !== undefined) failures.delete(oldest);
    },
  };
}

/** @example networkOf('2001:db8:0:1::7') // => '2001:db8:0:1' */
function networkOf(address: string): string {
  if (!isIPv6(address) || address.startsWith('::ffff:')) return address;
  const [head = '', tail] = address.split('%')[0]?.split('::') ?? [];
  const left = head.split(':').filter(Boolean);
  const right = (tail ?? '').split(':').filter(Boolean);
  const gap = tail === undefined ? [] : Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0');
  return [...left, ...gap, ...right].slice(0, 4).join(':');
}
