/** Rules: write, check, try on recorded samples, switch on and off, and see who changed what. */
import { z } from 'zod';
import { page, pageQuery } from '../../contract/http/resources.ts';
import {
  type RuleTried,
  type RuleView,
  ruleChange,
  ruleCheck,
  ruleChecked,
  ruleCreate,
  ruleTried,
  ruleTry,
  ruleView,
} from '../../contract/http/rules.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import { type RuleProblem, type RuleVerdict, ruleId } from '../../contract/ports/rules.ts';
import { type Principal, requireAct } from '../accounts/principal.ts';
import type { Transaction } from '../db/database.ts';
import { devices } from '../db/schema.ts';
import { isDevice } from '../devices/custody.ts';
import { requireDevice } from '../devices/device-view.ts';
import { principalOf } from '../plugins/authentication.ts';
import { invalidField } from '../plugins/problems.ts';
import { selectDeclaredModels } from '../rules/declared-models.ts';
import {
  addVersion,
  lockNewest,
  lockRule,
  type RuleContent,
  requireRule,
  selectRules,
  selectVersions,
} from '../rules/rule-versions.ts';
import { runTrial } from '../rules/try-rule.ts';
import {
  type App,
  answers,
  decodeCursor,
  encodeCursor,
  etagOf,
  ifMatch,
  pageOf,
  parseEtag,
  type RouteContext,
} from './context.ts';

const byId = z.object({ id: ruleId });
const MAX_TRIED_RANGE_MS = 31 * DAY_MS;
const MAX_TRIALS_PER_TENANT = 2;

export function registerRules(app: App, context: RouteContext): void {
  const { database, reader, clock, rules } = context;
  /** running trials, by tenant */
  const trying = new Map<string, number>();

  /** @throws AppError REQUEST_INVALID telling every problem with its place */
  async function requireGood(tx: Transaction, principal: Principal, text: string) {
    const verdict = rules.check(text, await selectDeclaredModels(tx, principal));
    if (verdict.kind === 'rule') return verdict;
    throw invalidText(verdict.problems);
  }

  async function change(
    principal: Principal,
    id: string,
    version: number | undefined,
    decide: (before: RuleContent, tx: Transaction) => Promise<RuleContent>,
  ): Promise<void> {
    await database.withTenant(principal, async (tx) => {
      const before = await lockRule(tx, principal, id);
      if (version !== undefined && version !== before.version) {
        throw new AppError('VERSION_STALE', `rule ${id} has version ${before.version}`);
      }
      await addVersion(tx, principal, id, before, await decide(before, tx), clock.now());
    });
    context.wakeOrders();
  }

  const readOne = (principal: Principal, id: string): Promise<RuleView> =>
    database.withTenant(principal, (tx) => requireRule(tx, principal, id));

  app.get(
    '/api/v1/rules',
    { schema: { tags: ['rules'], querystring: pageQuery.strict(), response: answers({ 200: page(ruleView) }) } },
    async (request) => {
      const principal = principalOf(request);
      const { limit, cursor } = request.query;
      const afterId = decodeCursor(cursor)?.[1];
      const rows = await database.withTenant(principal, (tx) =>
        selectRules(tx, principal, { limit: limit + 1, afterId }),
      );
      return pageOf(
        rows,
        limit,
        (row) => row,
        (row) => encodeCursor(0, row.id),
      );
    },
  );

  app.post(
    '/api/v1/rules',
    {
      schema: {
        tags: ['rules'],
        description:
          'A rule in the language of docs/rules.md. It holds for what is received once it stands in the log.',
        body: ruleCreate,
        response: answers({ 201: ruleView }, 409),
      },
    },
    async (request, reply) => {
      const principal = requireAuthor(principalOf(request));
      const { id, name, text, enabled = true } = request.body;
      await database.withTenant(principal, async (tx) => {
        const { canonical, binding } = await requireGood(tx, principal, text);
        const before = await lockNewest(tx, principal, id);
        if (before && before.change !== 'deleted') throw new AppError('CONFLICT', `rule ${id} exists already`);
        const content: RuleContent = { name, text, canonical, binding, enabled, change: 'created' };
        await addVersion(tx, principal, id, before, content, clock.now());
      });
      context.wakeOrders();
      const made = await readOne(principal, id);
      return reply.code(201).header('location', `/api/v1/rules/${id}`).header('etag', etagOf(made.version)).send(made);
    },
  );

  app.get(
    '/api/v1/rules/:id',
    { schema: { tags: ['rules'], params: byId, response: answers({ 200: ruleView }) } },
    async (request, reply) => {
      const found = await readOne(principalOf(request), request.params.id);
      return reply.header('etag', etagOf(found.version)).send(found);
    },
  );

  app.get(
    '/api/v1/rules/:id/versions',
    {
      schema: {
        tags: ['rules'],
        description: 'Every change with who made it, newest first; of a deleted rule as well.',
        params: byId,
        querystring: pageQuery.strict(),
        response: answers({ 200: page(ruleView) }),
      },
    },
    async (request) => {
      const principal = principalOf(request);
      const { limit, cursor } = request.query;
      const before = decodeCursor(cursor)?.[0];
      const rows = await database.withTenant(principal, (tx) =>
        selectVersions(tx, principal, request.params.id, { limit: limit + 1, before }),
      );
      if (rows.length === 0 && before === undefined) throw new AppError('NOT_FOUND', `rule ${request.params.id}`);
      return pageOf(
        rows,
        limit,
        (row) => row,
        (row) => encodeCursor(row.version, row.id),
      );
    },
  );

  app.patch(
    '/api/v1/rules/:id',
    {
      schema: {
        tags: ['rules'],
        description: 'A new version. Open alerts of the version before are cleared when it begins to hold.',
        params: byId,
        headers: ifMatch,
        body: ruleChange,
        response: answers({ 200: ruleView }, 409, 412, 428),
      },
    },
    async (request, reply) => {
      const principal = requireAuthor(principalOf(request));
      const { id } = request.params;
      await change(principal, id, parseEtag(request.headers['if-match']), async (before, tx) => {
        const { name = before.name, text = before.text, enabled = before.enabled } = request.body;
        const { canonical, binding } = await requireGood(tx, principal, text);
        return { name, text, canonical, binding, enabled, change: 'changed' };
      });
      const changed = await readOne(principal, id);
      return reply.header('etag', etagOf(changed.version)).send(changed);
    },
  );

  for (const [act, enabled, told] of [
    ['enable', true, 'enabled'],
    ['disable', false, 'disabled'],
  ] as const) {
    app.post(
      `/api/v1/rules/:id/${act}`,
      { schema: { tags: ['rules'], params: byId, response: answers({ 200: ruleView }, 409) } },
      async (request, reply) => {
        const principal = requireAuthor(principalOf(request));
        const { id } = request.params;
        const known = await readOne(principal, id);
        if (known.enabled !== enabled) {
          await change(principal, id, undefined, async (before) => ({ ...contentOf(before), enabled, change: told }));
        }
        const changed = await readOne(principal, id);
        return reply.header('etag', etagOf(changed.version)).send(changed);
      },
    );
  }

  app.delete(
    '/api/v1/rules/:id',
    {
      schema: {
        tags: ['rules'],
        description: 'Its open alerts are cleared; what it was stays on record.',
        params: byId,
        response: answers({ 204: z.void() }),
      },
    },
    async (request, reply) => {
      const principal = requireAuthor(principalOf(request));
      await change(principal, request.params.id, undefined, async (before) => ({
        ...contentOf(before),
        enabled: false,
        change: 'deleted',
      }));
      return reply.code(204).send();
    },
  );

  app.post(
    '/api/v1/rules/check',
    {
      schema: {
        tags: ['rules'],
        description:
          'Whether a text is a rule: its canonical form, or every problem with its place. Nothing is stored.',
        body: ruleCheck,
        response: answers({ 200: ruleChecked }),
      },
    },
    async (request) => {
      const principal = principalOf(request);
      const declared = await database.withTenant(principal, (tx) => selectDeclaredModels(tx, principal));
      return checkedOf(rules.check(request.body.text, declared));
    },
  );

  app.post(
    '/api/v1/rules/try',
    {
      schema: {
        tags: ['rules'],
        description:
          'Which alerts the rule would have made on the stored samples of a device: at most 31 days and 50,000 samples, taken in the order of the device’s clock. Fault reports and events are not stored as samples and play no part. Nothing is stored.',
        body: ruleTry,
        response: answers({ 200: ruleTried }),
      },
    },
    async (request) => {
      const principal = principalOf(request);
      requireAct(principal, 'tryRules');
      const from = Date.parse(request.body.from);
      const to = Date.parse(request.body.to);
      if (from >= to) throw invalidField('body.to', 'must be later than from');
      if (to - from > MAX_TRIED_RANGE_MS) throw invalidField('body.to', 'the range is longer than 31 days');
      const running = trying.get(principal.tenant) ?? 0;
      if (running >= MAX_TRIALS_PER_TENANT) throw new AppError('RATE_LIMITED', 'too many trials run for your tenant');
      trying.set(principal.tenant, running + 1);
      try {
        return await tryOut(principal, request.body, { from, to });
      } finally {
        trying.set(principal.tenant, (trying.get(principal.tenant) ?? 1) - 1);
      }
    },
  );

  async function tryOut(
    principal: Principal,
    { text, device: id }: z.infer<typeof ruleTry>,
    { from, to }: { from: number; to: number },
  ): Promise<RuleTried> {
    const { device, firmware, verdict } = await database.withTenant(principal, async (tx) => {
      const found = await requireDevice(tx, principal, id);
      const [row] = await tx
        .select({ firmware: devices.firmware })
        .from(devices)
        .where(isDevice({ tenant: principal.tenant, device: id }));
      return { device: found, firmware: row?.firmware, verdict: await requireGood(tx, principal, text) };
    });
    const { canonical, binding } = verdict;
    const ref = { tenant: principal.tenant, device: id, model: device.model };
    const rule = { id: 'trial', version: 1, name: 'trial', text: canonical, binding };
    const trial = rules.trial(rule, { ...ref, ...(firmware ? { firmware } : {}) });
    const about = { device: id, model: device.model, from, to, canonical };
    if (!trial) return { ...about, applies: false, samples: 0, alerts: [] };
    const visibleFrom = Math.max(from, device.sealedBefore);
    const samples = visibleFrom < to ? reader.export({ ...ref, from: visibleFrom, to }) : nothing();
    const { truncatedAt, ...outcome } = await runTrial(trial, samples);
    return { ...about, applies: true, ...outcome, ...(truncatedAt === undefined ? {} : { truncatedAt }) };
  }
}

async function* nothing(): AsyncGenerator<never> {
  // Nothing of the device is visible in this range.
}

/** Rules judge the whole fleet, so nobody of a single centre may write one. */
function requireAuthor(principal: Principal): Principal {
  requireAct(principal, 'manageRules');
  if (principal.centre !== undefined) throw new AppError('FORBIDDEN', 'users of one centre do not write rules');
  return principal;
}

function contentOf({ name, text, canonical, binding, enabled, change }: RuleContent): RuleContent {
  return { name, text, canonical, binding, enabled, change };
}

function checkedOf(verdict: RuleVerdict): z.infer<typeof ruleChecked> {
  if (verdict.kind === 'problems') return { ok: false, problems: [...verdict.problems] };
  const { canonical, binding, notes } = verdict;
  const models = binding.models === null ? {} : { models: Object.keys(binding.models).sort() };
  return { ok: true, canonical, ...models, component: binding.component, notes: [...notes] };
}

function invalidText(problems: readonly RuleProblem[]): AppError {
  const errors = problems.map(({ line, column, message, expected, nearest }) => ({
    path: 'body.text',
    message: [
      `line ${line}, column ${column}: ${message}`,
      ...(expected.length > 0 ? [`expected ${expected.join(', ')}`] : []),
      ...(nearest === undefined ? [] : [`did you mean ${nearest}?`]),
    ].join('; '),
  }));
  return new AppError('REQUEST_INVALID', errors[0]?.message, { facts: { errors } });
}
