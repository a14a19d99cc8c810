/** What analytics found, and what people do about it: alarms by the states of ISA-18.2, and the newest predictions. */
import { and, eq, inArray, isNotNull, isNull, type SQL, sql } from 'drizzle-orm';
import { z } from 'zod';
import {
  alarmAcknowledge,
  alarmAssign,
  alarmComment,
  alarmKpis,
  alarmReset,
  alarmShelve,
  alarmUnshelve,
  kpiQuery,
  searchName,
} from '../../contract/http/alarms.ts';
import { speechQuery } from '../../contract/http/explanation.ts';
import {
  type Alert,
  alert,
  alertWithHistory,
  devicePrediction,
  page,
  pageQuery,
} from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { deviceId } from '../../contract/kernel/ids.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import { severity } from '../../contract/ports/findings.ts';
import type { Principal } from '../accounts/principal.ts';
import { actOnAlarm, type PersonAct } from '../alerts/alarm-acts.ts';
import { isShelved, selectAlerts, selectHistory } from '../alerts/alert-view.ts';
import { readKpis } from '../alerts/kpis.ts';
import { alerts, predictions } from '../db/schema.ts';
import { explainListed, explainOne } from '../explain/explain-alerts.ts';
import { speechOf } from '../explain/speech.ts';
import { principalOf } from '../plugins/authentication.ts';
import { invalidField } from '../plugins/problems.ts';
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

const yesOrNo = z.enum(['true', 'false']).transform((text) => text === 'true');
const alertQuery = pageQuery
  .extend({
    device: deviceId.optional(),
    model: searchName.optional(),
    faultKey: searchName.optional(),
    state: z.enum(['open', 'cleared']).optional(),
    /** Comma-separated. */
    severity: z
      .string()
      .max(64)
      .transform((text) => text.split(','))
      .pipe(z.array(severity).min(1))
      .optional(),
    /** `true`: something is left to do. */
    standing: yesOrNo.optional(),
    acknowledged: yesOrNo.optional(),
    shelved: yesOrNo.optional(),
    suppressed: yesOrNo.optional(),
    latched: yesOrNo.optional(),
    assignee: searchName.optional(),
    group: z.uuid().optional(),
  })
  // Words cost more than the rows they explain: a list has them when they are asked for.
  .extend({ ...speechQuery.shape, explain: z.enum(['true', 'false']).default('false') })
  .strict();
type AlertQuery = z.output<typeof alertQuery>;
const predictionQuery = pageQuery.extend({ device: deviceId.optional() }).strict();
const byId = z.object({ id: z.string().min(1).max(128) });
const MAX_KPI_RANGE_MS = 31 * DAY_MS;

export function registerAlerts(app: App, context: RouteContext): void {
  const { database, clock } = context;

  app.get(
    '/api/v1/alerts',
    { schema: { tags: ['alerts'], querystring: alertQuery, response: answers({ 200: page(alert) }) } },
    async (request, reply) => {
      const principal = principalOf(request);
      const { limit, cursor } = request.query;
      const conditions = conditionsOf(principal.tenant, request.query, clock.now());
      const after = decodeCursor(cursor);
      if (after) conditions.push(sql`(${alerts.raisedAt}, ${alerts.id}) < (${after[0]}, ${after[1]})`);
      const rows = await database.withTenant(principal, (tx) =>
        selectAlerts(tx, principal.tenant, and(...conditions), limit + 1, clock.now()),
      );
      const explained = request.query.explain === 'true';
      return pageOf(
        explained ? await explainListed(rows, speechOf(request, reply, request.query)) : rows,
        limit,
        (row) => row,
        (row) => encodeCursor(row.raisedAt, row.id),
      );
    },
  );

  app.get(
    '/api/v1/alerts/kpis',
    {
      schema: {
        tags: ['alerts'],
        description:
          'How the alarm system does (ISA-18.2, EEMUA 191) in at most 31 days. For users of the whole tenant.',
        querystring: kpiQuery,
        response: answers({ 200: alarmKpis }, 422),
      },
    },
    async (request) => {
      const principal = principalOf(request);
      // A centre sees a part of the alarms; figures of a part would be called the figures.
      if (principal.centre !== undefined) throw new AppError('FORBIDDEN', 'users of one centre do not read KPIs');
      const [from, to] = [Date.parse(request.query.from), Date.parse(request.query.to)];
      if (to <= from) throw invalidField('query.to', 'must be after `from`');
      if (to - from > MAX_KPI_RANGE_MS) throw invalidField('query.to', 'the range is at most 31 days');
      const range = { from, to, operators: request.query.operators };
      return database.withTenant(principal, (tx) => readKpis(tx, principal, range, clock.now()));
    },
  );

  app.get(
    '/api/v1/alerts/:id',
    {
      schema: {
        tags: ['alerts'],
        params: byId,
        querystring: speechQuery.strict(),
        response: answers({ 200: alertWithHistory }),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const { id } = request.params;
      const speech = speechOf(request, reply, request.query);
      const found = await database.withTenant(principal, async (tx) => {
        const [one] = await selectOne(tx, principal, id);
        if (!one) throw new AppError('NOT_FOUND', `alert ${id}`);
        const history = await selectHistory(tx, principal.tenant, id);
        return { ...one, explanation: await explainOne(tx, principal.tenant, one, speech), history };
      });
      return reply.header('etag', etagOf(found.version)).send(found);
    },
  );

  const selectOne = (tx: Parameters<typeof selectAlerts>[0], principal: Principal, id: string): Promise<Alert[]> =>
    selectAlerts(tx, principal.tenant, and(eq(alerts.tenant, principal.tenant), eq(alerts.id, id)), 1, clock.now());

  /** Every act is one route of this shape: `If-Match` with the version that the person saw, and the alert after it. */
  function registerAct<Body extends z.ZodType>(
    path: string,
    description: string,
    body: Body,
    toAct: (body: z.output<Body>) => PersonAct,
  ): void {
    app.post(
      `/api/v1/alerts/:id/${path}`,
      {
        schema: {
          tags: ['alerts'],
          description,
          params: byId,
          headers: ifMatch,
          body,
          response: answers({ 200: alert }, 409, 412, 428),
        },
      },
      async (request, reply) => {
        const principal = principalOf(request);
        const { id } = request.params as z.output<typeof byId>;
        const version = parseEtag((request.headers as z.output<typeof ifMatch>)['if-match']);
        const act = toAct(request.body as z.output<Body>);
        const done = await database.withTenant(principal, (tx) =>
          actOnAlarm(tx, principal, id, version, act, { now: clock.now(), publicUrl: context.publicUrl() }),
        );
        const [after] = await database.withTenant(principal, (tx) => selectOne(tx, principal, id));
        if (!after) throw new AppError('NOT_FOUND', `alert ${id}`);
        if (done.changed) {
          context.hub.alertChanged(done.row, { change: path, assignee: done.row.assignee });
          context.wakeAlarms();
        }
        return reply.header('etag', etagOf(after.version)).send(after);
      },
    );
  }

  registerAct('acknowledge', 'Somebody has seen it. Reminders stop.', alarmAcknowledge, ({ comment }) => ({
    kind: 'acknowledge',
    reason: comment,
  }));
  registerAct(
    'shelve',
    'Keeps this fault of this device quiet for a time that the policy bounds; also when it clears and comes again. Ends by itself, or when the alarm gets worse. A second time changes the first.',
    alarmShelve,
    ({ minutes, reason }) => ({ kind: 'shelve', minutes, reason }),
  );
  registerAct('unshelve', 'Ends the shelf now. What is still active is acted upon.', alarmUnshelve, ({ reason }) => ({
    kind: 'unshelve',
    reason,
  }));
  registerAct(
    'reset',
    'Ends a latched alarm after somebody has looked. Refused (409) while the fault is still there.',
    alarmReset,
    ({ reason }) => ({ kind: 'reset', reason }),
  );
  registerAct(
    'assign',
    'Makes somebody responsible, or with `null` nobody. The centre’s webhook names him.',
    alarmAssign,
    ({ assignee, comment }) => ({ kind: 'assign', assignee, reason: comment }),
  );
  registerAct('comments', 'Adds a line to the history.', alarmComment, ({ comment }) => ({
    kind: 'comment',
    reason: comment,
  }));

  app.get(
    '/api/v1/predictions',
    { schema: { tags: ['alerts'], querystring: predictionQuery, response: answers({ 200: page(devicePrediction) }) } },
    async (request) => {
      const principal = principalOf(request);
      const { limit, cursor, device } = request.query;
      const conditions: SQL[] = [eq(predictions.tenant, principal.tenant)];
      if (device !== undefined) conditions.push(eq(predictions.device, device));
      const after = decodeCursor(cursor);
      if (after) conditions.push(sql`${predictions.device} || ' ' || ${predictions.faultKey} > ${after[1]}`);
      const rows = await database.withTenant(principal, (tx) =>
        tx
          .select()
          .from(predictions)
          .where(and(...conditions))
          .orderBy(sql`${predictions.device} || ' ' || ${predictions.faultKey}`)
          .limit(limit + 1),
      );
      return pageOf(
        rows,
        limit,
        (row) => ({ ...row.prediction, device: row.device, model: row.model, at: row.at }),
        (row) => encodeCursor(0, `${row.device} ${row.faultKey}`),
      );
    },
  );
}

function conditionsOf(tenant: string, query: AlertQuery, now: number): SQL[] {
  const { device, model, faultKey, state, assignee, group, latched, shelved } = query;
  const nullOr = (wanted: boolean | undefined, column: Parameters<typeof isNull>[0], whenNull: boolean) =>
    wanted === undefined ? undefined : wanted === whenNull ? isNull(column) : isNotNull(column);
  const conditions = [
    eq(alerts.tenant, tenant),
    device === undefined ? undefined : eq(alerts.device, device),
    model === undefined ? undefined : eq(alerts.model, model),
    faultKey === undefined ? undefined : eq(alerts.faultKey, faultKey),
    state === undefined ? undefined : eq(alerts.state, state),
    query.severity ? inArray(alerts.severity, query.severity) : undefined,
    assignee === undefined ? undefined : eq(alerts.assignee, assignee),
    group === undefined ? undefined : eq(alerts.groupId, group),
    latched === undefined ? undefined : eq(alerts.latched, latched),
    nullOr(query.standing, alerts.closedAt, true),
    nullOr(query.acknowledged, alerts.acknowledgedAt, false),
    nullOr(query.suppressed, alerts.suppressedBy, false),
    shelved === undefined ? undefined : shelved ? isShelved(now) : sql`NOT ${isShelved(now)}`,
  ];
  return conditions.filter((one) => one !== undefined);
}
