/**
 * How often an address may be wrong about secrets. Guessing a secret of 128 random bits is hopeless at any rate; this
 * keeps it from being free, and a list of leaked or weak secrets from being tried in minutes.
 *
 * Whole sites come from one address, so an address that is over its limit is not shut: it may only not try anything new.
 * A login that was right before, or that was wrong before and is only repeated, tells nobody anything new and is looked at
 * as always. So a guesser locks nobody out who has been here, and devices with an old secret that try for ever cost their
 * site one wrong login each, not one each time. Pure but for what it remembers: time is an argument, monotonic ms.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { type Bucket, book, isCovered, newBucket, type Pace } from './bucket.ts';
import { keepNewest, networkOf } from './limits.ts';
import type { BrokerOptions } from './options.ts';

export interface GuessLimit {
  /** A login that is to be looked at; `undefined` = it is new, and its address has been wrong too often to try it. */
  attempt(address: string, user: string, secret: string, now: number): Attempt | undefined;
}

/** What became of it. Neither is called when the registry did not answer. */
export interface Attempt {
  right(): void;
  wrong(now: number): void;
}

/**
 * Logins that are looked at together can all be wrong before the first of them is known to be. They are booked all the
 * same; but an address must not be in debt for longer than this, however many it sent.
 */
const MAX_DEBT_MS = 10 * 60_000;

/** @param onForgotten the wrong logins of an address were dropped to make room */
export function createGuessLimit(
  limits: Pick<BrokerOptions, 'wrongLoginsPerMinute' | 'maxBudgets'>,
  onForgotten: () => void,
): GuessLimit {
  const pace: Pace = { perSecond: limits.wrongLoginsPerMinute / 60, burst: limits.wrongLoginsPerMinute };
  /** So that what is remembered is worth nothing outside of this process. */
  const key = randomBytes(32);
  /** by network, longest not wrong first */
  const wrongLogins = new Map<string, Bucket>();
  /** by user name: the fingerprint of what was right the last time, longest not here first */
  const proved = new Map<string, string>();
  /** Fingerprints of what was wrong, longest not tried first. */
  const tried = new Map<string, true>();

  const fingerprintOf = (user: string, secret: string): string =>
    createHmac('sha256', key).update(`${user}\n${secret}`).digest('base64').slice(0, 22);

  function isNew(user: string, fingerprint: string): boolean {
    return proved.get(user) !== fingerprint && !tried.has(fingerprint);
  }

  /** Of a guess that was not made before. */
  function bookWrong(network: string, now: number): void {
    const bucket = keepNewest(wrongLogins, network, newBucket, limits.maxBudgets, onForgotten);
    book(bucket, pace, now);
    bucket.fullAt = Math.min(bucket.fullAt, now + (pace.burst * 1_000) / pace.perSecond + MAX_DEBT_MS);
  }

  return {
    attempt(address, user, secret, now) {
      const network = networkOf(address);
      const fingerprint = fingerprintOf(user, secret);
      const bucket = wrongLogins.get(network);
      if (bucket && !isCovered(bucket, pace, now) && isNew(user, fingerprint)) return undefined;
      return {
        right() {
          tried.delete(fingerprint);
          // Set anew, because it may be another secret than the last time.
          proved.delete(user);
          keepNewest(
            proved,
            user,
            () => fingerprint,
            limits.maxBudgets,
            () => {},
          );
        },
        wrong(at) {
          if (isNew(user, fingerprint)) bookWrong(network, at);
          keepNewest(
            tried,
            fingerprint,
            () => true as const,
            limits.maxBudgets,
            () => {},
          );
        },
      };
    },
  };
}
