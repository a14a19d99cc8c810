CREATE TABLE "device_sessions" (
	"tenant_id" text NOT NULL,
	"device" text NOT NULL,
	"position" bigint NOT NULL,
	"connection" text NOT NULL,
	"connected_at" bigint NOT NULL,
	"remote_address" text NOT NULL,
	"certificate_serial" text,
	CONSTRAINT "device_sessions_tenant_id_device_position_pk" PRIMARY KEY("tenant_id","device","position")
);
--> statement-breakpoint
ALTER TABLE "device_sessions" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "security_events" (
	"tenant_id" text NOT NULL,
	"id" text NOT NULL,
	"minute" bigint NOT NULL,
	"device" text,
	"kind" text NOT NULL,
	"remote_address" text,
	"first_at" bigint NOT NULL,
	"last_at" bigint NOT NULL,
	"times" integer NOT NULL,
	"certificate_serial" text,
	"detail" text NOT NULL,
	CONSTRAINT "security_events_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
ALTER TABLE "security_events" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "quarantine" ADD COLUMN "model" text;--> statement-breakpoint
ALTER TABLE "quarantine" ADD COLUMN "payload" "bytea";--> statement-breakpoint
ALTER TABLE "quarantine" ADD COLUMN "payload_bytes" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "quarantine" ADD COLUMN "places" jsonb;--> statement-breakpoint
ALTER TABLE "quarantine" ADD COLUMN "state" text DEFAULT 'refused' NOT NULL;--> statement-breakpoint
ALTER TABLE "quarantine" ADD COLUMN "replay" jsonb;--> statement-breakpoint
CREATE INDEX "device_sessions_by_time" ON "device_sessions" USING btree ("tenant_id","device","connected_at" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "quarantine_payloads" ON "quarantine" USING btree ("tenant_id","id" DESC NULLS LAST) WHERE payload_bytes > 0;--> statement-breakpoint
CREATE INDEX "security_events_by_time" ON "security_events" USING btree ("tenant_id","minute" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "device_sessions" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = device_sessions.tenant_id AND tickets.device = device_sessions.device) AND NOT EXISTS (SELECT 1 FROM custody WHERE custody.tenant_id = device_sessions.tenant_id AND custody.device = device_sessions.device AND custody.event = 'transferred' AND custody.at > device_sessions.connected_at)))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR (EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = device_sessions.tenant_id AND tickets.device = device_sessions.device) AND NOT EXISTS (SELECT 1 FROM custody WHERE custody.tenant_id = device_sessions.tenant_id AND custody.device = device_sessions.device AND custody.event = 'transferred' AND custody.at > device_sessions.connected_at))));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "device_sessions" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "security_events" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true)) WITH CHECK (tenant_id = current_setting('presage.tenant', true));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "security_events" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
-- Written by hand: the owner of the tables obeys the policies too, and the API marks what it replayed.
ALTER TABLE "device_sessions" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "security_events" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
GRANT UPDATE (payload, payload_bytes, places, state, replay) ON "quarantine" TO presage_app;--> statement-breakpoint
GRANT SELECT ON "device_sessions", "security_events" TO presage_app;--> statement-breakpoint
GRANT SELECT, INSERT, DELETE ON "device_sessions" TO presage_system;--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON "security_events" TO presage_system;
