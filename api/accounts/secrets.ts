/** Secrets that we hand out: made from 32 random bytes, kept only as a hash. A fast hash is right for random secrets. */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

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

/** What is stored of a device's secret: under the server's key, so that a copied table is of no use. */
export function hashDeviceSecret(secret: string, hmacKey: Buffer): Buffer {
  return createHmac('sha256', hmacKey).update(secret).digest();
}

/** Comparison that takes the same time wherever the first difference is. */
export function sameHash(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
