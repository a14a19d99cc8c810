-- Generated, then completed by hand.
CREATE TABLE "rule_versions" (
	"tenant_id" text NOT NULL,
	"id" text NOT NULL,
	"version" integer NOT NULL,
	"name" text NOT NULL,
	"text" text NOT NULL,
	"canonical" text NOT NULL,
	"binding" jsonb NOT NULL,
	"enabled" boolean NOT NULL,
	"change" text NOT NULL,
	"at" bigint NOT NULL,
	"actor" text NOT NULL,
	"order_id" uuid NOT NULL,
	CONSTRAINT "rule_versions_tenant_id_id_version_pk" PRIMARY KEY("tenant_id","id","version")
);
--> statement-breakpoint
ALTER TABLE "rule_versions" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "rule_versions" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true)) WITH CHECK (tenant_id = current_setting('presage.tenant', true));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "rule_versions" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
-- Written by hand: the owner of the table obeys the policies too, and what a rule was can only be added to.
ALTER TABLE "rule_versions" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
GRANT SELECT, INSERT ON "rule_versions" TO presage_app, presage_system;
