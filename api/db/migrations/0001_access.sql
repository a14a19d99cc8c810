-- Generated, then completed by hand.
ALTER TABLE "tokens" ADD COLUMN "id" uuid DEFAULT gen_random_uuid() NOT NULL;--> statement-breakpoint
ALTER TABLE "tokens" ADD COLUMN "scope" text;--> statement-breakpoint
ALTER TABLE "tokens" ADD COLUMN "created_by" text;--> statement-breakpoint
ALTER TABLE "tokens" ADD CONSTRAINT "tokens_id_unique" UNIQUE("id");--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "tokens" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true)) WITH CHECK (tenant_id = current_setting('presage.tenant', true));--> statement-breakpoint
-- Written by hand: managers and admins work on tokens and users of their tenant. A token's hash is written, never read back.
GRANT SELECT (id, tenant_id, user_id, label, scope, created_by, created_at, expires_at, last_used_at, revoked_at) ON "tokens" TO presage_app;--> statement-breakpoint
GRANT INSERT ON "tokens", "users" TO presage_app;--> statement-breakpoint
GRANT UPDATE (revoked_at) ON "tokens" TO presage_app;--> statement-breakpoint
GRANT UPDATE (role, centre, disabled) ON "users" TO presage_app;
