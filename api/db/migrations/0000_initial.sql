-- Written by hand: the two roles that all work is done with. Neither logs in, neither may bypass row-level security.
-- The connecting user becomes one of them for the length of a transaction (see api/db/database.ts).
DO $$
DECLARE role_name text;
BEGIN
  FOREACH role_name IN ARRAY ARRAY['presage_app', 'presage_system'] LOOP
    BEGIN
      EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT NOBYPASSRLS', role_name);
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL; -- Another database of this cluster made it, or is making it right now.
    END;
    IF NOT pg_has_role(current_user, role_name, 'MEMBER') THEN
      EXECUTE format('GRANT %I TO %I', role_name, current_user);
    END IF;
  END LOOP;
END $$;--> statement-breakpoint
CREATE TABLE "alerts" (
	"tenant_id" text NOT NULL,
	"id" text NOT NULL,
	"device" text NOT NULL,
	"model" text NOT NULL,
	"component" text NOT NULL,
	"fault_key" text NOT NULL,
	"severity" text NOT NULL,
	"state" text NOT NULL,
	"confirmed" boolean NOT NULL,
	"onset" bigint NOT NULL,
	"raised_at" bigint NOT NULL,
	"updated_at" bigint NOT NULL,
	"cleared_at" bigint,
	"evidence" jsonb NOT NULL,
	CONSTRAINT "alerts_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
ALTER TABLE "alerts" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "centres" (
	"tenant_id" text NOT NULL,
	"id" text NOT NULL,
	"name" text NOT NULL,
	"time_zone" text NOT NULL,
	"webhook_url" text,
	"webhook_secret" text,
	CONSTRAINT "centres_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
ALTER TABLE "centres" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "checkpoints" (
	"tenant_id" text NOT NULL,
	"consumer" text NOT NULL,
	"device" text NOT NULL,
	"state" json NOT NULL,
	CONSTRAINT "checkpoints_consumer_tenant_id_device_pk" PRIMARY KEY("consumer","tenant_id","device")
);
--> statement-breakpoint
ALTER TABLE "checkpoints" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "consumer_positions" (
	"tenant_id" text DEFAULT '*' NOT NULL,
	"consumer" text NOT NULL,
	"position" bigint NOT NULL,
	CONSTRAINT "consumer_positions_tenant_id_consumer_pk" PRIMARY KEY("tenant_id","consumer")
);
--> statement-breakpoint
ALTER TABLE "consumer_positions" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "deliveries" (
	"tenant_id" text NOT NULL,
	"outbox_id" uuid NOT NULL,
	"attempt" integer NOT NULL,
	"at" bigint NOT NULL,
	"status" integer,
	"error" text,
	"duration_ms" integer NOT NULL,
	CONSTRAINT "deliveries_outbox_id_attempt_pk" PRIMARY KEY("outbox_id","attempt")
);
--> statement-breakpoint
ALTER TABLE "deliveries" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "device_events" (
	"tenant_id" text NOT NULL,
	"device" text NOT NULL,
	"position" bigint NOT NULL,
	"index" integer NOT NULL,
	"name" text NOT NULL,
	"detail" jsonb,
	"observed_at" bigint NOT NULL,
	CONSTRAINT "device_events_tenant_id_device_position_index_pk" PRIMARY KEY("tenant_id","device","position","index")
);
--> statement-breakpoint
ALTER TABLE "device_events" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "devices" (
	"tenant_id" text NOT NULL,
	"id" text NOT NULL,
	"model" text NOT NULL,
	"serial" text,
	"name" text,
	"centre" text NOT NULL,
	"status" text DEFAULT 'active' NOT NULL,
	"secret_hash" "bytea" NOT NULL,
	"firmware" text,
	"hardware" text,
	"current_boot" text,
	"reported_state" text,
	"state_at" bigint,
	"declared_signals" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"last_seen_at" bigint,
	"created_at" bigint NOT NULL,
	CONSTRAINT "devices_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
ALTER TABLE "devices" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "fault_records" (
	"tenant_id" text NOT NULL,
	"device" text NOT NULL,
	"code" text NOT NULL,
	"scope" text DEFAULT '' NOT NULL,
	"severity" text,
	"status" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"freeze_frame" jsonb,
	"first_seen_at" bigint NOT NULL,
	"last_seen_at" bigint NOT NULL,
	"occurrences" integer NOT NULL,
	CONSTRAINT "fault_records_tenant_id_device_code_scope_pk" PRIMARY KEY("tenant_id","device","code","scope")
);
--> statement-breakpoint
ALTER TABLE "fault_records" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "outbox" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" text NOT NULL,
	"kind" text NOT NULL,
	"ticket_key" text NOT NULL,
	"centre" text NOT NULL,
	"body" text NOT NULL,
	"state" text DEFAULT 'pending' NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_at" bigint NOT NULL,
	"created_at" bigint NOT NULL
);
--> statement-breakpoint
ALTER TABLE "outbox" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "owner_links" (
	"hash" "bytea" PRIMARY KEY NOT NULL,
	"tenant_id" text NOT NULL,
	"user_id" text NOT NULL,
	"created_at" bigint NOT NULL,
	"expires_at" bigint NOT NULL,
	"used_at" bigint
);
--> statement-breakpoint
ALTER TABLE "owner_links" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "prediction_history" (
	"tenant_id" text NOT NULL,
	"device" text NOT NULL,
	"fault_key" text NOT NULL,
	"at" bigint NOT NULL,
	"prediction" jsonb NOT NULL,
	CONSTRAINT "prediction_history_tenant_id_device_fault_key_at_pk" PRIMARY KEY("tenant_id","device","fault_key","at")
);
--> statement-breakpoint
ALTER TABLE "prediction_history" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "predictions" (
	"tenant_id" text NOT NULL,
	"device" text NOT NULL,
	"fault_key" text NOT NULL,
	"model" text NOT NULL,
	"component" text NOT NULL,
	"prediction" jsonb NOT NULL,
	"at" bigint NOT NULL,
	"recorded_at" bigint NOT NULL,
	CONSTRAINT "predictions_tenant_id_device_fault_key_pk" PRIMARY KEY("tenant_id","device","fault_key")
);
--> statement-breakpoint
ALTER TABLE "predictions" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "quarantine" (
	"tenant_id" text NOT NULL,
	"id" text NOT NULL,
	"device" text NOT NULL,
	"reason" text NOT NULL,
	"at" text NOT NULL,
	"channel" text NOT NULL,
	"received_at" bigint NOT NULL,
	"sha256" text NOT NULL,
	"excerpt" text NOT NULL,
	"boot" text,
	"seq" bigint,
	"samples" integer NOT NULL,
	CONSTRAINT "quarantine_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
ALTER TABLE "quarantine" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "sessions" (
	"hash" "bytea" PRIMARY KEY NOT NULL,
	"tenant_id" text NOT NULL,
	"user_id" text NOT NULL,
	"created_at" bigint NOT NULL,
	"expires_at" bigint NOT NULL,
	"last_seen_at" bigint NOT NULL
);
--> statement-breakpoint
ALTER TABLE "sessions" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "tenants" (
	"tenant_id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"default_centre" text NOT NULL,
	"policy" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_at" bigint NOT NULL
);
--> statement-breakpoint
ALTER TABLE "tenants" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "ticket_alerts" (
	"tenant_id" text NOT NULL,
	"alert_id" text NOT NULL,
	"ticket_key" text NOT NULL,
	"attached_at" bigint NOT NULL,
	CONSTRAINT "ticket_alerts_tenant_id_alert_id_pk" PRIMARY KEY("tenant_id","alert_id")
);
--> statement-breakpoint
ALTER TABLE "ticket_alerts" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "ticket_counters" (
	"tenant_id" text NOT NULL,
	"year" integer NOT NULL,
	"last" integer NOT NULL,
	CONSTRAINT "ticket_counters_tenant_id_year_pk" PRIMARY KEY("tenant_id","year")
);
--> statement-breakpoint
ALTER TABLE "ticket_counters" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "ticket_events" (
	"tenant_id" text NOT NULL,
	"ticket_key" text NOT NULL,
	"seq" integer NOT NULL,
	"at" bigint NOT NULL,
	"actor" text NOT NULL,
	"type" text NOT NULL,
	"from_state" text,
	"to_state" text,
	"reason" text,
	"facts" jsonb,
	CONSTRAINT "ticket_events_tenant_id_ticket_key_seq_pk" PRIMARY KEY("tenant_id","ticket_key","seq")
);
--> statement-breakpoint
ALTER TABLE "ticket_events" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "ticket_evidence" (
	"tenant_id" text NOT NULL,
	"ticket_key" text NOT NULL,
	"canonical" text NOT NULL,
	"sha256" text NOT NULL,
	"complete" boolean NOT NULL,
	"device" text NOT NULL,
	"model" text NOT NULL,
	"fault_key" text NOT NULL,
	"position" bigint NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_at" bigint NOT NULL,
	CONSTRAINT "ticket_evidence_tenant_id_ticket_key_pk" PRIMARY KEY("tenant_id","ticket_key")
);
--> statement-breakpoint
ALTER TABLE "ticket_evidence" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "tickets" (
	"tenant_id" text NOT NULL,
	"key" text NOT NULL,
	"id" uuid NOT NULL,
	"source" text NOT NULL,
	"kind" text NOT NULL,
	"state" text NOT NULL,
	"severity" text NOT NULL,
	"title" text NOT NULL,
	"device" text NOT NULL,
	"model" text NOT NULL,
	"component" text NOT NULL,
	"fault_key" text NOT NULL,
	"centre" text NOT NULL,
	"created_at" bigint NOT NULL,
	"updated_at" bigint NOT NULL,
	"observed_at" bigint NOT NULL,
	"remaining_life" jsonb,
	"version" integer DEFAULT 1 NOT NULL,
	"policy_version" text NOT NULL,
	CONSTRAINT "tickets_tenant_id_key_pk" PRIMARY KEY("tenant_id","key")
);
--> statement-breakpoint
ALTER TABLE "tickets" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "tokens" (
	"hash" "bytea" PRIMARY KEY NOT NULL,
	"tenant_id" text NOT NULL,
	"user_id" text NOT NULL,
	"label" text NOT NULL,
	"created_at" bigint NOT NULL,
	"expires_at" bigint,
	"last_used_at" bigint,
	"revoked_at" bigint
);
--> statement-breakpoint
ALTER TABLE "tokens" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "users" (
	"tenant_id" text NOT NULL,
	"id" text NOT NULL,
	"role" text NOT NULL,
	"centre" text,
	"disabled" boolean DEFAULT false NOT NULL,
	"created_at" bigint NOT NULL,
	CONSTRAINT "users_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
ALTER TABLE "users" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE UNIQUE INDEX "alerts_one_open" ON "alerts" USING btree ("tenant_id","device","fault_key") WHERE state = 'open';--> statement-breakpoint
CREATE INDEX "alerts_by_time" ON "alerts" USING btree ("tenant_id","raised_at" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "outbox_due" ON "outbox" USING btree ("next_at") WHERE state = 'pending';--> statement-breakpoint
CREATE INDEX "quarantine_by_time" ON "quarantine" USING btree ("tenant_id","received_at" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "sessions_by_user" ON "sessions" USING btree ("tenant_id","user_id");--> statement-breakpoint
CREATE INDEX "ticket_alerts_by_ticket" ON "ticket_alerts" USING btree ("tenant_id","ticket_key");--> statement-breakpoint
CREATE INDEX "ticket_evidence_due" ON "ticket_evidence" USING btree ("next_at") WHERE NOT complete;--> statement-breakpoint
CREATE UNIQUE INDEX "tickets_one_open" ON "tickets" USING btree ("tenant_id","device","component") WHERE state NOT IN ('closed', 'cancelled');--> statement-breakpoint
CREATE INDEX "tickets_by_time" ON "tickets" USING btree ("tenant_id","created_at" DESC NULLS LAST,"key" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "tokens_by_user" ON "tokens" USING btree ("tenant_id","user_id");--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "alerts" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = alerts.tenant_id AND tickets.device = alerts.device))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = alerts.tenant_id AND tickets.device = alerts.device)));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "alerts" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "centres" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true)) WITH CHECK (tenant_id = current_setting('presage.tenant', true));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "centres" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "checkpoints" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "consumer_positions" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "deliveries" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "device_events" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = device_events.tenant_id AND tickets.device = device_events.device))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = device_events.tenant_id AND tickets.device = device_events.device)));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "device_events" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "devices" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = devices.tenant_id AND tickets.device = devices.id))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = devices.tenant_id AND tickets.device = devices.id)));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "devices" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "fault_records" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = fault_records.tenant_id AND tickets.device = fault_records.device))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = fault_records.tenant_id AND tickets.device = fault_records.device)));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "fault_records" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "outbox" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "owner_links" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "prediction_history" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = prediction_history.tenant_id AND tickets.device = prediction_history.device))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = prediction_history.tenant_id AND tickets.device = prediction_history.device)));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "prediction_history" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "predictions" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = predictions.tenant_id AND tickets.device = predictions.device))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = predictions.tenant_id AND tickets.device = predictions.device)));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "predictions" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "quarantine" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = quarantine.tenant_id AND tickets.device = quarantine.device))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = quarantine.tenant_id AND tickets.device = quarantine.device)));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "quarantine" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "sessions" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "tenants" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true)) WITH CHECK (tenant_id = current_setting('presage.tenant', true));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "tenants" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "ticket_alerts" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = ticket_alerts.tenant_id AND tickets.key = ticket_alerts.ticket_key)) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = ticket_alerts.tenant_id AND tickets.key = ticket_alerts.ticket_key));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "ticket_alerts" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "ticket_counters" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true)) WITH CHECK (tenant_id = current_setting('presage.tenant', true));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "ticket_counters" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "ticket_events" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = ticket_events.tenant_id AND tickets.key = ticket_events.ticket_key)) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = ticket_events.tenant_id AND tickets.key = ticket_events.ticket_key));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "ticket_events" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "ticket_evidence" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = ticket_evidence.tenant_id AND tickets.key = ticket_evidence.ticket_key)) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = ticket_evidence.tenant_id AND tickets.key = ticket_evidence.ticket_key));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "ticket_evidence" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "tickets" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND COALESCE(current_setting('presage.centre', true), '') IN ('', centre)) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND COALESCE(current_setting('presage.centre', true), '') IN ('', centre));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "tickets" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "tokens" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "users" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true)) WITH CHECK (tenant_id = current_setting('presage.tenant', true));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "users" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
-- Written by hand: the owner of the tables obeys the policies too.
ALTER TABLE "alerts" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "centres" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "checkpoints" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "consumer_positions" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "deliveries" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "device_events" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "devices" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "fault_records" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "outbox" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "owner_links" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "prediction_history" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "predictions" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "quarantine" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "sessions" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "tenants" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "ticket_alerts" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "ticket_counters" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "ticket_events" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "ticket_evidence" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "tickets" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "tokens" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "users" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
-- Least privilege. Secrets (device hashes, webhook secrets, tokens, sessions) are for presage_system only; what happened
-- to a ticket and what was foreseen can be added to, never changed.
GRANT SELECT ON "tenants", "users", "fault_records", "device_events", "quarantine", "alerts", "predictions", "prediction_history", "tickets", "ticket_alerts", "ticket_events", "ticket_evidence" TO presage_app;--> statement-breakpoint
GRANT SELECT (tenant_id, id, name, time_zone) ON "centres" TO presage_app;--> statement-breakpoint
GRANT SELECT (tenant_id, id, model, serial, name, centre, status, firmware, hardware, current_boot, reported_state, state_at, declared_signals, last_seen_at, created_at) ON "devices" TO presage_app;--> statement-breakpoint
GRANT INSERT ON "devices", "ticket_events" TO presage_app;--> statement-breakpoint
GRANT UPDATE (status) ON "devices" TO presage_app;--> statement-breakpoint
GRANT UPDATE (state, updated_at, version) ON "tickets" TO presage_app;--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON "alerts", "centres", "checkpoints", "consumer_positions", "deliveries", "device_events", "devices", "fault_records", "outbox", "owner_links", "predictions", "quarantine", "sessions", "tenants", "ticket_alerts", "ticket_counters", "ticket_evidence", "tickets", "tokens", "users" TO presage_system;--> statement-breakpoint
GRANT SELECT, INSERT ON "ticket_events", "prediction_history" TO presage_system;
