/**
 * Every table of the house. Each row names its tenant, and row-level security repeats in SQL what the queries ask for:
 * role `presage_app` sees one tenant (and one centre where the user belongs to one), `presage_system` is for followers.
 * Times are epoch milliseconds. Change it here, then `npx drizzle-kit generate`; migrations only go forward.
 */
import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  doublePrecision,
  index,
  integer,
  json,
  jsonb,
  pgPolicy,
  pgTable,
  primaryKey,
  text,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';
import type { TechnicianBody, Visit } from '../../contract/http/dispatch.ts';
import type { ContactDetails } from '../../contract/http/intake.ts';
import type { OutcomeReport } from '../../contract/http/outcomes.ts';
import type { Quote, QuoteDraft, QuoteState } from '../../contract/http/quotes.ts';
import type {
  CustodyEvent,
  ProvisioningMode,
  QuarantineReplay,
  QuarantineState,
  Role,
  TicketState,
  TicketSummary,
  TokenScope,
} from '../../contract/http/resources.ts';
import type { FaultClass } from '../../contract/http/service-terms.ts';
import type { WarrantyNote, WarrantyTerms } from '../../contract/http/warranty.ts';
import type { Evidence, Prediction, RemainingLife, Severity, VersionName } from '../../contract/ports/findings.ts';
import type { Order } from '../../contract/ports/orders.ts';
import type { RuleBinding } from '../../contract/ports/rules.ts';
import type {
  EnsembleParameters,
  RegistryAct,
  RegistryKind,
  RegistryState,
  TrainingFacts,
} from '../../contract/ports/versions.ts';
import type { WorkingCalendar } from '../desk/service-levels/calendar.ts';
import type { ClockId } from '../desk/service-levels/events.ts';
import type { Escalation, ServiceLevelPolicy, TicketFacts } from '../desk/service-levels/policy.ts';
import {
  appRole,
  bytes,
  deviceOfOwnTickets,
  OWN_CENTRE,
  OWN_TENANT,
  ownTicket,
  policies,
  systemOnly,
  systemRole,
  tenant,
  time,
} from './schema-parts.ts';

export const tenants = pgTable(
  'tenants',
  {
    tenant: text('tenant_id').primaryKey(),
    name: text('name').notNull(),
    defaultCentre: text('default_centre').notNull(),
    /** Overrides of the ticket policy. */
    policy: jsonb('policy').$type<Record<string, unknown>>().notNull().default({}),
    createdAt: time('created_at').notNull(),
  },
  () => policies(),
);

export const centres = pgTable(
  'centres',
  {
    tenant: tenant(),
    id: text('id').notNull(),
    name: text('name').notNull(),
    timeZone: text('time_zone').notNull(),
    webhookUrl: text('webhook_url'),
    /** Not granted to `presage_app`. */
    webhookSecret: text('webhook_secret'),
    /** When it works; office hours of its zone when absent. */
    calendar: jsonb('calendar').$type<WorkingCalendar>(),
    calendarVersion: integer('calendar_version').notNull().default(0),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.id] }), ...policies()],
);

export const users = pgTable(
  'users',
  {
    tenant: tenant(),
    id: text('id').notNull(),
    role: text('role').$type<Role>().notNull(),
    /** Set: sees only tickets of this centre and their devices. */
    centre: text('centre'),
    disabled: boolean('disabled').notNull().default(false),
    createdAt: time('created_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.id] }), ...policies()],
);

/** API tokens; only their SHA-256 is kept. */
export const tokens = pgTable(
  'tokens',
  {
    /** Not granted to `presage_app`. */
    hash: bytes('hash').primaryKey(),
    /** Names it in lists and when it is revoked. */
    id: uuid('id').notNull().unique().defaultRandom(),
    tenant: tenant(),
    user: text('user_id').notNull(),
    label: text('label').notNull(),
    scope: text('scope').$type<TokenScope>(),
    createdBy: text('created_by'),
    createdAt: time('created_at').notNull(),
    expiresAt: time('expires_at'),
    lastUsedAt: time('last_used_at'),
    revokedAt: time('revoked_at'),
  },
  (table) => [index('tokens_by_user').on(table.tenant, table.user), ...policies()],
);

/** One-time links with which an owner opens the first session. */
export const ownerLinks = pgTable(
  'owner_links',
  {
    hash: bytes('hash').primaryKey(),
    tenant: tenant(),
    user: text('user_id').notNull(),
    createdAt: time('created_at').notNull(),
    expiresAt: time('expires_at').notNull(),
    usedAt: time('used_at'),
  },
  () => systemOnly(),
);

export const sessions = pgTable(
  'sessions',
  {
    hash: bytes('hash').primaryKey(),
    tenant: tenant(),
    user: text('user_id').notNull(),
    createdAt: time('created_at').notNull(),
    expiresAt: time('expires_at').notNull(),
    lastSeenAt: time('last_seen_at').notNull(),
  },
  (table) => [index('sessions_by_user').on(table.tenant, table.user), ...systemOnly()],
);

export const devices = pgTable(
  'devices',
  {
    tenant: tenant(),
    id: text('id').notNull(),
    model: text('model').notNull(),
    serial: text('serial'),
    name: text('name'),
    centre: text('centre').notNull(),
    /** `decommissioned` is for ever: the row stays, so that its id is never given again. */
    status: text('status').$type<'active' | 'blocked' | 'decommissioned'>().notNull().default('active'),
    /** HMAC-SHA-256 of the secret under the server's key. */
    secretHash: bytes('secret_hash').notNull(),
    /** Of a secret that was handed out and not used yet. Its first use makes it the secret. */
    nextSecretHash: bytes('next_secret_hash'),
    /** From then on only the next secret is good. */
    secretExpiresAt: time('secret_expires_at'),
    /** The secret came by rotation or claim: a seed file no longer decides about it. */
    secretChangedAt: time('secret_changed_at'),
    /** `open` = a claim may take it over; `given` = the secret of a claim was not used yet, so it may be asked for again. */
    claim: text('claim').$type<'open' | 'given'>(),
    /** The device through which it reaches us, or of which it is a part: its hub, its vehicle. */
    parent: text('parent'),
    /** Production batch, as whoever registered it knows. */
    batch: text('batch'),
    firmware: text('firmware'),
    hardware: text('hardware'),
    currentBoot: text('current_boot'),
    reportedState: text('reported_state').$type<'online' | 'offline'>(),
    stateAt: time('state_at'),
    /** Signals of the last birth: `{name: {kind, unit}}`. */
    declaredSignals: jsonb('declared_signals').$type<DeclaredSignals>().notNull().default({}),
    lastSeenAt: time('last_seen_at'),
    createdAt: time('created_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.id] }),
    index('devices_by_parent').on(table.tenant, table.parent).where(sql`parent IS NOT NULL`),
    ...policies(deviceOfOwnTickets('devices', 'id')),
  ],
);

/** Programs of a tenant that read along over MQTT. */
export const integrations = pgTable(
  'integrations',
  {
    tenant: tenant(),
    id: text('id').notNull(),
    status: text('status').$type<'active' | 'blocked'>().notNull().default('active'),
    /** As of devices. Not granted to `presage_app`. */
    secretHash: bytes('secret_hash').notNull(),
    /** The secret was rotated: a seed file no longer decides about it. */
    secretChangedAt: time('secret_changed_at'),
    createdAt: time('created_at').notNull(),
    lastLoginAt: time('last_login_at'),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.id] }), ...policies()],
);

/** How devices may come in by themselves; one row a tenant, none = off. */
export const provisioning = pgTable(
  'provisioning',
  {
    tenant: text('tenant_id').primaryKey(),
    mode: text('mode').$type<ProvisioningMode>().notNull(),
    /** Not granted to `presage_app`. */
    claimHash: bytes('claim_hash'),
    claimExpiresAt: time('claim_expires_at'),
    /** Models that a claim may create; none = no creation. */
    models: jsonb('models').$type<readonly string[]>().notNull().default([]),
    /** Of created devices; the tenant's default centre when absent. */
    centre: text('centre'),
    /** Devices that claims may create in all. */
    maxDevices: integer('max_devices').notNull(),
    created: integer('created').notNull().default(0),
    updatedAt: time('updated_at').notNull(),
  },
  () => policies(),
);

/** In whose hands a device has been. Append-only: no role may change or delete a row. Transfers seal what came before. */
export const custody = pgTable(
  'custody',
  {
    tenant: tenant(),
    device: text('device').notNull(),
    seq: integer('seq').notNull(),
    serial: text('serial'),
    at: time('at').notNull(),
    event: text('event').$type<CustodyEvent>().notNull(),
    /** User id; `device` or `claim` where nobody was signed in. */
    actor: text('actor').notNull(),
    from: text('from_centre'),
    to: text('to_centre'),
    reason: text('reason'),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.device, table.seq] }),
    index('custody_by_serial').on(table.tenant, table.serial),
    ...policies(),
  ],
);

export type DeclaredSignals = Record<string, { kind: 'number' | 'boolean' | 'text'; unit: string }>;

/** Faults that devices report themselves, one row a code and scope. */
export const faultRecords = pgTable(
  'fault_records',
  {
    tenant: tenant(),
    device: text('device').notNull(),
    code: text('code').notNull(),
    scope: text('scope').notNull().default(''),
    severity: text('severity').$type<Severity>(),
    status: jsonb('status').$type<Record<string, boolean>>().notNull().default({}),
    freezeFrame: jsonb('freeze_frame').$type<Record<string, number | boolean | string>>(),
    firstSeenAt: time('first_seen_at').notNull(),
    lastSeenAt: time('last_seen_at').notNull(),
    occurrences: integer('occurrences').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.device, table.code, table.scope] }),
    ...policies(deviceOfOwnTickets('fault_records', 'device', 'last_seen_at')),
  ],
);

/** Lifecycle events of devices (door opened, firmware updated …). */
export const deviceEvents = pgTable(
  'device_events',
  {
    tenant: tenant(),
    device: text('device').notNull(),
    position: time('position').notNull(),
    index: integer('index').notNull(),
    name: text('name').notNull(),
    detail: jsonb('detail').$type<Record<string, number | boolean | string>>(),
    observedAt: time('observed_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.device, table.position, table.index] }),
    ...policies(deviceOfOwnTickets('device_events', 'device', 'observed_at')),
  ],
);

export const quarantine = pgTable(
  'quarantine',
  {
    tenant: tenant(),
    /** `position` in the telemetry log, with `-n` where one entry holds several records. */
    id: text('id').notNull(),
    device: text('device').notNull(),
    reason: text('reason').notNull(),
    at: text('at').notNull(),
    channel: text('channel').notNull(),
    receivedAt: time('received_at').notNull(),
    sha256: text('sha256').notNull(),
    excerpt: text('excerpt').notNull(),
    boot: text('boot'),
    seq: time('seq'),
    samples: integer('samples').notNull(),
    /** The device's model at that time. */
    model: text('model'),
    /** As received; goes when it was replayed, or when the tenant keeps too much. */
    payload: bytes('payload'),
    payloadBytes: integer('payload_bytes').notNull().default(0),
    /** Places of the refused samples; none = nothing of the message was taken. */
    places: jsonb('places').$type<readonly number[]>(),
    state: text('state').$type<QuarantineState>().notNull().default('refused'),
    /** How the last replay went. */
    replay: jsonb('replay').$type<QuarantineReplay>(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.id] }),
    index('quarantine_by_time').on(table.tenant, table.receivedAt.desc(), table.id.desc()),
    index('quarantine_payloads').on(table.tenant, table.id.desc()).where(sql`payload_bytes > 0`),
    ...policies(deviceOfOwnTickets('quarantine', 'device', 'received_at')),
  ],
);

/** Logins of devices: through which connection, from where and with which certificate something was sent. */
export const deviceSessions = pgTable(
  'device_sessions',
  {
    tenant: tenant(),
    device: text('device').notNull(),
    /** In the telemetry log: everything of the device behind it, up to the next one, came through this connection. */
    position: time('position').notNull(),
    connection: text('connection').notNull(),
    connectedAt: time('connected_at').notNull(),
    remoteAddress: text('remote_address').notNull(),
    /** Lower-case hex; none without a client certificate. */
    certificateSerial: text('certificate_serial'),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.device, table.position] }),
    index('device_sessions_by_time').on(table.tenant, table.device, table.connectedAt.desc()),
    ...policies(deviceOfOwnTickets('device_sessions', 'device', 'connected_at')),
  ],
);

/** What speaks of an attack: one row a minute, device, kind and address. Bounded for each tenant, oldest out first. */
export const securityEvents = pgTable(
  'security_events',
  {
    tenant: tenant(),
    /** Made of what makes events equal. */
    id: text('id').notNull(),
    /** Start of the minute. */
    minute: time('minute').notNull(),
    /** As claimed; none when the tenant has no such device. */
    device: text('device'),
    kind: text('kind').notNull(),
    remoteAddress: text('remote_address'),
    firstAt: time('first_at').notNull(),
    lastAt: time('last_at').notNull(),
    times: integer('times').notNull(),
    /** Of the last one, as is the detail. Lower-case hex. */
    certificateSerial: text('certificate_serial'),
    detail: text('detail').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.id] }),
    index('security_events_by_time').on(table.tenant, table.minute.desc(), table.id.desc()),
    ...policies(),
  ],
);

/** Analytic state of each device, by consumer. `json`, not `jsonb`: the text comes back as written, key order included. */
export const checkpoints = pgTable(
  'checkpoints',
  {
    tenant: tenant(),
    consumer: text('consumer').notNull(),
    device: text('device').notNull(),
    state: json('state').notNull(),
  },
  (table) => [primaryKey({ columns: [table.consumer, table.tenant, table.device] }), ...systemOnly()],
);

/** How far a consumer of a log has come, written in the transaction of its effects. Tenant `*` = the installation. */
export const consumerPositions = pgTable(
  'consumer_positions',
  {
    tenant: text('tenant_id').notNull().default('*'),
    consumer: text('consumer').notNull(),
    position: time('position').notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.consumer] }), ...systemOnly()],
);

/** Alert episodes. At most one is open for a device and fault key. */
export const alerts = pgTable(
  'alerts',
  {
    tenant: tenant(),
    /** The episode's id. */
    id: text('id').notNull(),
    device: text('device').notNull(),
    model: text('model').notNull(),
    component: text('component').notNull(),
    faultKey: text('fault_key').notNull(),
    severity: text('severity').$type<Severity>().notNull(),
    state: text('state').$type<'open' | 'cleared'>().notNull(),
    confirmed: boolean('confirmed').notNull(),
    onset: time('onset').notNull(),
    raisedAt: time('raised_at').notNull(),
    updatedAt: time('updated_at').notNull(),
    clearedAt: time('cleared_at'),
    evidence: jsonb('evidence').$type<Evidence>().notNull(),
    /** Rises with each change that a person can see. */
    version: integer('version').notNull().default(1),
    /** Telemetry-log position of the newest finding: a ticket that opens later pins its evidence behind it. */
    position: time('position').notNull().default(0),
    acknowledgedAt: time('acknowledged_at'),
    acknowledgedBy: text('acknowledged_by'),
    assignee: text('assignee'),
    /** Stands until a person resets it. */
    latched: boolean('latched').notNull().default(false),
    flapping: boolean('flapping').notNull().default(false),
    /** Id of the open alarm that explains this one: of its own device that is silent, or of a device above it. */
    suppressedBy: text('suppressed_by'),
    groupId: text('group_id'),
    /** Of the device when it was raised. */
    batch: text('batch'),
    firmware: text('firmware'),
    /** Server time at which a person's attention was first asked for. */
    annunciatedAt: time('annunciated_at'),
    /** When somebody is reminded that it is not acknowledged. */
    escalateAt: time('escalate_at'),
    escalationLevel: integer('escalation_level').notNull().default(0),
    /** Server time since which nothing is left to do: cleared, acknowledged where needed, not latched. */
    closedAt: time('closed_at'),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.id] }),
    uniqueIndex('alerts_one_open').on(table.tenant, table.device, table.faultKey).where(sql`state = 'open'`),
    index('alerts_by_time').on(table.tenant, table.raisedAt.desc(), table.id.desc()),
    index('alerts_standing').on(table.tenant, table.device, table.faultKey).where(sql`closed_at IS NULL`),
    index('alerts_escalation').on(table.escalateAt).where(sql`escalate_at IS NOT NULL`),
    index('alerts_by_group').on(table.tenant, table.groupId).where(sql`group_id IS NOT NULL`),
    index('alerts_by_fault').on(table.tenant, table.model, table.faultKey, table.raisedAt.desc(), table.id.desc()),
    ...policies(deviceOfOwnTickets('alerts', 'device', 'raised_at')),
  ],
);

/** Last prediction of each device and fault key. */
export const predictions = pgTable(
  'predictions',
  {
    tenant: tenant(),
    device: text('device').notNull(),
    faultKey: text('fault_key').notNull(),
    model: text('model').notNull(),
    component: text('component').notNull(),
    prediction: jsonb('prediction').$type<Prediction>().notNull(),
    at: time('at').notNull(),
    /** Device time of the newest row in the history. */
    recordedAt: time('recorded_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.device, table.faultKey] }),
    ...policies(deviceOfOwnTickets('predictions', 'device', 'at')),
  ],
);

/** What was foreseen when; append-only, thinned by policy. Outcomes are judged against it. */
export const predictionHistory = pgTable(
  'prediction_history',
  {
    tenant: tenant(),
    device: text('device').notNull(),
    faultKey: text('fault_key').notNull(),
    at: time('at').notNull(),
    prediction: jsonb('prediction').$type<Prediction>().notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.device, table.faultKey, table.at] }),
    ...policies(deviceOfOwnTickets('prediction_history', 'device', 'at')),
  ],
);

/** Last number given to a ticket, by tenant and year. */
export const ticketCounters = pgTable(
  'ticket_counters',
  { tenant: tenant(), year: integer('year').notNull(), last: integer('last').notNull() },
  (table) => [primaryKey({ columns: [table.tenant, table.year] }), ...policies()],
);

/** Tickets. At most one is open for a device and component. */
export const tickets = pgTable(
  'tickets',
  {
    tenant: tenant(),
    key: text('key').notNull(),
    id: uuid('id').notNull(),
    source: text('source').$type<TicketSummary['source']>().notNull(),
    kind: text('kind').$type<TicketSummary['kind']>().notNull(),
    state: text('state').$type<TicketState>().notNull(),
    severity: text('severity').$type<Severity>().notNull(),
    title: text('title').notNull(),
    /** Absent: a machine that is not registered. */
    device: text('device'),
    model: text('model').notNull(),
    component: text('component').notNull(),
    faultKey: text('fault_key').notNull(),
    centre: text('centre').notNull(),
    createdAt: time('created_at').notNull(),
    updatedAt: time('updated_at').notNull(),
    observedAt: time('observed_at').notNull(),
    /** As foreseen when it was opened; the newest one stands in `predictions`. */
    remainingLife: jsonb('remaining_life').$type<RemainingLife>(),
    version: integer('version').notNull().default(1),
    /** The policy under which it was opened. */
    policyVersion: text('policy_version').notNull(),
    mode: text('mode').$type<TicketFacts['mode']>().notNull().default('on_site'),
    tier: text('tier').$type<TicketFacts['tier']>().notNull().default('standard'),
    /** Promises under which it was opened; 0 = those that the program ships. */
    servicePolicy: integer('service_policy').notNull().default(0),
    faultClass: text('fault_class').$type<FaultClass>().notNull().default('common'),
    repeatOf: text('repeat_of'),
    /** What people said; absent on tickets that a prediction opened. */
    symptom: text('symptom'),
    serial: text('serial'),
    purchasedOn: text('purchased_on'),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.key] }),
    uniqueIndex('tickets_one_open')
      .on(table.tenant, table.device, table.component)
      .where(sql`state NOT IN ('closed', 'cancelled')`),
    index('tickets_by_time').on(table.tenant, table.createdAt.desc(), table.key.desc()),
    ...policies(OWN_CENTRE),
  ],
);

/** Whom to call about a ticket. Personal: read by a request of its own, which is recorded, and erased by itself. */
export const ticketContacts = pgTable(
  'ticket_contacts',
  {
    tenant: tenant(),
    ticketKey: text('ticket_key').notNull(),
    details: jsonb('details').$type<ContactDetails>().notNull(),
    updatedAt: time('updated_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.ticketKey] }), ...policies(ownTicket('ticket_contacts'))],
);

/** Requests that carried an idempotency key: the same request again gets the same answer for a day. */
export const idempotentRequests = pgTable(
  'idempotent_requests',
  {
    tenant: tenant(),
    /** User id. */
    actor: text('actor').notNull(),
    key: text('key').notNull(),
    /** Of what was asked for: another request under the same key is refused. */
    fingerprint: text('fingerprint').notNull(),
    ticketKey: text('ticket_key').notNull(),
    at: time('at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.actor, table.key] }),
    index('idempotent_requests_by_time').on(table.at),
    ...policies(),
  ],
);

/** What a tenant promises, each version for ever: tickets keep the one under which they were opened. */
export const serviceLevelPolicies = pgTable(
  'service_level_policies',
  {
    tenant: tenant(),
    version: integer('version').notNull(),
    document: jsonb('document').$type<ServiceLevelPolicy>().notNull(),
    createdAt: time('created_at').notNull(),
    /** User id. */
    createdBy: text('created_by').notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.version] }), ...policies()],
);

/** When somebody is to be told that a promise is in danger. A row that has fired stays: it never fires again. */
export const serviceTimers = pgTable(
  'service_timers',
  {
    tenant: tenant(),
    ticketKey: text('ticket_key').notNull(),
    clock: text('clock').$type<ClockId>().notNull(),
    cycle: integer('cycle').notNull(),
    share: doublePrecision('share').notNull(),
    notify: text('notify').$type<Escalation['notify']>().notNull(),
    dueAt: time('due_at').notNull(),
    firedAt: time('fired_at'),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.ticketKey, table.clock, table.cycle, table.share] }),
    index('service_timers_due').on(table.dueAt).where(sql`fired_at IS NULL`),
    ...policies(ownTicket('service_timers')),
  ],
);

/** Which ticket each episode led to: an episode never opens a second one. */
export const ticketAlerts = pgTable(
  'ticket_alerts',
  {
    tenant: tenant(),
    alertId: text('alert_id').notNull(),
    ticketKey: text('ticket_key').notNull(),
    attachedAt: time('attached_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.alertId] }),
    index('ticket_alerts_by_ticket').on(table.tenant, table.ticketKey),
    ...policies(ownTicket('ticket_alerts')),
  ],
);

/** What happened to a ticket. Append-only: no role may change or delete a row. */
export const ticketEvents = pgTable(
  'ticket_events',
  {
    tenant: tenant(),
    ticketKey: text('ticket_key').notNull(),
    seq: integer('seq').notNull(),
    at: time('at').notNull(),
    actor: text('actor').notNull(),
    type: text('type').notNull(),
    from: text('from_state').$type<TicketState>(),
    to: text('to_state').$type<TicketState>(),
    reason: text('reason'),
    facts: jsonb('facts').$type<Record<string, unknown>>(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.ticketKey, table.seq] }),
    ...policies(ownTicket('ticket_events')),
  ],
);

const OWN_PEOPLE = sql.raw(
  `tenant_id = current_setting('presage.tenant', true) AND COALESCE(current_setting('presage.centre', true), '') IN ('', centre)`,
);

/** Technicians of the centres. */
export const technicians = pgTable(
  'technicians',
  {
    tenant: tenant(),
    id: text('id').notNull(),
    centre: text('centre').notNull(),
    version: integer('version').notNull(),
    body: jsonb('body').$type<TechnicianBody>().notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.id] }), ...policies(OWN_PEOPLE)],
);

/** Visits. Those of one technician that are booked do not overlap: bookings hold the technician's row. */
export const visits = pgTable(
  'visits',
  {
    tenant: tenant(),
    id: uuid('id').notNull(),
    ticketKey: text('ticket_key').notNull(),
    technician: text('technician').notNull(),
    from: time('from_at').notNull(),
    until: time('until_at').notNull(),
    state: text('state').$type<Visit['state']>().notNull(),
    /** User id. */
    bookedBy: text('booked_by').notNull(),
    bookedAt: time('booked_at').notNull(),
    overrideReason: text('override_reason'),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.id] }),
    uniqueIndex('visits_one_booked').on(table.tenant, table.ticketKey).where(sql`state = 'booked'`),
    index('visits_by_technician').on(table.tenant, table.technician, table.from),
    ...policies(ownTicket('visits')),
  ],
);

/** What repairs were offered for, and the customers' answers. Only the hash of a link is kept. */
export const quotes = pgTable(
  'quotes',
  {
    tenant: tenant(),
    ticketKey: text('ticket_key').notNull(),
    version: integer('version').notNull(),
    state: text('state').$type<Exclude<QuoteState, 'expired'>>().notNull(),
    draft: jsonb('draft').$type<QuoteDraft>().notNull(),
    createdAt: time('created_at').notNull(),
    /** User id. */
    createdBy: text('created_by').notNull(),
    validUntil: time('valid_until').notNull(),
    answer: jsonb('answer').$type<NonNullable<Quote['answer']>>(),
    /** Not granted to `presage_app`. */
    tokenHash: bytes('token_hash').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.ticketKey, table.version] }),
    uniqueIndex('quotes_by_link').on(table.tokenHash),
    ...policies(ownTicket('quotes')),
  ],
);

/** Warranty terms of a tenant, each version for ever. */
export const warrantyTermsVersions = pgTable(
  'warranty_terms',
  {
    tenant: tenant(),
    version: integer('version').notNull(),
    document: jsonb('document').$type<WarrantyTerms>().notNull(),
    createdAt: time('created_at').notNull(),
    /** User id. */
    createdBy: text('created_by').notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.version] }), ...policies()],
);

/** What people noted about a claim, each note for ever. The decision is worked out from them. */
export const warrantyNotes = pgTable(
  'warranty_notes',
  {
    tenant: tenant(),
    ticketKey: text('ticket_key').notNull(),
    version: integer('version').notNull(),
    at: time('at').notNull(),
    /** User id. */
    by: text('by_user').notNull(),
    note: jsonb('note').$type<WarrantyNote>().notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.ticketKey, table.version] }),
    ...policies(ownTicket('warranty_notes')),
  ],
);

/** What was found, each report for ever; the newest counts. Labels for detectors and predictions. */
export const ticketOutcomes = pgTable(
  'ticket_outcomes',
  {
    tenant: tenant(),
    ticketKey: text('ticket_key').notNull(),
    version: integer('version').notNull(),
    at: time('at').notNull(),
    /** User id. */
    by: text('by_user').notNull(),
    report: jsonb('report').$type<OutcomeReport>().notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.ticketKey, table.version] }),
    index('ticket_outcomes_by_time').on(table.tenant, table.at, table.ticketKey),
    ...policies(ownTicket('ticket_outcomes')),
  ],
);

/** The pinned snapshot of a ticket: canonical JSON as text, so that its hash can be checked for ever. */
export const ticketEvidence = pgTable(
  'ticket_evidence',
  {
    tenant: tenant(),
    ticketKey: text('ticket_key').notNull(),
    canonical: text('canonical').notNull(),
    sha256: text('sha256').notNull(),
    complete: boolean('complete').notNull(),
    /** What is needed to complete it. */
    device: text('device').notNull(),
    model: text('model').notNull(),
    faultKey: text('fault_key').notNull(),
    position: time('position').notNull(),
    attempts: integer('attempts').notNull().default(0),
    nextAt: time('next_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.ticketKey] }),
    index('ticket_evidence_due').on(table.nextAt).where(sql`NOT complete`),
    ...policies(ownTicket('ticket_evidence')),
  ],
);

/** Messages to the outside, written in the transaction that causes them. */
export const outbox = pgTable(
  'outbox',
  {
    id: uuid('id').primaryKey(),
    tenant: tenant(),
    kind: text('kind').$type<'webhook'>().notNull(),
    /** In whose history the delivery is noted. */
    ticketKey: text('ticket_key'),
    centre: text('centre').notNull(),
    body: text('body').notNull(),
    state: text('state').$type<'pending' | 'delivered' | 'failed'>().notNull().default('pending'),
    attempts: integer('attempts').notNull().default(0),
    nextAt: time('next_at').notNull(),
    createdAt: time('created_at').notNull(),
  },
  (table) => [index('outbox_due').on(table.nextAt).where(sql`state = 'pending'`), ...systemOnly()],
);

/** Each try of an outbox message. */
export const deliveries = pgTable(
  'deliveries',
  {
    tenant: tenant(),
    outboxId: uuid('outbox_id').notNull(),
    attempt: integer('attempt').notNull(),
    at: time('at').notNull(),
    /** HTTP status; absent when there was no answer. */
    status: integer('status'),
    error: text('error'),
    durationMs: integer('duration_ms').notNull(),
  },
  (table) => [primaryKey({ columns: [table.outboxId, table.attempt] }), ...systemOnly()],
);

/** Orders to analytics on their way into the telemetry log, written in the transaction that decides them. */
export const orders = pgTable(
  'analytics_orders',
  {
    seq: bigint('seq', { mode: 'number' }).generatedAlwaysAsIdentity().primaryKey(),
    tenant: tenant(),
    id: uuid('id').notNull().unique(),
    order: jsonb('body').$type<Order>().notNull(),
    createdAt: time('created_at').notNull(),
    /** Where it stands in the telemetry log: from there on it holds. None while it waits to be appended. */
    position: time('position'),
  },
  (table) => [index('analytics_orders_waiting').on(table.seq).where(sql`position IS NULL`), ...policies()],
);

/** A row of the tenant, or of tenant `*`: what the build ships, which nobody but the system changes. */
const ownOrShipped = () => [
  pgPolicy('app_sees_own', {
    to: appRole,
    using: sql.raw(`tenant_id IN ('*', current_setting('presage.tenant', true))`),
    withCheck: OWN_TENANT,
  }),
  pgPolicy('system_sees_all', { to: systemRole, using: sql`true`, withCheck: sql`true` }),
];

/**
 * Versions of what judges devices. Tenant `*` = what the build ships. Once a tenant changes something for a model, it has
 * rows of its own there, copies of the shipped ones among them. Exactly one row of a tenant, kind and model is active: an index
 * forbids a second one, a trigger that runs at the end of each transaction asks for the one.
 */
export const registryEntries = pgTable(
  'registry_entries',
  {
    id: uuid('id').primaryKey(),
    tenant: tenant(),
    kind: text('kind').$type<RegistryKind>().notNull(),
    /** Device model, or `*`. */
    model: text('model').notNull(),
    name: text('name').notNull(),
    version: text('version').notNull(),
    state: text('state').$type<RegistryState>().notNull(),
    parameters: jsonb('parameters').$type<EnsembleParameters>(),
    parts: jsonb('parts').$type<readonly VersionName[]>().notNull(),
    training: jsonb('training').$type<TrainingFacts>(),
    metrics: jsonb('metrics').$type<Record<string, number>>(),
    owner: text('owner').notNull(),
    note: text('note'),
    createdAt: time('created_at').notNull(),
    updatedAt: time('updated_at').notNull(),
    revision: integer('revision').notNull().default(1),
    /** The order that made it what it is. */
    orderId: uuid('order_id'),
  },
  (table) => [
    uniqueIndex('registry_one_of_a_name').on(table.tenant, table.kind, table.model, table.name, table.version),
    uniqueIndex('registry_one_active').on(table.tenant, table.kind, table.model).where(sql`state = 'active'`),
    ...ownOrShipped(),
  ],
);

/** What happened to versions, by whom and why. Append-only: no role may change or delete a row. */
export const registryChanges = pgTable(
  'registry_changes',
  {
    seq: bigint('seq', { mode: 'number' }).generatedAlwaysAsIdentity().primaryKey(),
    tenant: tenant(),
    entryId: uuid('entry_id').notNull(),
    at: time('at').notNull(),
    actor: text('actor').notNull(),
    act: text('act').$type<RegistryAct>().notNull(),
    from: text('from_state').$type<RegistryState>(),
    to: text('to_state').$type<RegistryState>().notNull(),
    reason: text('reason').notNull(),
    orderId: uuid('order_id'),
  },
  (table) => [index('registry_changes_of_entry').on(table.tenant, table.entryId, table.seq), ...ownOrShipped()],
);

/** What versions would have raised that only ran beside the active one. Bounded for each tenant, oldest out first. */
export const shadowAlerts = pgTable(
  'shadow_alerts',
  {
    tenant: tenant(),
    name: text('name').notNull(),
    version: text('version').notNull(),
    episode: text('episode').notNull(),
    device: text('device').notNull(),
    model: text('model').notNull(),
    component: text('component').notNull(),
    faultKey: text('fault_key').notNull(),
    severity: text('severity').$type<Severity>().notNull(),
    confirmed: boolean('confirmed').notNull(),
    score: doublePrecision('score').notNull(),
    onset: time('onset').notNull(),
    raisedAt: time('raised_at').notNull(),
    updatedAt: time('updated_at').notNull(),
    clearedAt: time('cleared_at'),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.model, table.name, table.version, table.episode] }),
    index('shadow_alerts_by_time').on(table.tenant, table.raisedAt.desc(), table.episode.desc()),
    ...policies(),
  ],
);

/** Rules of people, one row a change. Append-only: no role may change or delete a row. The newest of an id counts. */
export const ruleVersions = pgTable(
  'rule_versions',
  {
    tenant: tenant(),
    id: text('id').notNull(),
    version: integer('version').notNull(),
    name: text('name').notNull(),
    /** As it was written, and what runs. */
    text: text('text').notNull(),
    canonical: text('canonical').notNull(),
    /** What its words meant then. */
    binding: jsonb('binding').$type<RuleBinding>().notNull(),
    enabled: boolean('enabled').notNull(),
    change: text('change').$type<'created' | 'changed' | 'enabled' | 'disabled' | 'deleted'>().notNull(),
    at: time('at').notNull(),
    actor: text('actor').notNull(),
    /** The order to analytics, which knows from where in the log on it holds. */
    orderId: uuid('order_id').notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.id, table.version] }), ...policies()],
);
