/** Keys on the disk, and what is hashed and sealed under them, across rotations. */
import { createPublicKey, sign, verify } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { singleKey } from '../../api/accounts/key-ring.ts';
import { checkDeviceSecret, hashDeviceSecret } from '../../api/accounts/secrets.ts';
import { openWebhookSecret, sealWebhookSecret } from '../../api/notify/webhook-secrets.ts';
import { KEY_NAMES, openKeys, readKeyFile, readKeys, signingKeyOf } from '../../app/keys.ts';

let directory: string;
const folder = (): string => join(directory, 'keys');
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'presage-keys-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('keys', () => {
  it('are made once, each its own, readable by their owner only, whatever the umask', () => {
    const before = process.umask(0);
    try {
      const first = openKeys(folder());
      const values = KEY_NAMES.map((name) => first.ring(name).current().bytes);
      expect(new Set(values.map((bytes) => bytes.toString('hex'))).size).toBe(KEY_NAMES.length);
      const again = openKeys(folder());
      expect(KEY_NAMES.map((name) => again.ring(name).current().bytes)).toEqual(values);
    } finally {
      process.umask(before);
    }
    expect(statSync(folder()).mode & 0o777).toBe(0o700);
    const modes = readdirSync(folder()).map((file) => statSync(join(folder(), file)).mode & 0o777);
    expect(modes).toEqual(KEY_NAMES.map(() => 0o600));
  });

  it('take over the one key file of older versions', () => {
    const old = Buffer.alloc(32, 9);
    openKeys(folder());
    writeFileSync(join(folder(), 'device-secrets.key'), old.toString('base64url'));
    expect(openKeys(folder()).ring('device-secrets').current()).toEqual({ version: 1, bytes: old });
  });

  it('keep older versions after a rotation, until they are discarded', () => {
    const keys = openKeys(folder());
    const ring = keys.ring('webhooks');
    const first = ring.current();
    expect(keys.rotate('webhooks').version).toBe(2);
    expect(ring.current().version).toBe(2);
    expect(ring.find(1)).toEqual(first);
    const reopened = openKeys(folder()).ring('webhooks');
    expect([reopened.current(), reopened.find(1)]).toEqual([ring.current(), first]);
    expect(() => keys.discard('webhooks', 2)).toThrow(RangeError);
    keys.discard('webhooks', 1);
    expect(ring.find(1)).toBeUndefined();
    expect(openKeys(folder()).rotate('webhooks').version).toBe(3);
  });

  it('are not piled up without end', () => {
    const keys = openKeys(folder());
    for (let version = 2; version <= 8; version++) keys.rotate('backup');
    expect(() => keys.rotate('backup')).toThrow('retire older ones first');
  });

  it('are listed without what they are, the signing key with what others verify by', () => {
    const keys = openKeys(folder());
    const listed = readKeys(folder()).list();
    const text = JSON.stringify(listed);
    for (const name of KEY_NAMES) expect(text).not.toContain(keys.ring(name).current().bytes.toString('base64url'));
    const x = listed.find((key) => key.name === 'signing')?.publicKey ?? '';
    const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    const signature = sign(null, Buffer.from('stop'), signingKeyOf(keys.ring('signing').current().bytes));
    expect(verify(null, Buffer.from('stop'), publicKey, signature)).toBe(true);
    expect(verify(null, Buffer.from('go'), publicKey, signature)).toBe(false);
  });

  it('are refused when a file is damaged', () => {
    openKeys(folder());
    const path = join(folder(), 'signing.key');
    writeFileSync(path, readFileSync(path, 'utf8').slice(0, 10));
    expect(() => openKeys(folder())).toThrow('signing.key');
    expect(() => readKeyFile(join(folder(), 'absent.key'))).toThrow('cannot be read');
  });
});

describe('hashes of device secrets', () => {
  it('verify under the key that made them, and say whether it is the current one', () => {
    const keys = openKeys(folder());
    const ring = keys.ring('device-secrets');
    const old = hashDeviceSecret('secret', ring);
    expect(old).toHaveLength(32);
    keys.rotate('device-secrets');
    const renewed = hashDeviceSecret('secret', ring);
    expect(renewed.subarray(0, 3).toString()).toBe('k2:');
    expect(checkDeviceSecret('secret', old, ring)).toBe('older');
    expect(checkDeviceSecret('secret', renewed, ring)).toBe('current');
    expect(checkDeviceSecret('secreT', old, ring)).toBeUndefined();
    expect(checkDeviceSecret('secreT', renewed, ring)).toBeUndefined();
    keys.discard('device-secrets', 1);
    expect(checkDeviceSecret('secret', old, ring)).toBeUndefined();
    for (const odd of ['', 'k2:', 'k2:short', `k99999999999:${'x'.repeat(32)}`, `x2:${'y'.repeat(32)}`])
      expect(checkDeviceSecret('secret', Buffer.from(odd), ring)).toBeUndefined();
  });
});

describe('sealed webhook secrets', () => {
  const north = { tenant: 'acme', centre: 'north' };
  const secret = 'whsec_c2VjcmV0';

  it('come back as they were, also after a rotation, and never look the same twice', () => {
    const keys = openKeys(folder());
    const ring = keys.ring('webhooks');
    const sealed = sealWebhookSecret(secret, north, ring);
    expect(sealed).not.toContain('whsec_');
    expect(sealWebhookSecret(secret, north, ring)).not.toBe(sealed);
    expect(openWebhookSecret(sealed, north, ring)).toEqual({ kind: 'opened', secret, isCurrent: true });
    keys.rotate('webhooks');
    expect(openWebhookSecret(sealed, north, ring)).toEqual({ kind: 'opened', secret, isCurrent: false });
    keys.discard('webhooks', 1);
    expect(openWebhookSecret(sealed, north, ring)).toMatchObject({ kind: 'unreadable' });
  });

  it('open for nobody else: not in another centre, not changed, not under another key', () => {
    const ring = singleKey(Buffer.alloc(32, 1));
    const sealed = sealWebhookSecret(secret, north, ring);
    const changed = `${sealed.slice(0, 20)}${sealed[20] === 'A' ? 'B' : 'A'}${sealed.slice(21)}`;
    expect(openWebhookSecret(sealed, { ...north, centre: 'south' }, ring).kind).toBe('unreadable');
    expect(openWebhookSecret(sealed, { ...north, tenant: 'globex' }, ring).kind).toBe('unreadable');
    expect(openWebhookSecret(changed, north, ring).kind).toBe('unreadable');
    expect(openWebhookSecret('sealed:k1:AAAA', north, ring).kind).toBe('unreadable');
    expect(openWebhookSecret(sealed, north, singleKey(Buffer.alloc(32, 2))).kind).toBe('unreadable');
  });
});
