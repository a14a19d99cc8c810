-- Generated, then completed by hand.
CREATE TABLE "ticket_outcomes" (
	"tenant_id" text NOT NULL,
	"ticket_key" text NOT NULL,
	"version" integer NOT NULL,
	"at" bigint NOT NULL,
	"by_user" text NOT NULL,
	"report" jsonb NOT NULL,
	CONSTRAINT "ticket_outcomes_tenant_id_ticket_key_version_pk" PRIMARY KEY("tenant_id","ticket_key","version")
);
--> statement-breakpoint
ALTER TABLE "ticket_outcomes" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE INDEX "ticket_outcomes_by_time" ON "ticket_outcomes" USING btree ("tenant_id","at","ticket_key");--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "ticket_outcomes" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = ticket_outcomes.tenant_id AND tickets.key = ticket_outcomes.ticket_key)) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = ticket_outcomes.tenant_id AND tickets.key = ticket_outcomes.ticket_key));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "ticket_outcomes" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
-- Written by hand: the owner of the table obeys the policies too, and no report is changed or deleted.
ALTER TABLE "ticket_outcomes" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
GRANT SELECT, INSERT ON "ticket_outcomes" TO presage_app, presage_system;
