-- Generated, then completed by hand.
CREATE TABLE "analytics_orders" (
	"seq" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "analytics_orders_seq_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"tenant_id" text NOT NULL,
	"id" uuid NOT NULL,
	"body" jsonb NOT NULL,
	"created_at" bigint NOT NULL,
	"position" bigint,
	CONSTRAINT "analytics_orders_id_unique" UNIQUE("id")
);
--> statement-breakpoint
ALTER TABLE "analytics_orders" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "registry_changes" (
	"seq" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "registry_changes_seq_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"tenant_id" text NOT NULL,
	"entry_id" uuid NOT NULL,
	"at" bigint NOT NULL,
	"actor" text NOT NULL,
	"act" text NOT NULL,
	"from_state" text,
	"to_state" text NOT NULL,
	"reason" text NOT NULL,
	"order_id" uuid
);
--> statement-breakpoint
ALTER TABLE "registry_changes" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "registry_entries" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant_id" text NOT NULL,
	"kind" text NOT NULL,
	"model" text NOT NULL,
	"name" text NOT NULL,
	"version" text NOT NULL,
	"state" text NOT NULL,
	"parameters" jsonb,
	"parts" jsonb NOT NULL,
	"training" jsonb,
	"metrics" jsonb,
	"owner" text NOT NULL,
	"note" text,
	"created_at" bigint NOT NULL,
	"updated_at" bigint NOT NULL,
	"revision" integer DEFAULT 1 NOT NULL,
	"order_id" uuid
);
--> statement-breakpoint
ALTER TABLE "registry_entries" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "shadow_alerts" (
	"tenant_id" text NOT NULL,
	"name" text NOT NULL,
	"version" text NOT NULL,
	"episode" text NOT NULL,
	"device" text NOT NULL,
	"model" text NOT NULL,
	"component" text NOT NULL,
	"fault_key" text NOT NULL,
	"severity" text NOT NULL,
	"confirmed" boolean NOT NULL,
	"score" double precision NOT NULL,
	"onset" bigint NOT NULL,
	"raised_at" bigint NOT NULL,
	"updated_at" bigint NOT NULL,
	"cleared_at" bigint,
	CONSTRAINT "shadow_alerts_tenant_id_model_name_version_episode_pk" PRIMARY KEY("tenant_id","model","name","version","episode")
);
--> statement-breakpoint
ALTER TABLE "shadow_alerts" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE INDEX "analytics_orders_waiting" ON "analytics_orders" USING btree ("seq") WHERE position IS NULL;--> statement-breakpoint
CREATE INDEX "registry_changes_of_entry" ON "registry_changes" USING btree ("tenant_id","entry_id","seq");--> statement-breakpoint
CREATE UNIQUE INDEX "registry_one_of_a_name" ON "registry_entries" USING btree ("tenant_id","kind","model","name","version");--> statement-breakpoint
CREATE UNIQUE INDEX "registry_one_active" ON "registry_entries" USING btree ("tenant_id","kind","model") WHERE state = 'active';--> statement-breakpoint
CREATE INDEX "shadow_alerts_by_time" ON "shadow_alerts" USING btree ("tenant_id","raised_at" DESC NULLS LAST,"episode" DESC NULLS LAST);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "analytics_orders" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true)) WITH CHECK (tenant_id = current_setting('presage.tenant', true));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "analytics_orders" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "registry_changes" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id IN ('*', current_setting('presage.tenant', true))) WITH CHECK (tenant_id = current_setting('presage.tenant', true));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "registry_changes" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "registry_entries" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id IN ('*', current_setting('presage.tenant', true))) WITH CHECK (tenant_id = current_setting('presage.tenant', true));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "registry_entries" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "shadow_alerts" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true)) WITH CHECK (tenant_id = current_setting('presage.tenant', true));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "shadow_alerts" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);--> statement-breakpoint
-- Written by hand: the owner of the tables obeys the policies too, and what happened to a version can only be added to.
ALTER TABLE "analytics_orders" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "registry_changes" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "registry_entries" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "shadow_alerts" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "registry_entries" ADD CONSTRAINT "registry_state" CHECK ("state" IN ('shadow', 'active', 'retired'));--> statement-breakpoint
GRANT SELECT, INSERT ON "analytics_orders" TO presage_app;--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE ON "analytics_orders" TO presage_system;--> statement-breakpoint
GRANT SELECT, INSERT ON "registry_changes" TO presage_app, presage_system;--> statement-breakpoint
GRANT SELECT, INSERT ON "registry_entries" TO presage_app, presage_system;--> statement-breakpoint
GRANT UPDATE ("state", "updated_at", "revision", "order_id") ON "registry_entries" TO presage_app, presage_system;--> statement-breakpoint
GRANT SELECT ON "shadow_alerts" TO presage_app;--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON "shadow_alerts" TO presage_system;--> statement-breakpoint
CREATE FUNCTION "registry_asks_for_one_active"() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE active integer;
BEGIN
  SELECT count(*) INTO active FROM registry_entries
    WHERE tenant_id = NEW.tenant_id AND kind = NEW.kind AND model = NEW.model AND state = 'active';
  IF active <> 1 THEN
    RAISE EXCEPTION 'registry: % active versions of % for % of tenant %, not one', active, NEW.kind, NEW.model, NEW.tenant_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'registry_exactly_one_active';
  END IF;
  RETURN NULL;
END $$;--> statement-breakpoint
CREATE CONSTRAINT TRIGGER "registry_exactly_one_active" AFTER INSERT OR UPDATE ON "registry_entries"
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION "registry_asks_for_one_active"();
