/** Which integrations may log in, on SQL. Asked at each login only, so nothing is kept in memory. */
import { and, eq } from 'drizzle-orm';
import type { IntegrationRef } from '../../contract/kernel/ids.ts';
import { MINUTE_MS } from '../../contract/kernel/time.ts';
import type { IntegrationDirectory } from '../../contract/ports/broker.ts';
import type { Clock } from '../../contract/ports/services.ts';
import type { KeyRing } from '../accounts/key-ring.ts';
import { checkDeviceSecret, hashDeviceSecret } from '../accounts/secrets.ts';
import type { Database } from '../db/database.ts';
import { integrations } from '../db/schema.ts';

/** Compared with when the integration is unknown, so that the answer takes as long. */
const NOBODY = Buffer.alloc(32);
/** Last logins are written at most this often. */
const TOUCH_MS = MINUTE_MS;

export const isIntegration = (ref: IntegrationRef) =>
  and(eq(integrations.tenant, ref.tenant), eq(integrations.id, ref.integration));

export function createIntegrationDirectory(
  database: Database,
  { hmacKeys, clock }: { readonly hmacKeys: KeyRing; readonly clock: Clock },
): IntegrationDirectory {
  return {
    admits: (ref, secret) =>
      database.withSystem(async (tx) => {
        const { status, secretHash, lastLoginAt } = integrations;
        const [row] = await tx.select({ status, secretHash, lastLoginAt }).from(integrations).where(isIntegration(ref));
        const checked = checkDeviceSecret(secret, row?.secretHash ?? NOBODY, hmacKeys);
        if (!row || !checked || row.status !== 'active') return false;
        const now = clock.now();
        const renewed = checked === 'older' ? { secretHash: hashDeviceSecret(secret, hmacKeys) } : {};
        if (checked === 'older' || now - (row.lastLoginAt ?? 0) > TOUCH_MS) {
          await tx
            .update(integrations)
            .set({ lastLoginAt: now, ...renewed })
            // A secret that was rotated meanwhile must not be undone.
            .where(and(isIntegration(ref), eq(integrations.secretHash, row.secretHash)));
        }
        return true;
      }),
  };
}
