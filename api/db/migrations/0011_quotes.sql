-- Generated, then completed by hand.
CREATE TABLE "quotes" (
	"tenant_id" text NOT NULL,
	"ticket_key" text NOT NULL,
	"version" integer NOT NULL,
	"state" text NOT NULL,
	"draft" jsonb NOT NULL,
	"created_at" bigint NOT NULL,
	"created_by" text NOT NULL,
	"valid_until" bigint NOT NULL,
	"answer" jsonb,
	"token_hash" "bytea" NOT NULL,
	CONSTRAINT "quotes_tenant_id_ticket_key_version_pk" PRIMARY KEY("tenant_id","ticket_key","version")
);
--> statement-breakpoint
ALTER TABLE "quotes" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE UNIQUE INDEX "quotes_by_link" ON "quotes" USING btree ("token_hash");--> statement-breakpoint
CREATE POLICY "app_sees_own" ON "quotes" AS PERMISSIVE FOR ALL TO "presage_app" USING (tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = quotes.tenant_id AND tickets.key = quotes.ticket_key)) WITH CHECK (tenant_id = current_setting('presage.tenant', true) AND EXISTS (SELECT 1 FROM tickets WHERE tickets.tenant_id = quotes.tenant_id AND tickets.key = quotes.ticket_key));--> statement-breakpoint
CREATE POLICY "system_sees_all" ON "quotes" AS PERMISSIVE FOR ALL TO "presage_system" USING (true) WITH CHECK (true);
--> statement-breakpoint
-- Written by hand: the owner of the table obeys the policies too; what was offered stays as it was, and no hash of a link is read back.
ALTER TABLE "quotes" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE (state, answer) ON "quotes" TO presage_system;--> statement-breakpoint
GRANT SELECT (tenant_id, ticket_key, version, state, draft, created_at, created_by, valid_until, answer), INSERT, UPDATE (state, answer) ON "quotes" TO presage_app;
