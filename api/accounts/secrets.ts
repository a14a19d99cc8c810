/** Secrets that we hand out: made from 32 random bytes, kept only as a hash. A fast hash is right for random secrets. */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { KeyRing } from './key-ring.ts';

/** Prefix of API tokens, so that leaked ones can be searched for. */
const TOKEN_PREFIX = 'psg_';

/** A new API token, for example `psg_q2…` (47 characters). */
export function newToken(): string {
  return TOKEN_PREFIX + newSecret();
}

/** 256 random bits as base64url. Never begins with `-`, which a spreadsheet takes for a formula and a shell for an option. */
export function newSecret(): string {
  for (;;) {
    const secret = randomBytes(32).toString('base64url');
    if (!secret.startsWith('-')) return secret;
  }
}

/** What is stored of a token, session or link. */
export function hashToken(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** HMAC-SHA-256 without the version in front. */
const MAC_BYTES = 32;
/** Longest prefix that `splitHash` looks for: `k`, up to nine digits, a colon. */
const MAX_PREFIX_BYTES = 11;

/**
 * What is stored of a device's secret: its HMAC under the server's current key, so that a copied table is of no use. In front
 * stands the key's version (`k2:` and 32 bytes); the first version has none, as it was before keys could be rotated.
 */
export function hashDeviceSecret(secret: string, keys: KeyRing): Buffer {
  const { version, bytes } = keys.current();
  return Buffer.concat([hashPrefix(version), macOf(secret, bytes)]);
}

/**
 * Whether `secret` is the one of the stored hash: `current`, or `older` when it is and the hash was made with an older key.
 * Takes as long for a hash whose key is gone.
 */
export function checkDeviceSecret(secret: string, stored: Buffer, keys: KeyRing): 'current' | 'older' | undefined {
  const { version, mac } = splitHash(stored);
  const current = keys.current();
  const key = keys.find(version);
  const same = sameHash(macOf(secret, (key ?? current).bytes), mac);
  if (!key || !same) return undefined;
  return version === current.version ? 'current' : 'older';
}

/** What stands in front of hashes made with that version of the key. */
export function hashPrefix(version: number): Buffer {
  return Buffer.from(version === 1 ? '' : `k${version}:`, 'latin1');
}

function splitHash(stored: Buffer): { version: number; mac: Buffer } {
  const mac = stored.subarray(-MAC_BYTES);
  const prefix = stored.subarray(0, Math.min(MAX_PREFIX_BYTES, stored.length - mac.length)).toString('latin1');
  return { version: prefix === '' ? 1 : Number(/^k(\d{1,9}):$/.exec(prefix)?.[1] ?? 0), mac };
}

function macOf(secret: string, key: Buffer): Buffer {
  return createHmac('sha256', key).update(secret).digest();
}

/** Comparison that takes the same time wherever the first difference is. */
export function sameHash(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
