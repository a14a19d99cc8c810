/** Proof of receipt: when a message came, through which connection, from where, and with which certificate. */
import { and, asc, desc, eq, lte } from 'drizzle-orm';
import { z } from 'zod';
import { messageReceipt } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { BOOT_PATTERN, type DeviceRef } from '../../contract/kernel/ids.ts';
import type { Transaction } from '../db/database.ts';
import { deviceSessions, devices, quarantine } from '../db/schema.ts';
import { principalOf } from '../plugins/authentication.ts';
import { type App, answers, type RouteContext } from './context.ts';

const byId = z.object({ id: z.string().min(1).max(64) });
const message = z.strictObject({
  boot: z.string().regex(BOOT_PATTERN),
  seq: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
});
/** Entries of one message: copies that were refused each time. */
const MAX_ENTRIES = 100;

export function registerReceipts(app: App, { database, receipt }: RouteContext): void {
  app.get(
    '/api/v1/devices/:id/receipts',
    {
      schema: {
        tags: ['devices'],
        description:
          'What is known of the telemetry message with this boot and sequence number: when it was received, and through which connection.',
        params: byId,
        querystring: message,
        response: answers({ 200: messageReceipt }),
      },
    },
    async (request) => {
      const principal = principalOf(request);
      // What came before a transfer is not for one centre, and the store does not know of transfers.
      if (principal.centre !== undefined) throw new AppError('FORBIDDEN', 'users of one centre do not read receipts');
      const { boot, seq } = request.query;
      const ref = { tenant: principal.tenant, device: request.params.id };
      const known = await database.withTenant(principal, async (tx) => ({
        device: await modelOf(tx, ref),
        entries: await entriesOf(tx, ref, boot, seq),
      }));
      if (!known.device) throw new AppError('NOT_FOUND', `device ${ref.device}`);
      const stored = await receipt({ ...ref, model: known.device.model, boot, seq });
      const receivedAt = stored?.receivedAt ?? known.entries[0]?.receivedAt;
      if (receivedAt === undefined) throw new AppError('NOT_FOUND', `message ${boot}/${seq} of device ${ref.device}`);
      const session = await database.withTenant(principal, (tx) => sessionAt(tx, ref, receivedAt));
      return {
        device: ref.device,
        boot,
        seq,
        outcome: stored ? ('stored' as const) : ('quarantined' as const),
        receivedAt,
        ...(stored ? { observedAt: stored.observedAt } : {}),
        samples: stored?.samples ?? 0,
        quarantine: known.entries.map(({ id }) => id),
        ...(session ? { connection: session } : {}),
      };
    },
  );
}

async function modelOf(tx: Transaction, ref: DeviceRef): Promise<{ model: string } | undefined> {
  const [row] = await tx
    .select({ model: devices.model })
    .from(devices)
    .where(and(eq(devices.tenant, ref.tenant), eq(devices.id, ref.device)));
  return row;
}

function entriesOf(tx: Transaction, { tenant, device }: DeviceRef, boot: string, seq: number) {
  const isMessage = and(
    eq(quarantine.tenant, tenant),
    eq(quarantine.device, device),
    eq(quarantine.boot, boot),
    eq(quarantine.seq, seq),
    eq(quarantine.channel, 'telemetry'),
  );
  return tx
    .select({ id: quarantine.id, receivedAt: quarantine.receivedAt })
    .from(quarantine)
    .where(isMessage)
    .orderBy(asc(quarantine.receivedAt), asc(quarantine.id))
    .limit(MAX_ENTRIES);
}

/** The newest login before that time: a device speaks through its newest connection only. */
async function sessionAt(tx: Transaction, { tenant, device }: DeviceRef, at: number) {
  const [row] = await tx
    .select()
    .from(deviceSessions)
    .where(
      and(eq(deviceSessions.tenant, tenant), eq(deviceSessions.device, device), lte(deviceSessions.connectedAt, at)),
    )
    .orderBy(desc(deviceSessions.connectedAt), desc(deviceSessions.position))
    .limit(1);
  if (!row) return undefined;
  const { connection, connectedAt, remoteAddress, certificateSerial } = row;
  return { id: connection, connectedAt, remoteAddress, ...(certificateSerial === null ? {} : { certificateSerial }) };
}
