-- Generated, then completed by hand.
CREATE TABLE "alarm_events" (
	"tenant_id" text NOT NULL,
	"id" bigint GENERATED ALWAYS AS IDENTITY (sequence name "alarm_events_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"alert_id" text NOT NULL,
	"at" bigint NOT NULL,
	"actor" text NOT NULL,
	"type" text NOT NULL,
	"reason" text,
	"facts" jsonb,
	CONSTRAINT "alarm_events_tenant_id_alert_id_id_pk" PRIMARY KEY("tenant_id","alert_id","id")
);
--> statement-breakpoint
ALTER TABLE "alarm_events" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "alarm_groups" (
	"tenant_id" text NOT NULL,
	"id" uuid NOT NULL,
	"model" text NOT NULL,
	"batch" text NOT NULL,
	"firmware" text NOT NULL,
	"fault_key" text NOT NULL,
	"state" text NOT NULL,
	"opened_at" bigint NOT NULL,
	"closed_at" bigint,
	"exposed" integer NOT NULL,
	"decision" text,
	"decided_by" text,
	"decided_at" bigint,
	"reason" text,
	"version" integer DEFAULT 1 NOT NULL,
	"decide_by" bigint NOT NULL,
	"settle_at" bigint,
	CONSTRAINT "alarm_groups_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
ALTER TABLE "alarm_groups" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "alarm_holds" (
	"tenant_id" text NOT NULL,
	"id" bigint GENERATED ALWAYS AS IDENTITY (sequence name "alarm_holds_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"alert_id" text NOT NULL,
	"kind" text NOT NULL,
	"holder" text NOT NULL,
	"since" bigint NOT NULL,
	"until_at" bigint,
	"ended_at" bigint,
	"outcome" text,
	CONSTRAINT "alarm_holds_tenant_id_alert_id_id_pk" PRIMARY KEY("tenant_id","alert_id","id")
);
--> statement-breakpoint
ALTER TABLE "alarm_holds" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "silence_reports" (
	"tenant_id" text NOT NULL,
	"silence_id" uuid NOT NULL,
	"from_at" bigint NOT NULL,
	"until_at" bigint NOT NULL,
	"ended_by" text NOT NULL,
	"silenced" integer NOT NULL,
	"acted" integer NOT NULL,
	"items" jsonb NOT NULL,
	CONSTRAINT "silence_reports_tenant_id_silence_id_until_at_pk" PRIMARY KEY("tenant_id","silence_id","until_at")
);
--> statement-breakpoint
ALTER TABLE "silence_reports" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "silences" (
	"tenant_id" text NOT NULL,
	"id" uuid NOT NULL,
	"kind" text NOT NULL,
	"device" text,
	"model" text,
	"centre" text,
	"fault_key" text,
	"reason" text NOT NULL,
	"created_by" text NOT NULL,
	"created_at" bigint NOT NULL,
	"from_at" bigint NOT NULL,
	"until_at" bigint,
	"weekly" jsonb,
	"ended_at" bigint,
	"ended_by" text,
	"end_reason" text,
	"version" integer DEFAULT 1 NOT NULL,
	"settle_at" bigint,
	CONSTRAINT "silences_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
ALTER TABLE "silences" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "outbox" ALTER COLUMN "ticket_key" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "alerts" ADD COLUMN "version" integer DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE "alerts" ADD COLUMN "position" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "alerts" ADD COLUMN "acknowledged_at" bigint;--> statement-breakpoint
ALTER TABLE "alerts" ADD COLUMN "acknowledged_by" text;--> statement-breakpoint
ALTER TABLE "alerts" ADD COLUMN "assignee" text;--> statement-breakpoint
ALTER TABLE "alerts" ADD COLUMN "latched" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "alerts" ADD COLUMN "flapping" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "alerts" ADD COLUMN "suppressed_by" text;--> statement-breakpoint
ALTER TABLE "alerts" ADD COLUMN "group_id" text;--> statement-breakpoint
ALTER TABLE "alerts" ADD COLUMN "batch" text;--> statement-breakpoint
ALTER TABLE "alerts" ADD COLUMN "firmware" text;--> statement-breakpoint
ALTER TABLE "alerts" ADD COLUMN "annunciated_at" bigint;--> statement-breakpoint
ALTER TABLE "alerts" ADD COLUMN "escalate_at" bigint;--> statement-breakpoint
ALTER TABLE "alerts" ADD COLUMN "escalation_level" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "alerts" ADD COLUMN "closed_at" bigint;--> statement-breakpoint
ALTER TABLE "devices" ADD COLUMN "parent" text;--> statement-breakpoint
ALTER TABLE "devices" ADD COLUMN "batch" text;--> statement-breakpoint
CREATE INDEX "alarm_events_by_time" ON "alarm_events" USING btree ("tenant_id","type","at");--> statement-breakpoint
CREATE UNIQUE INDEX "alarm_groups_one_open" ON "alarm_groups" USING btree ("tenant_id","model","batch","firmware","fault_key") WHERE state = 'open';--> statement-breakpoint
CREATE INDEX "alarm_groups_due" ON "alarm_groups" USING btree ("settle_at") WHERE settle_at IS NOT NULL;--> statement-breakpoint
CREATE INDEX "alarm_groups_by_time" ON "alarm_groups" USING btree ("tenant_id","opened_at" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE UNIQUE INDEX "alarm_holds_one" ON "alarm_holds" USING btree ("tenant_id","alert_id","kind","holder") WHERE ended_at IS NULL;--> statement-breakpoint
CREATE INDEX "alarm_holds_by_holder" ON "alarm_holds" USING btree ("tenant_id","kind","holder","since");--> statement-breakpoint
CREATE INDEX "alarm_holds_due" ON "alarm_holds" USING btree ("until_at") WHERE ended_at IS NULL AND until_at IS NOT NULL;--> statement-breakpoint
CREATE UNIQUE INDEX "silences_one_shelf" ON "silences" USING btree ("tenant_id","device","fault_key") WHERE kind = 'shelve' AND ended_at IS NULL;--> statement-breakpoint
CREATE INDEX "silences_due" ON "silences" USING btree ("settle_at") WHERE settle_at IS NOT NULL;--> statement-breakpoint
CREATE INDEX "silences_by_time" ON "silences" USING btree ("tenant_id","created_at" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "silences_running" ON "silences" USING btree ("tenant_id") WHERE ended_at IS NULL;--> statement-breakpoint
CREATE INDEX "alerts_standing" ON "alerts" USING btree ("tenant_id","device","fault_key") WHERE closed_at IS NULL;--> statement-breakpoint
CREATE INDEX "alerts_escalation" ON "alerts" USING btree ("escalate_at") WHERE escalate_at IS NOT NULL;--> statement-breakpoint
CREATE INDEX "alerts_by_group" ON "alerts" USING btree ("tenant_id","group_id") WHERE group_id IS NOT NULL;--> statement-breakpoint
CREATE INDEX "devices_by_parent" ON "devices" USING btree ("tenant_id","parent") WHERE parent IS NOT NULL;--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "alarm_events" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM alerts WHERE alerts.tenant_id = alarm_events.tenant_id AND alerts.id = alarm_events.alert_id))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM alerts WHERE alerts.tenant_id = alarm_events.tenant_id AND alerts.id = alarm_events.alert_id)));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "alarm_events" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "alarm_groups" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND COALESCE(current_setting('presage.centre', true), '') = '') WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND COALESCE(current_setting('presage.centre', true), '') = '');--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "alarm_groups" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "alarm_holds" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM alerts WHERE alerts.tenant_id = alarm_holds.tenant_id AND alerts.id = alarm_holds.alert_id))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM alerts WHERE alerts.tenant_id = alarm_holds.tenant_id AND alerts.id = alarm_holds.alert_id)));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "alarm_holds" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "silence_reports" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM silences WHERE silences.tenant_id = silence_reports.tenant_id AND silences.id = silence_reports.silence_id))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR EXISTS (SELECT 1 FROM silences WHERE silences.tenant_id = silence_reports.tenant_id AND silences.id = silence_reports.silence_id)));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "silence_reports" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "silences" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR centre = current_setting('presage.centre', true) OR EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = silences.tenant_id AND tickets.device = silences.device))) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND (COALESCE(current_setting('presage.centre', true), '') = '' OR centre = current_setting('presage.centre', true) OR EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = silences.tenant_id AND tickets.device = silences.device)));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "silences" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
-- Written by hand: the owner of the tables obeys the policies too, and what happened to an alarm is only ever added to.
ALTER TABLE "alarm_events" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "alarm_groups" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "alarm_holds" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "silence_reports" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "silences" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
GRANT SELECT, INSERT ON "alarm_events", "silence_reports" TO presage_system;--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE ON "alarm_groups", "alarm_holds", "silences" TO presage_system;--> statement-breakpoint
GRANT SELECT ON "alarm_events", "alarm_groups", "alarm_holds", "silences", "silence_reports" TO presage_app;--> statement-breakpoint
GRANT INSERT ON "alarm_events", "silences" TO presage_app;--> statement-breakpoint
GRANT UPDATE (version, acknowledged_at, acknowledged_by, assignee, latched, closed_at, escalate_at, escalation_level) ON "alerts" TO presage_app;--> statement-breakpoint
GRANT UPDATE (reason, created_by, created_at, from_at, until_at, ended_at, ended_by, end_reason, settle_at, version) ON "silences" TO presage_app;--> statement-breakpoint
GRANT UPDATE (decision, decided_by, decided_at, reason, settle_at, version) ON "alarm_groups" TO presage_app;--> statement-breakpoint
GRANT SELECT (parent, batch), UPDATE (name, parent, batch) ON "devices" TO presage_app;--> statement-breakpoint
-- Alarms that were over before there were people to acknowledge them are over.
SET LOCAL ROLE presage_system;--> statement-breakpoint
UPDATE "alerts" SET "closed_at" = "cleared_at" WHERE "state" = 'cleared';--> statement-breakpoint
UPDATE "alerts" SET "annunciated_at" = "raised_at" WHERE EXISTS (SELECT 1 FROM "ticket_alerts" t WHERE t.tenant_id = alerts.tenant_id AND t.alert_id = alerts.id);--> statement-breakpoint
RESET ROLE;
