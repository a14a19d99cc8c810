-- Generated, then completed by hand.
CREATE TABLE "idempotent_requests" (
	"tenant_id" text NOT NULL,
	"actor" text NOT NULL,
	"key" text NOT NULL,
	"fingerprint" text NOT NULL,
	"ticket_key" text NOT NULL,
	"at" bigint NOT NULL,
	CONSTRAINT "idempotent_requests_tenant_id_actor_key_pk" PRIMARY KEY("tenant_id","actor","key")
);
--> statement-breakpoint
ALTER TABLE "idempotent_requests" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "ticket_contacts" (
	"tenant_id" text NOT NULL,
	"ticket_key" text NOT NULL,
	"details" jsonb NOT NULL,
	"updated_at" bigint NOT NULL,
	CONSTRAINT "ticket_contacts_tenant_id_ticket_key_pk" PRIMARY KEY("tenant_id","ticket_key")
);
--> statement-breakpoint
ALTER TABLE "ticket_contacts" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "tickets" ALTER COLUMN "device" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "tickets" ADD COLUMN "fault_class" text DEFAULT 'common' NOT NULL;--> statement-breakpoint
ALTER TABLE "tickets" ADD COLUMN "repeat_of" text;--> statement-breakpoint
ALTER TABLE "tickets" ADD COLUMN "symptom" text;--> statement-breakpoint
ALTER TABLE "tickets" ADD COLUMN "serial" text;--> statement-breakpoint
ALTER TABLE "tickets" ADD COLUMN "purchased_on" text;--> statement-breakpoint
CREATE INDEX "idempotent_requests_by_time" ON "idempotent_requests" USING btree ("at");--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "idempotent_requests" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true)) WITH CHECK (tenant_id = current_setting('presage.tenant', true));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "idempotent_requests" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "ticket_contacts" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = ticket_contacts.tenant_id AND tickets.key = ticket_contacts.ticket_key)) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = ticket_contacts.tenant_id AND tickets.key = ticket_contacts.ticket_key));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "ticket_contacts" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
-- Written by hand: the owner of the tables obeys the policies too, and people open tickets under their own rights.
ALTER TABLE "idempotent_requests" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "ticket_contacts" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
GRANT SELECT, INSERT, DELETE ON "idempotent_requests" TO presage_app;--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON "idempotent_requests" TO presage_system;--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE ON "ticket_contacts" TO presage_app;--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON "ticket_contacts" TO presage_system;--> statement-breakpoint
GRANT INSERT ON "tickets" TO presage_app;--> statement-breakpoint
GRANT UPDATE (device, model, serial, component, purchased_on) ON "tickets" TO presage_app;--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE ON "ticket_counters" TO presage_app;
