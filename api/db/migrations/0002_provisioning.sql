-- Generated, then completed by hand.
CREATE TABLE "custody" (
	"tenant_id" text NOT NULL,
	"device" text NOT NULL,
	"seq" integer NOT NULL,
	"serial" text,
	"at" bigint NOT NULL,
	"event" text NOT NULL,
	"actor" text NOT NULL,
	"from_centre" text,
	"to_centre" text,
	"reason" text,
	CONSTRAINT "custody_tenant_id_device_seq_pk" PRIMARY KEY("tenant_id","device","seq")
);
--> statement-breakpoint
ALTER TABLE "custody" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "provisioning" (
	"tenant_id" text PRIMARY KEY NOT NULL,
	"mode" text NOT NULL,
	"claim_hash" "bytea",
	"claim_expires_at" bigint,
	"models" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"centre" text,
	"max_devices" integer NOT NULL,
	"created" integer DEFAULT 0 NOT NULL,
	"updated_at" bigint NOT NULL
);
--> statement-breakpoint
ALTER TABLE "provisioning" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "devices" ADD COLUMN "next_secret_hash" "bytea";--> statement-breakpoint
ALTER TABLE "devices" ADD COLUMN "secret_expires_at" bigint;--> statement-breakpoint
ALTER TABLE "devices" ADD COLUMN "secret_changed_at" bigint;--> statement-breakpoint
ALTER TABLE "devices" ADD COLUMN "claim" text;--> statement-breakpoint
CREATE INDEX "custody_by_serial" ON "custody" USING btree ("tenant_id","serial");--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "custody" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true)) WITH CHECK (tenant_id = current_setting('presage.tenant', true));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "custody" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "provisioning" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true)) WITH CHECK (tenant_id = current_setting('presage.tenant', true));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "provisioning" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
ALTER POLICY "app_sees_own" ON "alerts" TO presage_app USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = alerts.tenant_id AND tickets.device = alerts.device) AND NOT EXISTS (SELECT 1 FROM custody WHERE custody.tenant_id = alerts.tenant_id AND custody.device = alerts.device AND custody.event = 'transferred' AND custody.at > alerts.raised_at)))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = alerts.tenant_id AND tickets.device = alerts.device) AND NOT EXISTS (SELECT 1 FROM custody WHERE custody.tenant_id = alerts.tenant_id AND custody.device = alerts.device AND custody.event = 'transferred' AND custody.at > alerts.raised_at))));--> statement-breakpoint
ALTER POLICY "app_sees_own" ON "device_events" TO presage_app USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = device_events.tenant_id AND tickets.device = device_events.device) AND NOT EXISTS (SELECT 1 FROM custody WHERE custody.tenant_id = device_events.tenant_id AND custody.device = device_events.device AND custody.event = 'transferred' AND custody.at > device_events.observed_at)))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = device_events.tenant_id AND tickets.device = device_events.device) AND NOT EXISTS (SELECT 1 FROM custody WHERE custody.tenant_id = device_events.tenant_id AND custody.device = device_events.device AND custody.event = 'transferred' AND custody.at > device_events.observed_at))));--> statement-breakpoint
ALTER POLICY "app_sees_own" ON "devices" TO presage_app USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = devices.tenant_id AND tickets.device = devices.id)))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = devices.tenant_id AND tickets.device = devices.id))));--> statement-breakpoint
ALTER POLICY "app_sees_own" ON "fault_records" TO presage_app USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = fault_records.tenant_id AND tickets.device = fault_records.device) AND NOT EXISTS (SELECT 1 FROM custody WHERE custody.tenant_id = fault_records.tenant_id AND custody.device = fault_records.device AND custody.event = 'transferred' AND custody.at > fault_records.last_seen_at)))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = fault_records.tenant_id AND tickets.device = fault_records.device) AND NOT EXISTS (SELECT 1 FROM custody WHERE custody.tenant_id = fault_records.tenant_id AND custody.device = fault_records.device AND custody.event = 'transferred' AND custody.at > fault_records.last_seen_at))));--> statement-breakpoint
ALTER POLICY "app_sees_own" ON "prediction_history" TO presage_app USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = prediction_history.tenant_id AND tickets.device = prediction_history.device) AND NOT EXISTS (SELECT 1 FROM custody WHERE custody.tenant_id = prediction_history.tenant_id AND custody.device = prediction_history.device AND custody.event = 'transferred' AND custody.at > prediction_history.at)))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = prediction_history.tenant_id AND tickets.device = prediction_history.device) AND NOT EXISTS (SELECT 1 FROM custody WHERE custody.tenant_id = prediction_history.tenant_id AND custody.device = prediction_history.device AND custody.event = 'transferred' AND custody.at > prediction_history.at))));--> statement-breakpoint
ALTER POLICY "app_sees_own" ON "predictions" TO presage_app USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = predictions.tenant_id AND tickets.device = predictions.device) AND NOT EXISTS (SELECT 1 FROM custody WHERE custody.tenant_id = predictions.tenant_id AND custody.device = predictions.device AND custody.event = 'transferred' AND custody.at > predictions.at)))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = predictions.tenant_id AND tickets.device = predictions.device) AND NOT EXISTS (SELECT 1 FROM custody WHERE custody.tenant_id = predictions.tenant_id AND custody.device = predictions.device AND custody.event = 'transferred' AND custody.at > predictions.at))));--> statement-breakpoint
ALTER POLICY "app_sees_own" ON "quarantine" TO presage_app USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = quarantine.tenant_id AND tickets.device = quarantine.device) AND NOT EXISTS (SELECT 1 FROM custody WHERE custody.tenant_id = quarantine.tenant_id AND custody.device = quarantine.device AND custody.event = 'transferred' AND custody.at > quarantine.received_at)))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = quarantine.tenant_id AND tickets.device = quarantine.device) AND NOT EXISTS (SELECT 1 FROM custody WHERE custody.tenant_id = quarantine.tenant_id AND custody.device = quarantine.device AND custody.event = 'transferred' AND custody.at > quarantine.received_at))));--> statement-breakpoint
ALTER POLICY "app_sees_own" ON "tickets" TO presage_app USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (centre = current_setting('presage.centre', true) AND NOT EXISTS (SELECT 1 FROM custody WHERE custody.tenant_id = tickets.tenant_id AND custody.device = tickets.device AND custody.event = 'transferred' AND custody.at > tickets.created_at)))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (centre = current_setting('presage.centre', true) AND NOT EXISTS (SELECT 1 FROM custody WHERE custody.tenant_id = tickets.tenant_id AND custody.device = tickets.device AND custody.event = 'transferred' AND custody.at > tickets.created_at))));--> statement-breakpoint
-- Written by hand: the owner of the tables obeys the policies too, custody can only be added to, and hashes are not read back.
ALTER TABLE "custody" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "provisioning" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
GRANT SELECT, INSERT ON "custody" TO presage_app, presage_system;--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON "provisioning" TO presage_system;--> statement-breakpoint
GRANT SELECT (tenant_id, mode, claim_expires_at, models, centre, max_devices, created, updated_at) ON "provisioning" TO presage_app;--> statement-breakpoint
GRANT INSERT, UPDATE (mode, claim_hash, claim_expires_at, models, centre, max_devices, updated_at) ON "provisioning" TO presage_app;--> statement-breakpoint
GRANT SELECT (secret_expires_at, secret_changed_at, claim) ON "devices" TO presage_app;--> statement-breakpoint
GRANT UPDATE (secret_hash, next_secret_hash, secret_expires_at, secret_changed_at, claim, centre) ON "devices" TO presage_app;
