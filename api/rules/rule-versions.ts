/**
 * Rules as the desk keeps them: every change is a new row that is never changed again, and in the same transaction an order
 * to analytics, so that what a person sees and what runs cannot part.
 */
import { randomUUID } from 'node:crypto';
import { and, count, desc, eq, gt, lt, ne, sql } from 'drizzle-orm';
import type { RuleView } from '../../contract/http/rules.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { type RuleBinding, ruleFaultKey } from '../../contract/ports/rules.ts';
import type { Principal } from '../accounts/principal.ts';
import type { Transaction } from '../db/database.ts';
import { orders, ruleVersions } from '../db/schema.ts';
import { sendOrder } from '../orders/orders.ts';

/** As analytics runs them; see analytics/rules/rule-book.ts. */
export const MAX_RULES_PER_TENANT = 200;
export const MAX_RULES_PER_MODEL = 50;
const MAX_VERSIONS_PER_TENANT = 20_000;

type Row = typeof ruleVersions.$inferSelect;
/** What a change makes of a rule. */
export type RuleContent = Pick<Row, 'name' | 'text' | 'canonical' | 'binding' | 'enabled' | 'change'>;

const ofTenant = (principal: Principal) => eq(ruleVersions.tenant, principal.tenant);

/** Rules that are not deleted, by id, after `afterId`. */
export async function selectRules(
  tx: Transaction,
  principal: Principal,
  { limit, afterId }: { limit: number; afterId?: string | undefined },
): Promise<RuleView[]> {
  const newest = tx
    .selectDistinctOn([ruleVersions.id])
    .from(ruleVersions)
    .where(and(ofTenant(principal), afterId === undefined ? undefined : gt(ruleVersions.id, afterId)))
    .orderBy(ruleVersions.id, desc(ruleVersions.version))
    .as('newest');
  const rows = await tx
    .select()
    .from(newest)
    .leftJoin(orders, eq(orders.id, newest.orderId))
    .where(ne(newest.change, 'deleted'))
    .orderBy(newest.id)
    .limit(limit);
  return rows.map((row) => viewOf(row.newest, row.analytics_orders?.position ?? null));
}

/** Versions of a rule, newest first, deleted ones included. */
export async function selectVersions(
  tx: Transaction,
  principal: Principal,
  id: string,
  { limit, before }: { limit: number; before?: number | undefined },
): Promise<RuleView[]> {
  const rows = await tx
    .select({ rule: ruleVersions, position: orders.position })
    .from(ruleVersions)
    .leftJoin(orders, eq(orders.id, ruleVersions.orderId))
    .where(
      and(
        ofTenant(principal),
        eq(ruleVersions.id, id),
        before === undefined ? undefined : lt(ruleVersions.version, before),
      ),
    )
    .orderBy(desc(ruleVersions.version))
    .limit(limit);
  return rows.map(({ rule, position }) => viewOf(rule, position));
}

/** @throws AppError NOT_FOUND */
export async function requireRule(tx: Transaction, principal: Principal, id: string): Promise<RuleView> {
  const [newest] = await selectVersions(tx, principal, id, { limit: 1 });
  if (!newest || newest.change === 'deleted') throw new AppError('NOT_FOUND', `rule ${id}`);
  return newest;
}

/**
 * The newest version of a rule under a lock that no other change of the tenant's rules can pass.
 * @throws AppError NOT_FOUND
 */
export async function lockRule(tx: Transaction, principal: Principal, id: string): Promise<Row> {
  const row = await lockNewest(tx, principal, id);
  if (!row || row.change === 'deleted') throw new AppError('NOT_FOUND', `rule ${id}`);
  return row;
}

/** As {@link lockRule}, also for one that was deleted or never was. */
export async function lockNewest(tx: Transaction, principal: Principal, id: string): Promise<Row | undefined> {
  await tx.execute(sql`SELECT pg_advisory_xact_lock(hashtext('presage rules'), hashtext(${principal.tenant}))`);
  const [row] = await tx
    .select()
    .from(ruleVersions)
    .where(and(ofTenant(principal), eq(ruleVersions.id, id)))
    .orderBy(desc(ruleVersions.version))
    .limit(1);
  return row;
}

/**
 * Adds a version behind `before` and orders it.
 * @throws AppError CONFLICT when the tenant or a device model has too many rules
 */
export async function addVersion(
  tx: Transaction,
  principal: Principal,
  id: string,
  before: Row | undefined,
  content: RuleContent,
  at: number,
): Promise<void> {
  const { tenant, user: actor } = principal;
  if (content.change !== 'deleted') await requireRoom(tx, principal, id, content);
  const version = (before?.version ?? 0) + 1;
  const orderId = randomUUID();
  await tx.insert(ruleVersions).values({ tenant, id, version, at, actor, orderId, ...content });
  const { name, canonical, binding } = content;
  const runs = content.enabled ? { id, version, name, text: canonical, binding } : null;
  await sendOrder(tx, { kind: 'rule', id: orderId, tenant, at, actor, rule: id, version, runs });
}

async function requireRoom(tx: Transaction, principal: Principal, id: string, content: RuleContent): Promise<void> {
  const [versions] = await tx.select({ n: count() }).from(ruleVersions).where(ofTenant(principal));
  if ((versions?.n ?? 0) >= MAX_VERSIONS_PER_TENANT) throw new AppError('CONFLICT', 'the rules were changed too often');
  const others = (await selectRules(tx, principal, { limit: MAX_RULES_PER_TENANT + 1 })).filter((one) => one.id !== id);
  if (others.length >= MAX_RULES_PER_TENANT)
    throw new AppError('CONFLICT', `a tenant has at most ${MAX_RULES_PER_TENANT} rules`);
  if (!content.enabled) return;
  for (const model of modelsOf(content.binding) ?? ['*']) {
    const beside = others.filter((one) => one.enabled && (!one.models || model === '*' || one.models.includes(model)));
    if (beside.length >= MAX_RULES_PER_MODEL) {
      throw new AppError(
        'CONFLICT',
        `at most ${MAX_RULES_PER_MODEL} rules may run for ${model === '*' ? 'a model' : model}`,
      );
    }
  }
}

function modelsOf({ models }: RuleBinding): string[] | undefined {
  return models === null ? undefined : Object.keys(models).sort();
}

function viewOf(row: Row, position: number | null): RuleView {
  const { id, name, text, canonical, enabled, version, change, binding } = row;
  const models = modelsOf(binding);
  return {
    ...{ id, name, text, canonical, enabled, version, change },
    changedAt: row.at,
    changedBy: row.actor,
    ...(models ? { models } : {}),
    component: binding.component,
    faultKey: ruleFaultKey(id),
    ...(position === null ? {} : { appliesFrom: position }),
  };
}
