/** Owner of devices' metadata: takes what ingest's registry writer found in the log, each record once. */
import { and, desc, eq, lt, sql } from 'drizzle-orm';
import { AppError, errorText } from '../../contract/kernel/errors.ts';
import type { DeviceRef } from '../../contract/kernel/ids.ts';
import type { SecurityEvent } from '../../contract/ports/broker.ts';
import type { RegistryRecord, RegistrySink } from '../../contract/ports/registry.ts';
import type { Metrics } from '../../contract/ports/services.ts';
import type { BirthPayload, FaultReport } from '../../contract/wire/payloads.ts';
import { readPosition, writePosition } from '../db/consumer-positions.ts';
import { type Database, sqlState, type Transaction } from '../db/database.ts';
import { type DeclaredSignals, deviceEvents, deviceSessions, devices, faultRecords, quarantine } from '../db/schema.ts';
import {
  createPayloadBound,
  DEFAULT_QUARANTINE_LIMITS,
  type PayloadBound,
  type QuarantineLimits,
} from './quarantine-payloads.ts';
import { countSecurityEvents, createSecurityEventTable } from './security-events.ts';
import { foldAll, foldedOf } from './security-fold.ts';

const CONSUMER = 'registry';
const CHUNK_ROWS = 500;
/** Logins of a device that are remembered. */
const MAX_SESSIONS = 10_000;
const TRIM_EVERY = 251;

type Kind<K extends RegistryRecord['kind']> = Extract<RegistryRecord, { kind: K }>;

/** Data exceptions and broken constraints: the same record will be refused again. */
const REFUSED_FOR_GOOD = /^2[23]/;

export function createRegistrySink(
  database: Database,
  metrics: Metrics,
  limits: QuarantineLimits = DEFAULT_QUARANTINE_LIMITS,
): RegistrySink {
  const bound = createPayloadBound(limits, metrics);
  const security = createSecurityEventTable(metrics);

  /** Returns how many conflicts were new. */
  function store(records: readonly RegistryRecord[]): Promise<number> {
    return database.withSystem(async (tx) => {
      const stored = await readPosition(tx, CONSUMER);
      const fresh = records.filter((record) => record.position > stored);
      const last = fresh.at(-1);
      if (!last) return 0;
      for (const record of fresh) {
        if (record.kind === 'birth') await storeBirth(tx, record);
        else if (record.kind === 'state') await storeState(tx, record);
        else if (record.kind === 'event') await storeEvent(tx, record);
        else if (record.kind === 'session') await storeSession(tx, record);
      }
      const conflicts = await storeQuarantine(
        tx,
        fresh.filter((record) => record.kind === 'quarantine'),
        bound,
      );
      if (conflicts.length > 0) await security.store(tx, foldAll(conflicts.map(foldedOf)));
      await writePosition(tx, CONSUMER, last.position);
      return conflicts.length;
    });
  }

  return {
    async store(records) {
      try {
        const conflicts = await store(records);
        if (conflicts > 0) countSecurityEvents(metrics, 'SEQUENCE_CONFLICT', conflicts);
      } catch (cause) {
        if (!REFUSED_FOR_GOOD.test(sqlState(cause) ?? '')) throw cause;
        throw new AppError('STORE_WRITE_REJECTED', errorText(cause), { cause });
      }
    },
  };
}

const isDevice = (ref: DeviceRef) => and(eq(devices.tenant, ref.tenant), eq(devices.id, ref.device));

/** A field that the birth leaves out keeps its last known value; the list of signals is replaced when there is one. */
async function storeBirth(tx: Transaction, { ref, birth, receivedAt }: Kind<'birth'>): Promise<void> {
  await tx
    .update(devices)
    .set({
      currentBoot: birth.boot,
      lastSeenAt: sql`GREATEST(${devices.lastSeenAt}, ${receivedAt}::bigint)`,
      ...(birth.firmware === undefined ? {} : { firmware: birth.firmware }),
      ...(birth.hardware === undefined ? {} : { hardware: birth.hardware }),
      ...(birth.serial === undefined ? {} : { serial: birth.serial }),
      ...(birth.signals === undefined ? {} : { declaredSignals: declaredSignals(birth.signals) }),
    })
    .where(isDevice(ref));
}

function declaredSignals(signals: NonNullable<BirthPayload['signals']>): DeclaredSignals {
  return Object.fromEntries(
    signals.map((signal) => [signal.name, { kind: signal.kind ?? 'number', unit: signal.unit ?? '' }]),
  );
}

/** `online` starts a boot; `offline` (also a last will) counts only for the current one. */
async function storeState(tx: Transaction, { ref, state, receivedAt }: Kind<'state'>): Promise<void> {
  const online = state.state === 'online';
  await tx
    .update(devices)
    .set({
      reportedState: state.state,
      stateAt: receivedAt,
      ...(online
        ? { currentBoot: state.boot, lastSeenAt: sql`GREATEST(${devices.lastSeenAt}, ${receivedAt}::bigint)` }
        : {}),
    })
    .where(
      online
        ? isDevice(ref)
        : and(isDevice(ref), sql`(${devices.currentBoot} IS NULL OR ${devices.currentBoot} = ${state.boot})`),
    );
}

async function storeEvent(tx: Transaction, { ref, event, position }: Kind<'event'>): Promise<void> {
  for (const fault of event.faults ?? []) await storeFault(tx, ref, fault, event.t);
  const events = (event.events ?? []).map((one, index) => ({
    tenant: ref.tenant,
    device: ref.device,
    position,
    index,
    name: one.name,
    detail: one.detail ?? null,
    observedAt: event.t,
  }));
  if (events.length > 0) await tx.insert(deviceEvents).values(events).onConflictDoNothing();
}

async function storeSession(tx: Transaction, { ref, session, position, receivedAt }: Kind<'session'>): Promise<void> {
  const { tenant, device } = ref;
  const { connection, remoteAddress, certificateSerial = null } = session;
  await tx
    .insert(deviceSessions)
    .values({ tenant, device, position, connection, connectedAt: receivedAt, remoteAddress, certificateSerial })
    .onConflictDoNothing();
  // One login in about 250 pays for the bound; positions are as good as chance for choosing it.
  if (position % TRIM_EVERY === 0) await forgetOldSessions(tx, ref);
}

async function forgetOldSessions(tx: Transaction, { tenant, device }: DeviceRef): Promise<void> {
  const ofDevice = and(eq(deviceSessions.tenant, tenant), eq(deviceSessions.device, device));
  const [oldest] = await tx
    .select({ position: deviceSessions.position })
    .from(deviceSessions)
    .where(ofDevice)
    .orderBy(desc(deviceSessions.position))
    .offset(MAX_SESSIONS - 1)
    .limit(1);
  if (oldest) await tx.delete(deviceSessions).where(and(ofDevice, lt(deviceSessions.position, oldest.position)));
}

/** The device's own counter wins where it has one; otherwise we count its reports. */
async function storeFault(tx: Transaction, ref: DeviceRef, fault: FaultReport, at: number): Promise<void> {
  const reported = fault.occurrences;
  await tx
    .insert(faultRecords)
    .values({
      tenant: ref.tenant,
      device: ref.device,
      code: fault.code,
      scope: fault.scope ?? '',
      severity: fault.severity ?? null,
      status: fault.status ?? {},
      freezeFrame: fault.freezeFrame ?? null,
      firstSeenAt: fault.firstSeen ?? at,
      lastSeenAt: fault.lastSeen ?? at,
      occurrences: reported ?? 1,
    })
    .onConflictDoUpdate({
      target: [faultRecords.tenant, faultRecords.device, faultRecords.code, faultRecords.scope],
      set: {
        severity: sql`COALESCE(excluded.severity, ${faultRecords.severity})`,
        status: sql`excluded.status`,
        freezeFrame: sql`COALESCE(excluded.freeze_frame, ${faultRecords.freezeFrame})`,
        firstSeenAt: sql`LEAST(excluded.first_seen_at, ${faultRecords.firstSeenAt})`,
        lastSeenAt: sql`GREATEST(excluded.last_seen_at, ${faultRecords.lastSeenAt})`,
        occurrences: reported === undefined ? sql`${faultRecords.occurrences} + 1` : sql`excluded.occurrences`,
      },
    });
}

/** Returns what of it is news and speaks of an attack: one identity with two contents is a copy, or a lie. */
async function storeQuarantine(
  tx: Transaction,
  records: readonly Kind<'quarantine'>[],
  bound: PayloadBound,
): Promise<SecurityEvent[]> {
  /** how many records of a position came before, by position */
  const seen = new Map<number, number>();
  const rows = records.map(({ position, record }) => {
    const before = seen.get(position) ?? 0;
    seen.set(position, before + 1);
    const payload = record.payload === undefined ? null : Buffer.from(record.payload, 'base64');
    return {
      tenant: record.tenant,
      // Fixed width, so that ids sort as positions do.
      id: record.source ?? String(position).padStart(16, '0') + (before === 0 ? '' : `-${before}`),
      device: record.device,
      reason: record.reason,
      at: record.at,
      channel: record.channel,
      receivedAt: record.receivedAt,
      sha256: record.sha256,
      // PostgreSQL text cannot hold NUL; the excerpt is escaped, but this is the last door.
      excerpt: record.excerpt.replaceAll('\u0000', '\\u0000'),
      boot: record.boot ?? null,
      seq: record.seq ?? null,
      samples: record.samples,
      model: record.model ?? null,
      payload,
      payloadBytes: payload?.byteLength ?? 0,
      places: record.places ?? null,
    };
  });
  const conflicts: SecurityEvent[] = [];
  for (let start = 0; start < rows.length; start += CHUNK_ROWS) {
    const stored = await tx
      .insert(quarantine)
      .values(rows.slice(start, start + CHUNK_ROWS))
      .onConflictDoNothing()
      .returning(CONFLICT_FACTS);
    conflicts.push(...stored.filter(({ reason }) => reason === 'SEQUENCE_CONFLICT').map(conflictOf));
  }
  await bound.added(tx, rows);
  return conflicts;
}

const CONFLICT_FACTS = {
  tenant: quarantine.tenant,
  device: quarantine.device,
  reason: quarantine.reason,
  receivedAt: quarantine.receivedAt,
  boot: quarantine.boot,
  seq: quarantine.seq,
};

function conflictOf({
  tenant,
  device,
  receivedAt,
  boot,
  seq,
}: Pick<typeof quarantine.$inferSelect, keyof typeof CONFLICT_FACTS>): SecurityEvent {
  const detail = `boot ${boot}, seq ${seq} came again with another content`;
  return { tenant, device, kind: 'SEQUENCE_CONFLICT', at: receivedAt, detail, proved: true };
}
