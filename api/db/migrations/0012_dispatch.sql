-- Generated, then completed by hand.
CREATE TABLE "technicians" (
	"tenant_id" text NOT NULL,
	"id" text NOT NULL,
	"centre" text NOT NULL,
	"version" integer NOT NULL,
	"body" jsonb NOT NULL,
	CONSTRAINT "technicians_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
ALTER TABLE "technicians" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "visits" (
	"tenant_id" text NOT NULL,
	"id" uuid NOT NULL,
	"ticket_key" text NOT NULL,
	"technician" text NOT NULL,
	"from_at" bigint NOT NULL,
	"until_at" bigint NOT NULL,
	"state" text NOT NULL,
	"booked_by" text NOT NULL,
	"booked_at" bigint NOT NULL,
	"override_reason" text,
	CONSTRAINT "visits_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
ALTER TABLE "visits" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE UNIQUE INDEX "visits_one_booked" ON "visits" USING btree ("tenant_id","ticket_key") WHERE state = 'booked';--> statement-breakpoint
CREATE INDEX "visits_by_technician" ON "visits" USING btree ("tenant_id","technician","from_at");--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "technicians" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND COALESCE(current_setting('presage.centre', true), '') IN ('', centre)) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND COALESCE(current_setting('presage.centre', true), '') IN ('', centre));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "technicians" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "visits" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = visits.tenant_id AND tickets.key = visits.ticket_key)) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = visits.tenant_id AND tickets.key = visits.ticket_key));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "visits" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
-- Written by hand: the owner of the tables obeys the policies too.
ALTER TABLE "technicians" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "visits" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE ON "technicians" TO presage_app;--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON "technicians" TO presage_system;--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE (state) ON "visits" TO presage_app;--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON "visits" TO presage_system;
