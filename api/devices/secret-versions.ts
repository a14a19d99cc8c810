/** Which devices and integrations still need an older key: their secret is stored as a hash under it, and only their next login renews that. */
import { sql } from 'drizzle-orm';
import { hashPrefix } from '../accounts/secrets.ts';
import type { Database } from '../db/database.ts';
import { devices, integrations } from '../db/schema.ts';

/** Length of the HMAC that follows the prefix. */
const MAC_BYTES = 32;

/**
 * Devices and integrations that could not log in without that version of the key. Not those whose secret nobody knows: decommissioned
 * ones, and those that wait for their first claim.
 */
export async function countDevicesUnder(database: Database, version: number): Promise<number> {
  const prefix = hashPrefix(version);
  const uses = (column: typeof devices.secretHash | typeof devices.nextSecretHash | typeof integrations.secretHash) =>
    sql`(octet_length(${column}) = ${prefix.length + MAC_BYTES} AND substring(${column} from 1 for ${prefix.length}) = ${prefix})`;
  const [ofDevices, ofIntegrations] = await database.withSystem(async (tx) => [
    await tx
      .select({ n: sql<number>`count(*)::int` })
      .from(devices)
      .where(
        sql`${devices.status} <> 'decommissioned' AND ${devices.claim} IS DISTINCT FROM 'open'
          AND (${uses(devices.secretHash)} OR ${uses(devices.nextSecretHash)})`,
      ),
    await tx.select({ n: sql<number>`count(*)::int` }).from(integrations).where(uses(integrations.secretHash)),
  ]);
  return (ofDevices?.[0]?.n ?? 0) + (ofIntegrations?.[0]?.n ?? 0);
}
