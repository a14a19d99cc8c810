/** Resources of HTTP API v1: what api serves and what its clients (console, simulator, tests) read. Times are epoch ms. */
import { z } from 'zod';
import { deviceId, integrationId, signalName, tenantId } from '../kernel/ids.ts';
import { evidence, prediction, severity, versionName } from '../ports/findings.ts';
import { registryKind, registryState } from '../ports/versions.ts';
import { alarmEvent, alarmGroup, alarmStanding, searchName, silence, silenceReport } from './alarms.ts';
import { explanation } from './explanation.ts';
import { ticketIntake } from './intake.ts';
import { ticketOutcome } from './outcomes.ts';
import { escalationView } from './service-levels.ts';
import { FAULT_CLASSES, SERVICE_KINDS, SERVICE_MODES } from './service-terms.ts';

/** RFC 9457 problem. `errors` names each broken field. */
export const problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.number().int(),
  code: z.string(),
  detail: z.string().optional(),
  hint: z.string().optional(),
  requestId: z.string(),
  errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
});
export type Problem = z.infer<typeof problem>;

/** A list page. `nextCursor` is opaque; absent on the last page. */
export const page = <Item extends z.ZodType>(item: Item) =>
  z.object({ items: z.array(item), nextCursor: z.string().optional() });

export const pageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(500).default(100),
  cursor: z.string().max(256).optional(),
});

export const ROLES = ['viewer', 'agent', 'engineer', 'manager', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** What a token may do of what its user may; all of it when absent. Reading is in each. */
export const TOKEN_SCOPES = ['read', 'devices', 'tickets'] as const;
export type TokenScope = (typeof TOKEN_SCOPES)[number];

const userId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$/, 'expected 1–64 of A-Z a-z 0-9 _ . @ -');
const centreId = z.string().min(1).max(64);

export const apiToken = z.object({
  id: z.uuid(),
  user: z.string(),
  label: z.string(),
  scope: z.enum(TOKEN_SCOPES).optional(),
  /** User who made it; absent when the seed or the command line of the server did. */
  createdBy: z.string().optional(),
  createdAt: z.number(),
  expiresAt: z.number().optional(),
  lastUsedAt: z.number().optional(),
  revokedAt: z.number().optional(),
});
export type ApiToken = z.infer<typeof apiToken>;

export const apiTokenCreate = z.strictObject({
  /** Oneself when absent. */
  user: userId.optional(),
  label: z.string().min(1).max(120),
  scope: z.enum(TOKEN_SCOPES).optional(),
  /** It ends after so many days; 365 when absent. */
  days: z.number().int().min(1).max(3_650).optional(),
});

/** Answer to a creation: the only time the token is shown. */
export const apiTokenCreated = apiToken.extend({ token: z.string() });
export type ApiTokenCreated = z.infer<typeof apiTokenCreated>;

export const user = z.object({
  id: z.string(),
  role: z.enum(ROLES),
  centre: z.string().optional(),
  disabled: z.boolean(),
  createdAt: z.number(),
});
export type User = z.infer<typeof user>;

export const userCreate = z.strictObject({ id: userId, role: z.enum(ROLES), centre: centreId.optional() });

export const userChange = z.strictObject({
  role: z.enum(ROLES).optional(),
  /** `null` = of the whole tenant. */
  centre: centreId.nullable().optional(),
  disabled: z.boolean().optional(),
});

/** Opens one session of the user, once. */
export const signInLink = z.object({ url: z.url(), expiresAt: z.number() });

export const deviceCreate = z.strictObject({
  id: deviceId,
  model: z.string().min(1).max(64),
  serial: z.string().min(1).max(64).optional(),
  name: z.string().min(1).max(120).optional(),
  /** Responsible service centre; the tenant's default centre when absent. */
  centre: z.string().min(1).max(64).optional(),
  /** No secret now: the device gets its own by a claim. */
  claimable: z.boolean().optional(),
  /** The device through which it reaches us, or of which it is a part: its hub, its vehicle. */
  parent: deviceId.optional(),
  /** Production batch. */
  batch: searchName.optional(),
});

/** `null` = none. What is absent stays. */
export const deviceChange = z.strictObject({
  name: z
    .string()
    .min(1)
    .max(120)
    .refine((text) => !text.includes('\0'), 'must not hold NUL')
    .nullable()
    .optional(),
  parent: deviceId.nullable().optional(),
  batch: searchName.nullable().optional(),
});

/** How good a device's data is; recent messages count more. docs/ingest.md has the formula. */
export const dataQuality = z.object({
  /** 0..1; 1 = nothing missing, late or refused, and a right clock. */
  score: z.number(),
  messages: z.number().int(),
  /** Sequence numbers that never came. */
  gaps: z.number().int(),
  late: z.number().int(),
  /** Messages of which something was refused. */
  quarantined: z.number().int(),
  /** More than 60 s off. */
  clockSkewed: z.boolean(),
  /** Device clock minus the server's. */
  clockSkewMs: z.number().optional(),
});
export type DataQuality = z.infer<typeof dataQuality>;

export const device = z.object({
  tenant: tenantId,
  id: deviceId,
  model: z.string(),
  serial: z.string().optional(),
  name: z.string().optional(),
  firmware: z.string().optional(),
  parent: z.string().optional(),
  batch: z.string().optional(),
  centre: z.string(),
  status: z.enum(['active', 'blocked', 'decommissioned']),
  /** Waits for the device to claim its secret. */
  awaitsClaim: z.boolean().optional(),
  /** Connected now, as the broker sees it. */
  connected: z.boolean(),
  lastSeenAt: z.number().optional(),
  createdAt: z.number(),
  /** Severity of its worst open alert. */
  worstAlert: severity.optional(),
  /** Only where one device is read, and once it has sent something. */
  dataQuality: dataQuality.optional(),
});
export type Device = z.infer<typeof device>;

/** Answer to a creation: the only time the secret is shown. */
export const deviceCreated = device.extend({
  mqtt: z.object({ clientId: z.string(), username: z.string(), password: z.string() }),
});
export type DeviceCreated = z.infer<typeof deviceCreated>;

/** A program of the tenant that reads along over MQTT: docs/broker.md, "Integrations". */
export const integration = z.object({
  id: integrationId,
  status: z.enum(['active', 'blocked']),
  createdAt: z.number(),
  lastLoginAt: z.number().optional(),
});
export type Integration = z.infer<typeof integration>;

export const integrationCreate = z.strictObject({ id: integrationId });

/** Answer to a creation and to a rotation: the only time the password is shown. */
export const integrationCreated = integration.extend({
  mqtt: z.object({ username: z.string(), password: z.string() }),
});
export type IntegrationCreated = z.infer<typeof integrationCreated>;

export const PROVISIONING_MODES = ['off', 'pre_registered', 'create_on_connect'] as const;
export type ProvisioningMode = (typeof PROVISIONING_MODES)[number];

/** How devices may come in by themselves. */
export const provisioning = z.object({
  mode: z.enum(PROVISIONING_MODES),
  /** Models that a claim may create. */
  models: z.array(z.string()),
  centre: z.string().optional(),
  maxDevices: z.number().int(),
  /** Devices that claims have created so far. */
  created: z.number().int(),
  hasClaimSecret: z.boolean(),
  claimExpiresAt: z.number().optional(),
});
export type Provisioning = z.infer<typeof provisioning>;

export const provisioningChange = z.strictObject({
  mode: z.enum(PROVISIONING_MODES),
  models: z.array(z.string().min(1).max(64)).max(100).default([]),
  centre: centreId.optional(),
  maxDevices: z.number().int().min(0).max(1_000_000).default(1_000),
});

/** Answer to a new claim secret: the only time it is shown. The one before is over. */
export const claimSecret = z.object({ claim: z.string(), expiresAt: z.number() });

/** What a device sends to get its own secret. */
export const claimRequest = z.strictObject({
  tenant: tenantId,
  claim: z.string().min(20).max(200),
  device: deviceId,
  model: z.string().min(1).max(64),
  serial: z.string().min(1).max(64).optional(),
});
export type ClaimRequest = z.infer<typeof claimRequest>;

/** MQTT credentials; the only time the password is shown. */
export const deviceCredentials = deviceCreated.shape.mqtt;

export const secretRotation = z.strictObject({
  /** How long the old secret stays good if the new one is not used; 0 = not at all, and the device is cut off. */
  graceHours: z.number().min(0).max(720).default(168),
});
export const deviceTransfer = z.strictObject({ centre: centreId, reason: z.string().min(1).max(500) });
export const deviceDecommission = z.strictObject({ reason: z.string().min(1).max(500) });

export const CUSTODY_EVENTS = [
  'registered',
  'claimed',
  'secretOffered',
  'secretChanged',
  'blocked',
  'unblocked',
  'transferred',
  'decommissioned',
] as const;
export type CustodyEvent = (typeof CUSTODY_EVENTS)[number];

export const custodyEntry = z.object({
  device: deviceId,
  seq: z.number().int(),
  serial: z.string().optional(),
  at: z.number(),
  event: z.enum(CUSTODY_EVENTS),
  actor: z.string(),
  from: z.string().optional(),
  to: z.string().optional(),
  reason: z.string().optional(),
});
export type CustodyEntry = z.infer<typeof custodyEntry>;

export const telemetryQuery = z.strictObject({
  /** Comma-separated signal names. */
  signals: z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(signalName).min(1).max(16)),
  /** ISO 8601 UTC, inclusive. */
  from: z.iso.datetime({ offset: true }),
  /** Exclusive. */
  to: z.iso.datetime({ offset: true }),
  points: z.coerce.number().int().min(10).max(10_000).optional(),
});

export const telemetrySeries = z.object({
  device: deviceId,
  from: z.number(),
  to: z.number(),
  series: z.array(
    z.object({
      signal: z.string(),
      unit: z.string(),
      points: z.array(z.tuple([z.number(), z.union([z.number(), z.boolean(), z.string()])])),
    }),
  ),
});

export const modelAggregateQuery = z.strictObject({
  signal: signalName,
  /** ISO 8601 UTC, inclusive; widened to whole buckets. */
  from: z.iso.datetime({ offset: true }),
  /** Exclusive; widened to whole buckets. */
  to: z.iso.datetime({ offset: true }),
  bucket: z.enum(['1m', '1h']).default('1h'),
});

export const modelAggregate = z.object({
  model: z.string(),
  signal: z.string(),
  unit: z.string(),
  bucketMs: z.number(),
  buckets: z.array(
    z.object({
      from: z.number(),
      /** Devices with values; each counts once, with its mean. */
      devices: z.number(),
      /** Samples behind it. */
      count: z.number(),
      p50: z.number(),
      p95: z.number(),
      mean: z.number(),
    }),
  ),
});

export const alert = z.object({
  id: z.string(),
  device: deviceId,
  model: z.string(),
  component: z.string(),
  faultKey: z.string(),
  severity,
  state: z.enum(['open', 'cleared']),
  confirmed: z.boolean(),
  onset: z.number(),
  raisedAt: z.number(),
  updatedAt: z.number(),
  clearedAt: z.number().optional(),
  evidence,
  /** In a list only when asked for, and compared with earlier episodes only where one alert is read. */
  explanation: explanation.optional(),
  ticketKey: z.string().optional(),
  ...alarmStanding.shape,
});
export type Alert = z.infer<typeof alert>;

/** One alert with what happened to it, newest last; at most the last 500. */
export const alertWithHistory = alert.extend({ history: z.array(alarmEvent) });

export const acceptAsNormal = z.strictObject({
  /** Kept with the alert's end: whoever asks later why it is quiet finds it here. */
  why: z.string().min(1).max(500),
});
/** An order to analytics is kept, and will be taken once. */
export const ordered = z.object({ order: z.string() });

/** Last prediction of each device and fault key. */
export const devicePrediction = prediction.extend({ device: deviceId, model: z.string(), at: z.number() });
export type DevicePrediction = z.infer<typeof devicePrediction>;

export const TICKET_STATES = [
  'new',
  'triaged',
  'remote_diagnosis',
  'scheduled',
  'en_route',
  'in_repair',
  'awaiting_parts',
  'awaiting_customer',
  'resolved',
  'confirmed',
  'closed',
  'cancelled',
  'reopened',
] as const;
export const ticketState = z.enum(TICKET_STATES);
export type TicketState = z.infer<typeof ticketState>;

/** What stood in the signals when the ticket was opened, pinned so that retention never deletes it. */
export const evidenceSnapshot = z.object({
  from: z.number(),
  to: z.number(),
  onset: z.number(),
  series: telemetrySeries.shape.series,
  evidence,
  /** False while the store has not yet caught up with the alert. */
  complete: z.boolean(),
  /** Of the canonical JSON of the fields above. */
  sha256: z.string(),
});
export type EvidenceSnapshot = z.infer<typeof evidenceSnapshot>;

export const ticketEvent = z.object({
  at: z.number(),
  /** `system`, or the user's id. */
  actor: z.string(),
  type: z.string(),
  from: ticketState.optional(),
  to: ticketState.optional(),
  reason: z.string().optional(),
  facts: z.record(z.string(), z.unknown()).optional(),
});

export const ticketSummary = z.object({
  /** Short, typable: `SC-26-001203`. */
  key: z.string(),
  source: z.enum([
    'preemptive',
    'device',
    'phone',
    'web',
    'app',
    'email',
    'chat',
    'social',
    'marketplace',
    'walk-in',
    'partner',
  ]),
  kind: z.enum(SERVICE_KINDS),
  mode: z.enum(SERVICE_MODES),
  /** Decides the route. */
  faultClass: z.enum(FAULT_CLASSES),
  /** Key of the ticket that was finished a short while ago for the same fault. */
  repeatOf: z.string().optional(),
  state: ticketState,
  severity,
  title: z.string(),
  /** Absent: reported by people, for a machine that is not registered. */
  device: deviceId.optional(),
  model: z.string(),
  component: z.string(),
  faultKey: z.string(),
  centre: z.string(),
  createdAt: z.number(),
  updatedAt: z.number(),
  /** Device time of the sample that raised the alert, or when it was reported. */
  observedAt: z.number(),
  remainingLife: prediction.shape.remainingLife,
  version: z.number().int(),
});
export type TicketSummary = z.infer<typeof ticketSummary>;

export const ticket = ticketSummary.extend({
  /** Episodes attached to it, oldest first. */
  alerts: z.array(z.string()),
  evidence: evidenceSnapshot.optional(),
  /** Of tickets that people reported. */
  intake: ticketIntake.optional(),
  /** What was found; it takes one to close a ticket. */
  outcome: ticketOutcome.optional(),
  /** Of the alert that opened it, from the pinned evidence; the comparison with the past is as of now. */
  explanation: explanation.optional(),
  history: z.array(ticketEvent),
});
export type Ticket = z.infer<typeof ticket>;

export const ticketTransition = z.strictObject({ to: ticketState, reason: z.string().min(1).max(500) });

/** `partly`: some of its samples were replayed. `replayed`: all of them. */
export const quarantineState = z.enum(['refused', 'partly', 'replayed']);
export type QuarantineState = z.infer<typeof quarantineState>;

/** How a replay went. Only `replayed` and `partly` put samples into the store; `alreadyThere` found them there. */
export const quarantineReplay = z.object({
  at: z.number(),
  /** User id. */
  by: z.string(),
  outcome: z.enum(['replayed', 'partly', 'alreadyThere', 'refused']),
  /** Samples that entered the log. */
  entered: z.number().int(),
  /** Why the rest, or all of it, is still refused. */
  reason: z.string().optional(),
  place: z.string().optional(),
  detail: z.string().optional(),
});
export type QuarantineReplay = z.infer<typeof quarantineReplay>;

export const quarantineEntry = z.object({
  id: z.string(),
  device: z.string(),
  reason: z.string(),
  at: z.string(),
  channel: z.string(),
  receivedAt: z.number(),
  sha256: z.string(),
  excerpt: z.string(),
  boot: z.string().optional(),
  seq: z.number().optional(),
  samples: z.number().int(),
  state: quarantineState,
  /** Its payload was kept, so that it can be decoded again. */
  replayable: z.boolean(),
  /** The last one. */
  replay: quarantineReplay.optional(),
});
export type QuarantineEntry = z.infer<typeof quarantineEntry>;

/** Which entries are replayed together, oldest first. At most `limit` are looked at; go on with `cursor`. */
export const quarantineReplayRequest = z.strictObject({
  device: z.string().min(1).max(64).optional(),
  reason: z.string().min(1).max(64).optional(),
  limit: z.number().int().min(1).max(200).default(100),
  cursor: z.string().max(256).optional(),
});

export const quarantineReplayed = z.object({
  items: z.array(quarantineEntry),
  /** Entries by how their replay went. */
  outcomes: z.record(quarantineReplay.shape.outcome, z.number().int()),
  entered: z.number().int(),
  nextCursor: z.string().optional(),
});
export type QuarantineReplayed = z.infer<typeof quarantineReplayed>;

/** Something that speaks of an attack; what is equal within a minute is one. */
export const securityEvent = z.object({
  id: z.string(),
  /** Absent when it is not about a device that the tenant has. */
  device: z.string().optional(),
  /** Error code. */
  kind: z.string(),
  /** Server clock. */
  firstAt: z.number(),
  lastAt: z.number(),
  times: z.number().int(),
  remoteAddress: z.string().optional(),
  /** Of the last one; lower-case hex, of the certificate that was presented, good or not. */
  certificateSerial: z.string().optional(),
  /** Of the last one. The other end may have chosen the words. */
  detail: z.string(),
});
export type SecurityEventEntry = z.infer<typeof securityEvent>;

export const messageReceipt = z.object({
  device: deviceId,
  boot: z.string(),
  seq: z.number().int(),
  /** `stored`: samples of it are in the telemetry store. `quarantined`: nothing of it is. */
  outcome: z.enum(['stored', 'quarantined']),
  /** Server clock. */
  receivedAt: z.number(),
  /** Device clock, of its first stored sample. */
  observedAt: z.number().optional(),
  samples: z.number().int(),
  /** Ids of its entries in the quarantine. */
  quarantine: z.array(z.string()),
  /** The connection through which it came; absent when it is not remembered any more. */
  connection: z
    .object({
      id: z.string(),
      connectedAt: z.number(),
      remoteAddress: z.string(),
      /** Lower-case hex; absent when the device proved itself with its secret. */
      certificateSerial: z.string().optional(),
    })
    .optional(),
});
export type MessageReceipt = z.infer<typeof messageReceipt>;

/** One line of `GET /api/v1/export/telemetry` (NDJSON). */
export const exportedSample = z.object({
  device: deviceId,
  boot: z.string(),
  seq: z.number().int(),
  index: z.number().int(),
  time: z.number(),
  receivedAt: z.number(),
  signals: z.record(z.string(), z.union([z.number(), z.boolean(), z.string()])),
});
export type ExportedSample = z.infer<typeof exportedSample>;

/** Events of `GET /api/v1/stream` (SSE): `event:` = kind, `data:` = this. */
export const streamEvent = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ticket'), ticket: ticketSummary }),
  z.object({
    kind: z.literal('alert'),
    alert: z.object({
      id: z.string(),
      device: deviceId,
      faultKey: z.string(),
      severity,
      state: z.enum(['open', 'cleared']),
      /** What a person did, or what was done about it; absent = analytics has news. */
      change: z.string().optional(),
      assignee: z.string().optional(),
    }),
  }),
  z.object({
    kind: z.literal('registry'),
    entry: versionName.extend({ id: z.uuid(), kind: registryKind, model: z.string(), state: registryState }),
  }),
  z.object({ kind: z.literal('group'), group: alarmGroup }),
  z.object({ kind: z.literal('silence'), silence, report: silenceReport.optional() }),
  z.object({ kind: z.literal('sample'), device: deviceId, time: z.number(), signals: exportedSample.shape.signals }),
]);
export type StreamEvent = z.infer<typeof streamEvent>;

/** An alert in a webhook: enough to find it and to tell people. */
export const alertBrief = alert.pick({
  id: true,
  device: true,
  model: true,
  component: true,
  faultKey: true,
  severity: true,
  state: true,
  raisedAt: true,
  version: true,
  acknowledgedBy: true,
  assignee: true,
  latched: true,
});
export type AlertBrief = z.infer<typeof alertBrief>;

export const ALERT_CHANGES = ['acknowledged', 'assigned', 'shelved', 'unshelved', 'reset', 'escalated'] as const;
export type AlertChange = (typeof ALERT_CHANGES)[number];

const ticketNews = z.object({ tenant: tenantId, ticket: ticketSummary, evidenceUrl: z.string() });

/** Body of the signed webhook to a service centre (Standard Webhooks: headers webhook-id, -timestamp, -signature). */
export const webhookBody = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ticket.opened'), timestamp: z.iso.datetime(), data: ticketNews }),
  z.object({
    type: z.literal('ticket.escalated'),
    timestamp: z.iso.datetime(),
    data: ticketNews.extend({ escalation: escalationView.omit({ firedAt: true }) }),
  }),
  z.object({
    type: z.literal('alert.changed'),
    timestamp: z.iso.datetime(),
    data: z.object({
      tenant: tenantId,
      change: z.enum(ALERT_CHANGES),
      alert: alertBrief,
      /** `system`, or the user's id. */
      actor: z.string(),
      reason: z.string().optional(),
      /** Of an escalation, from 1. */
      level: z.number().int().optional(),
      alertUrl: z.string(),
    }),
  }),
  z.object({
    type: z.enum(['group.opened', 'group.closed']),
    timestamp: z.iso.datetime(),
    data: z.object({ tenant: tenantId, group: alarmGroup, groupUrl: z.string() }),
  }),
  z.object({
    type: z.literal('silence.ended'),
    timestamp: z.iso.datetime(),
    data: z.object({ tenant: tenantId, silence, report: silenceReport, silenceUrl: z.string() }),
  }),
]);
export type WebhookBody = z.infer<typeof webhookBody>;
