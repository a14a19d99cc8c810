/** Alarms without HTTP: findings in, the worker that looks after time, and what stands in the database afterwards. */
import { asc, sql } from 'drizzle-orm';
import { createAlarmWorker } from '../../api/alerts/alarm-worker.ts';
import { alarmEvents, alarmGroups, alarmHolds, silenceReports, silences } from '../../api/db/alarm-schema.ts';
import type { Database } from '../../api/db/database.ts';
import { alerts, outbox, ticketAlerts, tickets } from '../../api/db/schema.ts';
import { applyAlerts } from '../../api/tickets/apply-alerts.ts';
import { webhookBody } from '../../contract/http/resources.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import type { Clock } from '../../contract/ports/services.ts';
import { noMetrics, silentLogger } from './fake-services.ts';
import { waitFor } from './wait-for.ts';

export async function emptyAlarms(database: Database): Promise<void> {
  await database.withOwner(async (client) => {
    await client.query(`TRUNCATE alerts, tickets, ticket_alerts, ticket_events, ticket_evidence, ticket_counters, outbox,
      deliveries, consumer_positions, alarm_events, alarm_holds, alarm_groups, silences, silence_reports`);
    await client.query(`SET ROLE presage_system`);
    await client.query(`UPDATE tenants SET policy = '{}'`);
    await client.query(`UPDATE devices SET parent = NULL, batch = NULL, firmware = NULL`);
    await client.query(`RESET ROLE`);
  });
}

export function alarmHarness(database: () => Database, clock: Clock) {
  const context = () => ({ now: clock.now(), publicUrl: 'http://console' });
  const apply = (findings: readonly AlertFinding[], on: Database = database()) =>
    on.withSystem((tx) => applyAlerts(tx, findings, context()));

  const isSettled = async () => {
    const { rows } = await database().withSystem((tx) =>
      tx.execute<{ due: number }>(sql`SELECT (SELECT count(*) FROM silences WHERE settle_at <= ${clock.now()})
        + (SELECT count(*) FROM alarm_groups WHERE settle_at <= ${clock.now()})
        + (SELECT count(*) FROM alarm_holds WHERE ended_at IS NULL AND until_at <= ${clock.now()})
        + (SELECT count(*) FROM alerts WHERE escalate_at <= ${clock.now()}) AS due`),
    );
    return Number(rows[0]?.due) === 0;
  };

  return {
    apply,
    /** Runs the worker until nothing is due at the clock's time; a new one each time, as after a restart. */
    async settle(on: Database = database()): Promise<void> {
      const worker = createAlarmWorker({
        database: on,
        clock,
        logger: silentLogger,
        metrics: noMetrics,
        publicUrl: () => 'http://console',
        onApplied: () => undefined,
        onEnded: () => undefined,
      });
      await worker.start();
      try {
        await waitFor('the worker to settle', async () => {
          worker.wake();
          return isSettled();
        });
      } finally {
        await worker.stop();
      }
    },
    setPolicy: (policy: object) =>
      database().withSystem((tx) => tx.execute(sql`UPDATE tenants SET policy = ${JSON.stringify(policy)}::jsonb`)),
    async addSilence(facts: Partial<typeof silences.$inferInsert> & { from: number; until: number | null }) {
      const id = crypto.randomUUID();
      await database().withSystem((tx) =>
        tx.insert(silences).values({
          tenant: 'acme',
          id,
          kind: 'maintenance',
          reason: 'filters are changed',
          createdBy: 'anna',
          createdAt: clock.now(),
          settleAt: facts.until,
          ...facts,
        }),
      );
      return id;
    },
    alarm: async (id: string) =>
      (await database().withSystem((tx) => tx.select().from(alerts))).find((row) => row.id === id),
    events: async (id: string) =>
      (await database().withSystem((tx) => tx.select().from(alarmEvents).orderBy(asc(alarmEvents.id))))
        .filter((row) => row.alertId === id)
        .map((row) => row.type),
    eventRows: () => database().withSystem((tx) => tx.select().from(alarmEvents).orderBy(asc(alarmEvents.id))),
    /** Of each alarm with its ticket. */
    tickets: async () =>
      (await database().withSystem((tx) => tx.select().from(ticketAlerts)))
        .map((row) => `${row.alertId} → ${row.ticketKey}`)
        .sort(),
    ticketRows: () => database().withSystem((tx) => tx.select().from(tickets).orderBy(asc(tickets.key))),
    holds: () => database().withSystem((tx) => tx.select().from(alarmHolds).orderBy(asc(alarmHolds.id))),
    groups: () => database().withSystem((tx) => tx.select().from(alarmGroups)),
    reports: () => database().withSystem((tx) => tx.select().from(silenceReports).orderBy(asc(silenceReports.until))),
    silences: () => database().withSystem((tx) => tx.select().from(silences)),
    webhooks: async () =>
      (await database().withSystem((tx) => tx.select().from(outbox).orderBy(asc(outbox.id)))).map((row) =>
        webhookBody.parse(JSON.parse(row.body)),
      ),
    setDevice: (id: string, facts: { parent?: string; batch?: string; firmware?: string }) =>
      database().withSystem((tx) =>
        tx.execute(sql`UPDATE devices SET parent = COALESCE(${facts.parent ?? null}, parent),
          batch = COALESCE(${facts.batch ?? null}, batch), firmware = COALESCE(${facts.firmware ?? null}, firmware)
          WHERE tenant_id = 'acme' AND id = ${id}`),
      ),
  };
}
