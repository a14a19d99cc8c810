/** The files of the TLS listener: read together, checked before they are used, and watched for change. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { AppError, errorText } from '../contract/kernel/errors.ts';

export interface CertificatePaths {
  readonly certFile: string;
  readonly keyFile: string;
  /** Authorities whose device certificates are taken; without it devices log in with their secret only. */
  readonly caFile?: string | undefined;
  /** Revocation list of the authority. */
  readonly crlFile?: string | undefined;
}

export interface CertificateSet {
  readonly context: SecureContextOptions;
  /** Serials on the revocation list, lower-case hex. */
  readonly revoked: ReadonlySet<string>;
  /** Changes when a file does. */
  readonly fingerprint: string;
}

/** @throws AppError CONFIG_INVALID naming what does not fit */
export async function readCertificates(paths: CertificatePaths): Promise<CertificateSet> {
  const [cert, key, ca, crl] = await Promise.all(
    [paths.certFile, paths.keyFile, paths.caFile, paths.crlFile].map(readOptional),
  );
  try {
    const context: SecureContextOptions = { cert, key, ...(ca && { ca }), ...(crl && { crl: listsIn(crl) }) };
    createSecureContext(context);
    const fingerprint = createHash('sha256');
    for (const file of [cert, key, ca, crl]) fingerprint.update(file ?? '').update('\0');
    return { context, revoked: crl ? await serialsOf(crl) : new Set(), fingerprint: fingerprint.digest('hex') };
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', `the certificate files do not fit: ${errorText(cause)}`, { cause });
  }
}

async function readOptional(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', `${path} cannot be read`, { cause });
  }
}

/** One text for each list: OpenSSL reads only the first of a text. */
function listsIn(pem: string): string[] {
  const lists = pem.match(/-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----/g);
  if (!lists) throw new Error('the revocation list holds no X509 CRL');
  return lists;
}

/** OpenSSL looks at the list in handshakes only; for connections that stand we need the serials ourselves. */
async function serialsOf(pem: string): Promise<ReadonlySet<string>> {
  // Loaded when there is a list: the package takes a fifth of a second, and needs the other one to load at all.
  await import('reflect-metadata');
  const { PemConverter, X509Crl } = await import('@peculiar/x509');
  const lists = listsIn(pem).map((list) => new X509Crl(PemConverter.decodeFirst(list)));
  return new Set(lists.flatMap((list) => list.entries.map((entry) => normalSerial(entry.serialNumber))));
}

/** Lower-case hex without leading zeros: OpenSSL and the package write them differently. */
export function normalSerial(hex: string): string {
  return hex.toLowerCase().replace(/^0+(?=.)/, '');
}
