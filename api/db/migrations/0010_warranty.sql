-- Generated, then completed by hand.
CREATE TABLE "warranty_notes" (
	"tenant_id" text NOT NULL,
	"ticket_key" text NOT NULL,
	"version" integer NOT NULL,
	"at" bigint NOT NULL,
	"by_user" text NOT NULL,
	"note" jsonb NOT NULL,
	CONSTRAINT "warranty_notes_tenant_id_ticket_key_version_pk" PRIMARY KEY("tenant_id","ticket_key","version")
);
--> statement-breakpoint
ALTER TABLE "warranty_notes" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "warranty_terms" (
	"tenant_id" text NOT NULL,
	"version" integer NOT NULL,
	"document" jsonb NOT NULL,
	"created_at" bigint NOT NULL,
	"created_by" text NOT NULL,
	CONSTRAINT "warranty_terms_tenant_id_version_pk" PRIMARY KEY("tenant_id","version")
);
--> statement-breakpoint
ALTER TABLE "warranty_terms" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "warranty_notes" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = warranty_notes.tenant_id AND tickets.key = warranty_notes.ticket_key)) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = warranty_notes.tenant_id AND tickets.key = warranty_notes.ticket_key));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "warranty_notes" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "warranty_terms" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true)) WITH CHECK (tenant_id = current_setting('presage.tenant', true));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "warranty_terms" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
-- Written by hand: the owner of the tables obeys the policies too, and no terms and no note are changed or deleted.
ALTER TABLE "warranty_notes" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "warranty_terms" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
GRANT SELECT, INSERT ON "warranty_notes", "warranty_terms" TO presage_app, presage_system;
