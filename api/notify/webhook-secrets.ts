/**
 * Webhook secrets must come back as they were, to sign with: they lie in the database sealed with AES-256-GCM under the
 * webhook key, bound to their tenant and centre, so that neither a copied table nor a row moved to another centre is of
 * use. `sealed:k2:…` names the key's version; what does not begin so was stored before secrets were sealed.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { and, asc, eq, sql } from 'drizzle-orm';
import type { KeyRing, ServerKey } from '../accounts/key-ring.ts';
import type { Database, Transaction } from '../db/database.ts';
import { centres } from '../db/schema.ts';

export interface CentreRef {
  readonly tenant: string;
  readonly centre: string;
}

export type OpenedSecret =
  | { readonly kind: 'opened'; readonly secret: string; readonly isCurrent: boolean }
  | { readonly kind: 'unreadable'; readonly reason: string };

export interface ResealReport {
  readonly resealed: number;
  /** Their key is gone or they were changed; they stay as they are. */
  readonly unreadable: number;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Rows of one transaction. */
const BATCH_ROWS = 100;
const SEALED = /^sealed:k(\d{1,9}):([\w-]+)$/;

export function sealWebhookSecret(secret: string, of: CentreRef, keys: KeyRing): string {
  const key = keys.current();
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key.bytes, nonce).setAAD(boundTo(of, key));
  const sealed = Buffer.concat([nonce, cipher.update(secret, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return `${sealedPrefix(key.version)}${sealed.toString('base64url')}`;
}

export function openWebhookSecret(stored: string, of: CentreRef, keys: KeyRing): OpenedSecret {
  const found = SEALED.exec(stored);
  if (!found) return { kind: 'opened', secret: stored, isCurrent: false };
  const version = Number(found[1]);
  const key = keys.find(version);
  if (!key) return { kind: 'unreadable', reason: `webhook key ${version} is missing` };
  const secret = decrypt(Buffer.from(found[2] ?? '', 'base64url'), of, key);
  if (secret === undefined) return { kind: 'unreadable', reason: 'the webhook secret was changed in the database' };
  return { kind: 'opened', secret, isCurrent: version === keys.current().version };
}

/**
 * Seals under the current key what lies under an older one or plain. In short transactions: a kill in between leaves
 * every row readable, and the next call does the rest.
 */
export async function resealWebhookSecrets(database: Database, keys: KeyRing): Promise<ResealReport> {
  const report = { resealed: 0, unreadable: 0 };
  let after: CentreRef = { tenant: '', centre: '' };
  for (;;) {
    const last = await database.withSystem((tx) => resealBatch(tx, keys, after, report));
    if (!last) return report;
    after = last;
  }
}

/** Last row of the batch, or `undefined` when there was none. */
async function resealBatch(
  tx: Transaction,
  keys: KeyRing,
  after: CentreRef,
  report: { resealed: number; unreadable: number },
): Promise<CentreRef | undefined> {
  const prefix = sealedPrefix(keys.current().version);
  const rows = await tx
    .select({ tenant: centres.tenant, centre: centres.id, stored: centres.webhookSecret })
    .from(centres)
    .where(
      and(
        sql`${centres.webhookSecret} IS NOT NULL AND NOT starts_with(${centres.webhookSecret}, ${prefix})`,
        sql`(${centres.tenant}, ${centres.id}) > (${after.tenant}, ${after.centre})`,
      ),
    )
    .orderBy(asc(centres.tenant), asc(centres.id))
    .limit(BATCH_ROWS)
    .for('update');
  for (const row of rows) {
    const opened = openWebhookSecret(row.stored ?? '', row, keys);
    if (opened.kind === 'unreadable') report.unreadable += 1;
    else {
      const webhookSecret = sealWebhookSecret(opened.secret, row, keys);
      await tx
        .update(centres)
        .set({ webhookSecret })
        .where(and(eq(centres.tenant, row.tenant), eq(centres.id, row.centre)));
      report.resealed += 1;
    }
  }
  return rows.at(-1);
}

/** How many secrets lie under that version of the key. */
export async function countWebhookSecrets(database: Database, version: number): Promise<number> {
  const [row] = await database.withSystem((tx) =>
    tx
      .select({ n: sql<number>`count(*)::int` })
      .from(centres)
      .where(sql`starts_with(${centres.webhookSecret}, ${sealedPrefix(version)})`),
  );
  return row?.n ?? 0;
}

function sealedPrefix(version: number): string {
  return `sealed:k${version}:`;
}

function boundTo({ tenant, centre }: CentreRef, { version }: ServerKey): Buffer {
  return Buffer.from(JSON.stringify(['webhook secret', version, tenant, centre]));
}

/** `undefined` when it is not what was sealed. */
function decrypt(sealed: Buffer, of: CentreRef, key: ServerKey): string | undefined {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key.bytes, sealed.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  })
    .setAAD(boundTo(of, key))
    .setAuthTag(sealed.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]).toString(
      'utf8',
    );
  } catch {
    return undefined; // The tag does not fit: changed, or moved here from another centre.
  }
}
