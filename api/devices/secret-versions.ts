/** Which devices still need an older key: their secret is stored as a hash under it, and only their next login renews that. */
import { sql } from 'drizzle-orm';
import { hashPrefix } from '../accounts/secrets.ts';
import type { Database } from '../db/database.ts';
import { devices } from '../db/schema.ts';

/** Length of the HMAC that follows the prefix. */
const MAC_BYTES = 32;

/**
 * Devices that could not log in without that version of the key. Not those whose secret nobody knows: decommissioned
 * ones, and those that wait for their first claim.
 */
export async function countDevicesUnder(database: Database, version: number): Promise<number> {
  const prefix = hashPrefix(version);
  const uses = (column: typeof devices.secretHash | typeof devices.nextSecretHash) =>
    sql`(octet_length(${column}) = ${prefix.length + MAC_BYTES} AND substring(${column} from 1 for ${prefix.length}) = ${prefix})`;
  const [row] = await database.withSystem((tx) =>
    tx
      .select({ n: sql<number>`count(*)::int` })
      .from(devices)
      .where(
        sql`${devices.status} <> 'decommissioned' AND ${devices.claim} IS DISTINCT FROM 'open'
          AND (${uses(devices.secretHash)} OR ${uses(devices.nextSecretHash)})`,
      ),
  );
  return row?.n ?? 0;
}
