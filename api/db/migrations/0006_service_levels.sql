-- Generated, then completed by hand.
CREATE TABLE "service_level_policies" (
	"tenant_id" text NOT NULL,
	"version" integer NOT NULL,
	"document" jsonb NOT NULL,
	"created_at" bigint NOT NULL,
	"created_by" text NOT NULL,
	CONSTRAINT "service_level_policies_tenant_id_version_pk" PRIMARY KEY("tenant_id","version")
);
--> statement-breakpoint
ALTER TABLE "service_level_policies" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "service_timers" (
	"tenant_id" text NOT NULL,
	"ticket_key" text NOT NULL,
	"clock" text NOT NULL,
	"cycle" integer NOT NULL,
	"share" double precision NOT NULL,
	"notify" text NOT NULL,
	"due_at" bigint NOT NULL,
	"fired_at" bigint,
	CONSTRAINT "service_timers_tenant_id_ticket_key_clock_cycle_share_pk" PRIMARY KEY("tenant_id","ticket_key","clock","cycle","share")
);
--> statement-breakpoint
ALTER TABLE "service_timers" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "centres" ADD COLUMN "calendar" jsonb;--> statement-breakpoint
ALTER TABLE "centres" ADD COLUMN "calendar_version" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "tickets" ADD COLUMN "mode" text DEFAULT 'on_site' NOT NULL;--> statement-breakpoint
ALTER TABLE "tickets" ADD COLUMN "tier" text DEFAULT 'standard' NOT NULL;--> statement-breakpoint
ALTER TABLE "tickets" ADD COLUMN "service_policy" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX "service_timers_due" ON "service_timers" USING btree ("due_at") WHERE fired_at IS NULL;--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "service_level_policies" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true)) WITH CHECK (tenant_id = current_setting('presage.tenant', true));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "service_level_policies" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "service_timers" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = service_timers.tenant_id AND tickets.key = service_timers.ticket_key)) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = service_timers.tenant_id AND tickets.key = service_timers.ticket_key));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "service_timers" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
-- Written by hand: the owner of the tables obeys the policies too, and no promise that was made is changed or deleted.
ALTER TABLE "service_level_policies" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "service_timers" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
GRANT SELECT, INSERT ON "service_level_policies" TO presage_app, presage_system;--> statement-breakpoint
GRANT SELECT, INSERT, DELETE ON "service_timers" TO presage_app;--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON "service_timers" TO presage_system;--> statement-breakpoint
GRANT SELECT (calendar, calendar_version), UPDATE (calendar, calendar_version) ON "centres" TO presage_app;
