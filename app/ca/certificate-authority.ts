/**
 * A certificate authority in a folder, for fleets that have none: its key, its certificate, what it issued, and the
 * list of what it revoked. ECDSA on P-256 throughout: small, and fast enough for thousands of handshakes.
 *
 * | file | holds |
 * |---|---|
 * | `ca.key` | private key of the authority, 0600; whoever has it can be any device |
 * | `ca.crt` | its certificate: what the server and devices trust |
 * | `ca.crl` | revoked certificates, signed |
 * | `issued.json` | serial, subject and end of each certificate, and when it was revoked |
 */
// The certificate package refuses to load without it.
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { z } from 'zod';
import { AppError } from '../../contract/kernel/errors.ts';
import { parseClientId } from '../../contract/kernel/ids.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const CA_DAYS = 3_650;
/** The list is a file beside the server, not fetched: only a revocation makes it out of date. */
const CRL_DAYS = 3_650;
/** Devices' clocks, and ours, are not exact. */
const CLOCK_TOLERANCE_MS = 5 * 60_000;

const issuedCertificate = z.object({
  serial: z.string().regex(/^[0-9a-f]+$/),
  subject: z.string(),
  notAfter: z.string(),
  revokedAt: z.string().optional(),
});
export type IssuedCertificate = z.infer<typeof issuedCertificate>;

export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
  readonly serial: string;
}

export interface IssueRequest {
  /** Client id of a device (`{tenant}.{device}`), or a name of the server when `server` is set. */
  readonly name: string;
  /** For the server: all names and addresses under which devices reach it. */
  readonly server?: readonly string[];
  readonly days: number;
  /** Folder of the new files. */
  readonly out: string;
}

/** @throws AppError CONFIG_INVALID when the folder holds an authority already */
export async function initCa(directory: string, name: string, now: number): Promise<void> {
  if (existsSync(join(directory, 'ca.key'))) throw new AppError('CONFIG_INVALID', `${directory} holds an authority`);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: newSerial(),
      name: [{ CN: [name] }],
      ...validity(now, CA_DAYS),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        // Path length 0: what it issues cannot issue.
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  writePrivate(join(directory, 'ca.key'), await privatePem(keys.privateKey));
  replaceFile(join(directory, 'ca.crt'), pem(certificate));
  saveIssued(directory, []);
  await writeCrl(directory, now);
}

/** @throws AppError CONFIG_INVALID when there is no authority, or the name is no client id */
export async function issue(directory: string, request: IssueRequest, now: number): Promise<CertificateFiles> {
  const { name, server } = request;
  if (!server && !parseClientId(name)) throw new AppError('CONFIG_INVALID', `${name} is not {tenant}.{device}`);
  const ca = await openCa(directory);
  const keys = await newKeys();
  const serial = newSerial();
  const dates = validity(now, request.days);
  const usage = server ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth;
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: serial,
      subject: [{ CN: [name] }],
      issuer: ca.certificate.subjectName.toJSON(),
      ...dates,
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey,
      signingKey: ca.key,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([usage], true),
        await x509.AuthorityKeyIdentifierExtension.create(ca.certificate.publicKey, false, webcrypto),
        ...(server ? [new x509.SubjectAlternativeNameExtension(server.map(alternativeName))] : []),
      ],
    },
    webcrypto,
  );
  // Noted before it is given out: what exists can be revoked.
  saveIssued(directory, [...readIssued(directory), { serial, subject: name, notAfter: dates.notAfter.toISOString() }]);
  mkdirSync(request.out, { recursive: true, mode: 0o700 });
  const files = { certificate: join(request.out, `${name}.crt`), key: join(request.out, `${name}.key`), serial };
  writePrivate(files.key, await privatePem(keys.privateKey));
  replaceFile(files.certificate, pem(certificate));
  return files;
}

/**
 * Revokes one certificate by its serial, or all of a subject, and writes the list. Returns what is newly revoked.
 * @throws AppError NOT_FOUND when nothing of it was issued here
 */
export async function revoke(directory: string, serialOrSubject: string, now: number): Promise<IssuedCertificate[]> {
  const wanted = serialOrSubject.toLowerCase();
  const matches = (one: IssuedCertificate): boolean => one.serial === wanted || one.subject === serialOrSubject;
  const issued = readIssued(directory);
  if (!issued.some(matches)) throw new AppError('NOT_FOUND', `${directory} has not issued ${serialOrSubject}`);
  const revokedAt = new Date(now).toISOString();
  const revoked = issued.filter((one) => matches(one) && !one.revokedAt).map((one) => ({ ...one, revokedAt }));
  const serials = new Set(revoked.map((one) => one.serial));
  saveIssued(directory, [...issued.filter((one) => !serials.has(one.serial)), ...revoked]);
  await writeCrl(directory, now);
  return revoked;
}

async function writeCrl(directory: string, now: number): Promise<void> {
  const ca = await openCa(directory);
  const revoked = readIssued(directory).filter((one) => one.revokedAt);
  const list = await x509.X509CrlGenerator.create(
    {
      issuer: ca.certificate.subjectName.toJSON(),
      thisUpdate: new Date(now - CLOCK_TOLERANCE_MS),
      nextUpdate: new Date(now + CRL_DAYS * DAY_MS),
      signingAlgorithm: ALGORITHM,
      signingKey: ca.key,
      entries: revoked.map((one) => ({ serialNumber: one.serial, revocationDate: new Date(one.revokedAt ?? now) })),
    },
    webcrypto,
  );
  // The label that OpenSSL reads; the package would write `CRL`.
  replaceFile(join(directory, 'ca.crl'), `${x509.PemConverter.encode(list.rawData, 'X509 CRL')}\n`);
}

async function openCa(directory: string): Promise<{ certificate: x509.X509Certificate; key: webcrypto.CryptoKey }> {
  try {
    const certificate = new x509.X509Certificate(readFileSync(join(directory, 'ca.crt'), 'utf8'));
    const der = x509.PemConverter.decodeFirst(readFileSync(join(directory, 'ca.key'), 'utf8'));
    return { certificate, key: await webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']) };
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', `${directory} holds no authority: presage ca init`, { cause });
  }
}

/** @throws AppError CONFIG_INVALID when the file is damaged */
function readIssued(directory: string): IssuedCertificate[] {
  const path = join(directory, 'issued.json');
  try {
    return z.array(issuedCertificate).parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', `${path} cannot be read`, { cause });
  }
}

function saveIssued(directory: string, issued: readonly IssuedCertificate[]): void {
  replaceFile(join(directory, 'issued.json'), `${JSON.stringify(issued, undefined, 2)}\n`);
}

/** 16 bytes, the first between 1 and 127: a positive integer without leading zeros, as DER wants it. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = 1 + ((bytes[0] ?? 0) % 127);
  return bytes.toString('hex');
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;
}

async function privatePem(key: webcrypto.CryptoKey): Promise<string> {
  return `${x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;
}

function pem(data: x509.X509Certificate): string {
  return `${data.toString('pem')}\n`;
}

function validity(now: number, days: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(now - CLOCK_TOLERANCE_MS), notAfter: new Date(now + days * DAY_MS) };
}

function alternativeName(name: string): x509.JsonGeneralName {
  return { type: isIP(name) ? 'ip' : 'dns', value: name };
}

function writePrivate(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  chmodSync(`${path}.new`, 0o600);
  renameSync(`${path}.new`, path);
}

/** Whoever reads it meanwhile sees the old file or the new one, never half of it. */
function replaceFile(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}
