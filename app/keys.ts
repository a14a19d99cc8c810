/**
 * The server's own keys: made at the first start, kept in files that only their owner can read, renewed by adding a version.
 * Version 1 lies in `name.key`, later ones in `name.2.key` and so on; the highest is current. So a rotation is one
 * file put in place, and a crash leaves either all of it or nothing.
 */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { KeyRing, ServerKey } from '../api/accounts/key-ring.ts';
import { AppError } from '../contract/kernel/errors.ts';

/** What each key is for. */
export const KEYS = {
  'device-secrets': 'hashes the secrets of devices (HMAC-SHA-256)',
  signing: 'signs what the server says to devices (Ed25519)',
  webhooks: 'seals the secrets of webhooks in the database (AES-256-GCM)',
  backup: 'encrypts backups (AES-256-GCM)',
} as const;
export type KeyName = keyof typeof KEYS;
export const KEY_NAMES = Object.keys(KEYS) as readonly KeyName[];

export interface KeyFacts {
  readonly name: KeyName;
  readonly version: number;
  readonly isCurrent: boolean;
  /** Tells keys apart without telling anything about them. */
  readonly id: string;
  readonly file: string;
  /** Of the signing key: base64url, to be given to whoever verifies. */
  readonly publicKey?: string;
}

export interface KeyStore {
  /** Shows rotations at once. */
  ring(name: KeyName): KeyRing;
  list(): readonly KeyFacts[];
  /** Adds a version, which is current from now on. @throws AppError KEY_IN_USE when too many older ones are kept */
  rotate(name: KeyName): ServerKey;
  /** Deletes an older version for ever. @throws RangeError for the current one */
  discard(name: KeyName, version: number): void;
}

const KEY_BYTES = 32;
/** More versions than these are asked to be retired first. */
const MAX_VERSIONS = 8;
/** What PKCS #8 (RFC 8410) puts before the 32 bytes of an Ed25519 key. */
const ED25519_HEADER = Buffer.from('302e020100300506032b657004220420', 'hex');

/** Opens the folder and makes each key that is missing. @throws AppError CONFIG_INVALID when a file does not hold a key */
export function openKeys(directory: string): KeyStore {
  const rings = new Map<KeyName, ServerKey[]>();
  for (const name of KEY_NAMES) {
    const found = readVersions(directory, name);
    rings.set(name, found.length > 0 ? found : [addVersion(directory, name, 1)]);
  }
  return storeOf(directory, rings);
}

/** The same without making anything. */
export function readKeys(directory: string): KeyStore {
  return storeOf(directory, new Map(KEY_NAMES.map((name) => [name, readVersions(directory, name)])));
}

function storeOf(directory: string, rings: ReadonlyMap<KeyName, ServerKey[]>): KeyStore {
  /** oldest first */
  const versionsOf = (name: KeyName): ServerKey[] => rings.get(name) ?? [];
  const currentOf = (name: KeyName): ServerKey => {
    const current = versionsOf(name).at(-1);
    if (!current) throw new AppError('CONFIG_INVALID', `there is no key ${name} in ${directory}`);
    return current;
  };
  return {
    ring: (name) => ({
      current: () => currentOf(name),
      find: (version) => versionsOf(name).find((key) => key.version === version),
    }),
    list: () =>
      KEY_NAMES.flatMap((name) =>
        versionsOf(name).map((key) => ({
          name,
          version: key.version,
          isCurrent: key === currentOf(name),
          id: keyId(key.bytes),
          file: fileOf(directory, name, key.version),
          ...(name === 'signing' ? { publicKey: publicKeyOf(key.bytes) } : {}),
        })),
      ),
    rotate(name) {
      const versions = versionsOf(name);
      if (versions.length >= MAX_VERSIONS)
        throw new AppError('KEY_IN_USE', `${versions.length} versions of ${name} are kept; retire older ones first`);
      const key = addVersion(directory, name, (versions.at(-1)?.version ?? 0) + 1);
      versions.push(key);
      return key;
    },
    discard(name, version) {
      const versions = versionsOf(name);
      const index = versions.findIndex((key) => key.version === version);
      if (index < 0 || index === versions.length - 1) throw new RangeError(`${name} ${version} is not an older key`);
      rmSync(fileOf(directory, name, version));
      syncFolder(directory);
      versions.splice(index, 1);
    },
  };
}

/** The key in one file, such as a copy kept elsewhere. @throws AppError CONFIG_INVALID */
export function readKeyFile(path: string): Buffer {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', `the key file ${path} cannot be read`, { cause });
  }
  const key = Buffer.from(text, 'base64url');
  if (key.length !== KEY_BYTES)
    throw new AppError('CONFIG_INVALID', `${path} does not hold a key of ${KEY_BYTES} bytes`);
  return key;
}

/** Puts a key that came from elsewhere in place. */
export function writeKeyFile(directory: string, name: KeyName, { version, bytes }: ServerKey): void {
  const path = fileOf(directory, name, version);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  chmodSync(directory, 0o700);
  const file = openSync(`${path}.new`, 'w', 0o600);
  writeSync(file, bytes.toString('base64url'));
  fsyncSync(file);
  closeSync(file);
  renameSync(`${path}.new`, path);
  syncFolder(directory);
  syncFolder(dirname(directory));
}

/** Eight hexadecimal digits of a hash: enough to tell keys apart, nothing to attack them with. */
export function keyId(key: Buffer): string {
  return createHash('sha256').update('presage key id').update(key).digest('hex').slice(0, 8);
}

/** The Ed25519 key of 32 secret bytes. */
export function signingKeyOf(bytes: Buffer): KeyObject {
  return createPrivateKey({ key: Buffer.concat([ED25519_HEADER, bytes]), format: 'der', type: 'pkcs8' });
}

function publicKeyOf(bytes: Buffer): string {
  return createPublicKey(signingKeyOf(bytes)).export({ format: 'jwk' }).x ?? '';
}

function addVersion(directory: string, name: KeyName, version: number): ServerKey {
  const key = { version, bytes: randomBytes(KEY_BYTES) };
  writeKeyFile(directory, name, key);
  return key;
}

function readVersions(directory: string, name: KeyName): ServerKey[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .flatMap((file) => {
      const found = file.startsWith(name) ? /^(?:\.(\d{1,9}))?\.key$/.exec(file.slice(name.length)) : null;
      return found ? [{ version: Number(found[1] ?? 1), bytes: readKeyFile(join(directory, file)) }] : [];
    })
    .sort((a, b) => a.version - b.version);
}

function fileOf(directory: string, name: KeyName, version: number): string {
  return join(directory, version === 1 ? `${name}.key` : `${name}.${version}.key`);
}

function syncFolder(directory: string): void {
  const folder = openSync(directory, 'r');
  fsyncSync(folder);
  closeSync(folder);
}
