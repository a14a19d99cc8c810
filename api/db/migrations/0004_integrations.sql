-- Generated, then completed by hand.
CREATE TABLE "integrations" (
	"tenant_id" text NOT NULL,
	"id" text NOT NULL,
	"status" text DEFAULT 'active' NOT NULL,
	"secret_hash" "bytea" NOT NULL,
	"secret_changed_at" bigint,
	"created_at" bigint NOT NULL,
	"last_login_at" bigint,
	CONSTRAINT "integrations_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
ALTER TABLE "integrations" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "integrations" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true)) WITH CHECK (tenant_id = current_setting('presage.tenant', true));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "integrations" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
-- Written by hand: the owner of the table obeys the policies too, and hashes are not read back.
ALTER TABLE "integrations" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON "integrations" TO presage_system;--> statement-breakpoint
GRANT SELECT (tenant_id, id, status, secret_changed_at, created_at, last_login_at) ON "integrations" TO presage_app;--> statement-breakpoint
GRANT INSERT, UPDATE (status, secret_hash, secret_changed_at) ON "integrations" TO presage_app;
