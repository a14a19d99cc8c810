/**
 * Tables of the alarm desk: what people did about alarms, what keeps them quiet, and which of them belong together. The
 * alarms themselves are `alerts` in schema.ts. Times are epoch milliseconds of the server.
 */
import { sql } from 'drizzle-orm';
import { bigint, index, integer, jsonb, pgTable, primaryKey, text, uniqueIndex, uuid } from 'drizzle-orm/pg-core';
import type {
  AlarmEventType,
  GroupDecision,
  HoldKind,
  SilencedAlarm,
  SilenceKind,
  WeeklySchedule,
} from '../../contract/http/alarms.ts';
import { policies, tenant, time } from './schema-parts.ts';

const WHOLE_TENANT = `COALESCE(current_setting('presage.centre', true), '') = ''`;
const OWN = `tenant_id = current_setting('presage.tenant', true)`;

/** A user of a centre sees it through the alarm, whose own policy narrows the subquery. */
const ownAlarm = (table: string) =>
  sql.raw(
    `${OWN} AND (${WHOLE_TENANT} OR EXISTS (SELECT 1 FROM alerts WHERE alerts.tenant_id = ${table}.tenant_id AND alerts.id = ${table}.alert_id))`,
  );
const SILENCE_OF_OWN = sql.raw(
  `${OWN} AND (${WHOLE_TENANT} OR centre = current_setting('presage.centre', true) OR EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = silences.tenant_id AND tickets.device = silences.device))`,
);
const REPORT_OF_OWN = sql.raw(
  `${OWN} AND (${WHOLE_TENANT} OR EXISTS (SELECT 1 FROM silences WHERE silences.tenant_id = silence_reports.tenant_id AND silences.id = silence_reports.silence_id))`,
);
const OF_WHOLE_TENANT = sql.raw(`${OWN} AND ${WHOLE_TENANT}`);

/** What happened to an alarm, and who did it. Append-only: no role may change or delete a row. */
export const alarmEvents = pgTable(
  'alarm_events',
  {
    tenant: tenant(),
    /** Rises; the order of what happened. */
    id: bigint('id', { mode: 'number' }).generatedAlwaysAsIdentity(),
    alertId: text('alert_id').notNull(),
    at: time('at').notNull(),
    /** `system`, or the user's id. */
    actor: text('actor').notNull(),
    type: text('type').$type<AlarmEventType>().notNull(),
    reason: text('reason'),
    facts: jsonb('facts').$type<Record<string, unknown>>(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.alertId, table.id] }),
    index('alarm_events_by_time').on(table.tenant, table.type, table.at),
    ...policies(ownAlarm('alarm_events')),
  ],
);

/**
 * What keeps alarms quiet for a time: shelves, maintenance windows, devices out of service. A scope column that is null
 * means all. `from` and `until` are those of the current or, for a weekly window, of the next time.
 */
export const silences = pgTable(
  'silences',
  {
    tenant: tenant(),
    id: uuid('id').notNull(),
    kind: text('kind').$type<SilenceKind>().notNull(),
    device: text('device'),
    model: text('model'),
    centre: text('centre'),
    faultKey: text('fault_key'),
    reason: text('reason').notNull(),
    createdBy: text('created_by').notNull(),
    createdAt: time('created_at').notNull(),
    from: time('from_at').notNull(),
    /** None = until a person ends it: only out of service. */
    until: time('until_at'),
    weekly: jsonb('weekly').$type<WeeklySchedule>(),
    endedAt: time('ended_at'),
    endedBy: text('ended_by'),
    endReason: text('end_reason'),
    version: integer('version').notNull().default(1),
    /** When somebody has to look whether it is over; none = nothing is left to settle. */
    settleAt: time('settle_at'),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.id] }),
    uniqueIndex('silences_one_shelf')
      .on(table.tenant, table.device, table.faultKey)
      .where(sql`kind = 'shelve' AND ended_at IS NULL`),
    index('silences_due').on(table.settleAt).where(sql`settle_at IS NOT NULL`),
    index('silences_by_time').on(table.tenant, table.createdAt.desc(), table.id.desc()),
    index('silences_running').on(table.tenant).where(sql`ended_at IS NULL`),
    ...policies(SILENCE_OF_OWN),
  ],
);

/** What a silence kept quiet, written when it ended; one row each time. */
export const silenceReports = pgTable(
  'silence_reports',
  {
    tenant: tenant(),
    silenceId: uuid('silence_id').notNull(),
    from: time('from_at').notNull(),
    until: time('until_at').notNull(),
    /** `system` = it expired. */
    endedBy: text('ended_by').notNull(),
    /** Alarms in all; `items` names at most the first 200. */
    silenced: integer('silenced').notNull(),
    /** Of which were acted upon when it ended. */
    acted: integer('acted').notNull(),
    items: jsonb('items').$type<readonly SilencedAlarm[]>().notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.silenceId, table.until] }), ...policies(REPORT_OF_OWN)],
);

/** What an alarm would have asked of people, and what kept it from doing so. Ended ones stay: they are the record. */
export const alarmHolds = pgTable(
  'alarm_holds',
  {
    tenant: tenant(),
    id: bigint('id', { mode: 'number' }).generatedAlwaysAsIdentity(),
    alertId: text('alert_id').notNull(),
    kind: text('kind').$type<HoldKind>().notNull(),
    /** Id of the silence, of the explaining alarm, or of the group. */
    holder: text('holder').notNull(),
    since: time('since').notNull(),
    /** Ends by itself then. */
    until: time('until_at'),
    endedAt: time('ended_at'),
    /** What came of it, in one word. */
    outcome: text('outcome').$type<SilencedAlarm['outcome']>(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.alertId, table.id] }),
    uniqueIndex('alarm_holds_one')
      .on(table.tenant, table.alertId, table.kind, table.holder)
      .where(sql`ended_at IS NULL`),
    index('alarm_holds_by_holder').on(table.tenant, table.kind, table.holder, table.since),
    index('alarm_holds_due').on(table.until).where(sql`ended_at IS NULL AND until_at IS NOT NULL`),
    ...policies(ownAlarm('alarm_holds')),
  ],
);

/** Many units of one model, batch and firmware with the same fault: a candidate for a campaign. At most one is open. */
export const alarmGroups = pgTable(
  'alarm_groups',
  {
    tenant: tenant(),
    id: uuid('id').notNull(),
    model: text('model').notNull(),
    /** Empty = nobody knows. */
    batch: text('batch').notNull(),
    firmware: text('firmware').notNull(),
    faultKey: text('fault_key').notNull(),
    state: text('state').$type<'open' | 'closed'>().notNull(),
    openedAt: time('opened_at').notNull(),
    closedAt: time('closed_at'),
    /** Devices in service of that model, batch and firmware when it was opened. */
    exposed: integer('exposed').notNull(),
    decision: text('decision').$type<GroupDecision>(),
    decidedBy: text('decided_by'),
    decidedAt: time('decided_at'),
    reason: text('reason'),
    version: integer('version').notNull().default(1),
    /** Without a decision until then, the tickets open. */
    decideBy: time('decide_by').notNull(),
    settleAt: time('settle_at'),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.id] }),
    uniqueIndex('alarm_groups_one_open')
      .on(table.tenant, table.model, table.batch, table.firmware, table.faultKey)
      .where(sql`state = 'open'`),
    index('alarm_groups_due').on(table.settleAt).where(sql`settle_at IS NOT NULL`),
    index('alarm_groups_by_time').on(table.tenant, table.openedAt.desc(), table.id.desc()),
    ...policies(OF_WHOLE_TENANT),
  ],
);
