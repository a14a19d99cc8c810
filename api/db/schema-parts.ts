/** What every table definition is made of: roles, columns that all have, and the row-level rules that repeat in SQL what queries ask for. */
import { sql } from 'drizzle-orm';
import { bigint, customType, pgPolicy, pgRole, text } from 'drizzle-orm/pg-core';

export const appRole = pgRole('presage_app').existing();
export const systemRole = pgRole('presage_system').existing();

export const time = (name: string) => bigint(name, { mode: 'number' });
export const bytes = customType<{ data: Buffer; driverData: Buffer }>({ dataType: () => 'bytea' });
export const tenant = () => text('tenant_id').notNull();

export const OWN_TENANT = sql.raw(`tenant_id = current_setting('presage.tenant', true)`);
/** What happened before a device was last transferred belongs to nobody's centre any more. */
export const sinceTransfer = (table: string, device: string, at: string) =>
  `NOT EXISTS (SELECT 1 FROM custody WHERE custody.tenant_id = ${table}.tenant_id AND custody.device = ${table}.${device} AND custody.event = 'transferred' AND custody.at > ${table}.${at})`;

export const OWN_CENTRE = sql.raw(
  `tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (centre = current_setting('presage.centre', true) AND ${sinceTransfer('tickets', 'device', 'created_at')}))`,
);

/** A user of a centre sees a device through the tickets of that centre, whose own policy narrows the subquery. */
export const deviceOfOwnTickets = (table: string, column: string, at?: string) =>
  sql.raw(
    `tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = ${table}.tenant_id AND tickets.device = ${table}.${column})${at === undefined ? '' : ` AND ${sinceTransfer(table, column, at)}`}))`,
  );

export const ownTicket = (table: string) =>
  sql.raw(
    `tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = ${table}.tenant_id AND tickets.key = ${table}.ticket_key)`,
  );

export const policies = (rule = OWN_TENANT) => [
  pgPolicy('app_sees_own', { to: appRole, using: rule, withCheck: rule }),
  pgPolicy('system_sees_all', { to: systemRole, using: sql`true`, withCheck: sql`true` }),
];
export const systemOnly = () => [
  pgPolicy('system_sees_all', { to: systemRole, using: sql`true`, withCheck: sql`true` }),
];
