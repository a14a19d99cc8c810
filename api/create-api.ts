/**
 * The HTTP API with the desk behind it: routes, live events, the follower that turns findings into tickets, and the
 * workers that complete their evidence and tell the centres. Building opens nothing; `start()` listens.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import cookie from '@fastify/cookie';
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import fastifyStatic from '@fastify/static';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { and, eq } from 'drizzle-orm';
import fastify from 'fastify';
import {
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod';
import type { DataQuality } from '../contract/http/resources.ts';
import { AppError } from '../contract/kernel/errors.ts';
import type { DeviceRef, IntegrationRef } from '../contract/kernel/ids.ts';
import type { PresenceChange } from '../contract/ports/broker.ts';
import type { ReplayQuarantined } from '../contract/ports/replay.ts';
import type { RuleTools } from '../contract/ports/rules.ts';
import type { Clock, Logger, Metrics, Readiness, Service } from '../contract/ports/services.ts';
import type { LogAppender, LogReader, Position } from '../contract/ports/telemetry-log.ts';
import type { ApiReader, TelemetryLookups } from '../contract/ports/telemetry-store.ts';
import type { TelemetryMessage } from '../contract/wire/sample.ts';
import type { KeyRing } from './accounts/key-ring.ts';
import { createAccounts } from './accounts/principal.ts';
import { createAlarmWorker } from './alerts/alarm-worker.ts';
import type { AppliedAlerts } from './alerts/news.ts';
import { silenceOf } from './alerts/silence-view.ts';
import type { Database } from './db/database.ts';
import { packageFolder } from './db/migrate.ts';
import { tickets } from './db/schema.ts';
import type { CachedDeviceDirectory } from './devices/directory.ts';
import { createPresence } from './devices/presence.ts';
import { createFindingsFollower, type DeskNews, type FindingsLog, newsOf } from './findings-follower.ts';
import { createStreamHub } from './live/stream-hub.ts';
import { createWebhookWorker } from './notify/webhook-worker.ts';
import { createOrderWriter } from './orders/orders.ts';
import { registerAuthentication } from './plugins/authentication.ts';
import { PROBLEM_TYPE, problemOf, registerProblems, sendProblem } from './plugins/problems.ts';
import { registerAcceptAsNormal } from './routes/accept-as-normal.ts';
import { registerAlertGroups } from './routes/alert-groups.ts';
import { registerAlerts } from './routes/alerts.ts';
import type { App, RouteContext } from './routes/context.ts';
import { registerDeviceChanges } from './routes/device-changes.ts';
import { registerDevices } from './routes/devices.ts';
import { registerDispatch } from './routes/dispatch.ts';
import { registerIntake } from './routes/intake.ts';
import { registerIntegrations } from './routes/integrations.ts';
import { registerModels } from './routes/models.ts';
import { registerOperations } from './routes/operations.ts';
import { registerOutcomes } from './routes/outcomes.ts';
import { registerProvisioning } from './routes/provisioning.ts';
import { registerQuarantine } from './routes/quarantine.ts';
import { registerQuotes } from './routes/quotes.ts';
import { registerReceipts } from './routes/receipts.ts';
import { registerRegistry } from './routes/registry.ts';
import { registerRules } from './routes/rules.ts';
import { registerSecurityEvents } from './routes/security-events.ts';
import { registerServiceLevels } from './routes/service-levels.ts';
import { registerSessions } from './routes/sessions.ts';
import { registerSilences } from './routes/silences.ts';
import { registerStream } from './routes/stream.ts';
import { registerTelemetry } from './routes/telemetry.ts';
import { registerTickets } from './routes/tickets.ts';
import { registerTokens } from './routes/tokens.ts';
import { registerUsers } from './routes/users.ts';
import { registerWarranty } from './routes/warranty.ts';
import { createTimerWorker } from './service-levels/timer-worker.ts';
import { createEvidenceWorker } from './tickets/evidence-worker.ts';
import { selectSummaries } from './tickets/ticket-summary.ts';

export interface ApiDeps {
  /** Started and migrated. */
  readonly database: Database;
  /** The broker's directory: told when a device was blocked, asked when a device renews its secret. */
  readonly directory: Pick<CachedDeviceDirectory, 'authenticate' | 'invalidate'>;
  /** Under which device secrets are hashed. */
  readonly hmacKeys: KeyRing;
  /** Under which webhook secrets lie in the database. */
  readonly webhookKeys: KeyRing;
  readonly reader: ApiReader;
  readonly findings: FindingsLog;
  /** The telemetry log, into which orders to analytics go; without it they wait. */
  readonly orderLog?: LogAppender & Pick<LogReader, 'read' | 'start'>;
  /** Resolves when the telemetry store has everything up to the position. */
  readonly storePassed: (position: Position) => Promise<void>;
  /** Telemetry as it is accepted; answers how to stop listening. */
  readonly live: (listener: (message: TelemetryMessage) => void) => () => void;
  /** How good a device's data is, where something was received from it. */
  readonly dataQuality?: (ref: DeviceRef) => DataQuality | undefined;
  /** Decodes quarantined telemetry again; without it every replay is refused as not ready. */
  readonly replay?: ReplayQuarantined;
  /** What the telemetry store holds of one message. */
  readonly receipt?: TelemetryLookups['receipt'];
  /** Understands the text of rules; without it they can only be read. */
  readonly rules?: RuleTools;
  readonly broker: {
    onPresence(listener: (change: PresenceChange) => void): () => void;
    /** Closes the device's connections. */
    disconnect(ref: DeviceRef): unknown;
    /** Closes the integration's connections and forgets its sessions. */
    disconnectIntegration(ref: IntegrationRef): unknown;
  };
  readonly readiness: () => Promise<Readonly<Record<string, Readiness>>>;
  /** Prometheus text. */
  readonly renderMetrics: () => Promise<string>;
  readonly version: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface ApiOptions {
  /** 127.0.0.1. */
  readonly host?: string | undefined;
  /** 8080; 0 = any free port. */
  readonly port?: number | undefined;
  /** Address of the console as users reach it; the listening address when absent. */
  readonly publicUrl?: string | undefined;
  /** Webhooks may go to private addresses, and to loopback over plain http. Off. */
  readonly webhookAllowPrivate?: boolean | undefined;
  /** Requests of one address in a minute; 6,000. */
  readonly maxRequestsPerMinute?: number | undefined;
  /** Largest request body; 64 KiB. */
  readonly maxBodyBytes?: number | undefined;
}

export interface Api extends Service {
  ports(): { readonly http: number };
  /** The OpenAPI 3.1 document, also without having been started. */
  openapi(): Promise<object>;
  /** Base of links for users, for example `http://127.0.0.1:8080`. */
  publicUrl(): string;
  /** The application itself, for tests that inject requests. */
  app(): Promise<App>;
}

/** Slow clients (F11 of our threat list: Fastify's own defaults wait for ever). */
const REQUEST_TIMEOUT_MS = 15_000;
const CONNECTION_TIMEOUT_MS = 60_000;

/** Of the document's reader, which carries its icons as data. */
const DOCS_POLICY =
  "default-src 'self'; img-src 'self' data:; base-uri 'none'; object-src 'none'; frame-ancestors 'none'";

export function createApi(deps: ApiDeps, options: ApiOptions = {}): Api {
  const { database, logger, metrics, clock } = deps;
  const host = options.host ?? '127.0.0.1';
  let port = 0;
  let built: Promise<App> | undefined;
  let started = false;
  let unsubscribe: (() => void)[] = [];

  const publicUrl = () =>
    (options.publicUrl ?? `http://${host === '0.0.0.0' ? '127.0.0.1' : host}:${port}`).replace(/\/$/, '');
  const accounts = createAccounts(database, clock);
  const presence = createPresence(database, { logger });
  const hub = createStreamHub(randomBytes(6).toString('hex'), metrics);
  const webhooks = createWebhookWorker(
    { database, webhookKeys: deps.webhookKeys, clock, logger, metrics },
    { allowPrivate: options.webhookAllowPrivate ?? false },
  );
  const evidence = createEvidenceWorker({
    database,
    reader: deps.reader,
    storePassed: deps.storePassed,
    clock,
    logger,
    metrics,
    onPinned(tenant, key) {
      webhooks.wake();
      void announceTicket(tenant, key);
    },
  });
  const timers = createTimerWorker({
    database,
    clock,
    logger,
    metrics,
    publicUrl,
    onEscalated({ tenant, key }) {
      webhooks.wake();
      void announceTicket(tenant, key);
    },
  });
  const orderWriter = createOrderWriter({ database, log: deps.orderLog, clock, logger, metrics });
  const follower = createFindingsFollower({
    database,
    findings: deps.findings,
    clock,
    logger,
    metrics,
    publicUrl,
    onNews,
  });

  const alarms = createAlarmWorker({
    database,
    clock,
    logger,
    metrics,
    publicUrl,
    onApplied: (applied) => void tellApplied(applied),
    onEnded({ tenant, silence, report }) {
      webhooks.wake();
      hub.silenceChanged(tenant, silenceOf(silence, clock.now()), report);
    },
  });

  function onNews(news: DeskNews): void {
    if (news.opened > 0) evidence.wake();
    for (const episode of news.episodes) hub.alertChanged(episode);
    for (const { tenant, ticket } of news.tickets) hub.ticketChanged(tenant, ticket);
    for (const { tenant, group } of news.groups) hub.groupChanged(tenant, group);
  }

  async function tellApplied(applied: AppliedAlerts): Promise<void> {
    webhooks.wake();
    if (applied.opened > 0) evidence.wake();
    try {
      onNews(await database.withSystem((tx) => newsOf(tx, applied)));
    } catch (error) {
      // Only live events are lost; the lists show it.
      logger.debug({ error: String(error) }, 'events of alarms were not sent');
    }
  }

  async function announceTicket(tenant: string, key: string): Promise<void> {
    try {
      const [ticket] = await database.withTenant({ tenant }, (tx) =>
        selectSummaries(tx, and(eq(tickets.tenant, tenant), eq(tickets.key, key)), 1),
      );
      if (ticket) hub.ticketChanged(tenant, ticket);
    } catch (error) {
      // Only a live event is lost; the list shows it.
      logger.debug({ error: String(error) }, 'a ticket event was not sent');
    }
  }

  const context: RouteContext = {
    database,
    accounts,
    reader: deps.reader,
    hub,
    clock,
    metrics,
    hmacKeys: deps.hmacKeys,
    connected: () => presence.connected(),
    wakeAlarms() {
      alarms.wake();
      webhooks.wake();
    },
    directory: deps.directory,
    dataQuality: deps.dataQuality ?? (() => undefined),
    replay: deps.replay ?? (() => Promise.reject(new AppError('NOT_READY', 'no ingest runs here'))),
    cutOff(ref) {
      deps.directory.invalidate(ref);
      deps.broker.disconnect(ref);
    },
    rules: deps.rules ?? { check: noRules, trial: noRules },
    receipt: deps.receipt ?? (async () => undefined),
    cutOffIntegration: (ref) => void deps.broker.disconnectIntegration(ref),
    announceTicket: (tenant, key) => void announceTicket(tenant, key),
    wakeOrders: () => orderWriter.wake(),
    readiness: deps.readiness,
    renderMetrics: deps.renderMetrics,
    version: deps.version,
    publicUrl,
    secureCookies: () => publicUrl().startsWith('https:'),
  };

  const app = () => {
    built ??= buildApp(context, logger, options);
    return built;
  };

  return {
    app,
    publicUrl,
    ports: () => ({ http: port }),
    async openapi() {
      return (await app()).swagger();
    },
    async start() {
      if (started) return;
      started = true;
      const server = await app();
      await server.listen({ host, port: options.port ?? 8080 });
      const address = server.server.address();
      port = typeof address === 'object' && address ? address.port : 0;
      await presence.start();
      unsubscribe = [
        deps.broker.onPresence((change) => presence.recordPresence(change)),
        deps.live((message) => {
          presence.recordMessage(message.identity, message.receivedAt);
          hub.sampled(message);
        }),
      ];
      await follower.start();
      await evidence.start();
      await webhooks.start();
      await timers.start();
      await orderWriter.start();
      await alarms.start();
    },
    async stop() {
      if (!started) return;
      started = false;
      for (const one of unsubscribe) one();
      hub.stop();
      await follower.stop();
      await Promise.all([evidence.stop(), timers.stop(), webhooks.stop(), orderWriter.stop(), alarms.stop()]);
      await (await app()).close();
      await presence.stop();
      built = undefined;
    },
  };
}

function noRules(): never {
  throw new AppError('NOT_READY', 'nothing here understands rules');
}

async function buildApp(context: RouteContext, logger: Logger, options: ApiOptions): Promise<App> {
  const app: App = fastify({
    logger: false,
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    bodyLimit: options.maxBodyBytes ?? 64 * 1024,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 200 },
    frameworkErrors: (error, request, reply) => {
      void sendProblem(reply as never, problemOf('REQUEST_INVALID', request.id, error.message));
    },
    clientErrorHandler(_error, socket) {
      if (!socket.writable) return;
      const body = JSON.stringify(problemOf('REQUEST_INVALID', randomUUID(), 'this is not HTTP/1.1'));
      socket.end(
        `HTTP/1.1 400 Bad Request\r\nContent-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
      );
    },
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  registerProblems(app as never, logger);
  await registerPlugins(app, context, options);
  registerAuthentication(app as never, context.accounts);
  app.addHook('onResponse', async (request, reply) => {
    const labels = { method: request.method, status: String(reply.statusCode) };
    context.metrics.count('presage_http_requests_total', 'Answers of the HTTP API', labels);
  });
  registerRoutes(app, context);
  await registerPages(app);
  await app.ready();
  return app;
}

async function registerPlugins(app: App, context: RouteContext, options: ApiOptions): Promise<void> {
  await app.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        'default-src': ["'self'"],
        'base-uri': ["'none'"],
        'form-action': ["'self'"],
        'frame-ancestors': ["'none'"],
        'object-src': ["'none'"],
      },
    },
    // Set by whoever terminates TLS; over plain http on loopback it would lock users out.
    hsts: false,
    referrerPolicy: { policy: 'no-referrer' },
  });
  await app.register(cookie);
  await app.register(rateLimit, {
    max: options.maxRequestsPerMinute ?? 6_000,
    timeWindow: '1 minute',
    errorResponseBuilder: (_request, limit) => new AppError('RATE_LIMITED', `try again in ${limit.after}`),
  });
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Presage',
        version: context.version,
        description: 'Telemetry, alerts, predictions and preemptive service tickets. See docs/api.md.',
      },
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer' },
          session: { type: 'apiKey', in: 'cookie', name: 'presage_session' },
        },
      },
      security: [{ token: [] }, { session: [] }],
    },
    transform: jsonSchemaTransform,
  });
}

/** By hand, so that this list is the API. */
function registerRoutes(app: App, context: RouteContext): void {
  registerOperations(app, context);
  registerSessions(app, context);
  registerTokens(app, context);
  registerUsers(app, context);
  registerModels(app, context);
  registerDevices(app, context);
  registerDeviceChanges(app, context);
  registerProvisioning(app, context);
  registerIntegrations(app, context);
  registerTelemetry(app, context);
  registerAlerts(app, context);
  registerAlertGroups(app, context);
  registerSilences(app, context);
  registerAcceptAsNormal(app, context);
  registerRegistry(app, context);
  registerTickets(app, context);
  registerIntake(app, context);
  registerServiceLevels(app, context);
  registerOutcomes(app, context);
  registerWarranty(app, context);
  registerQuotes(app, context);
  registerDispatch(app, context);
  registerQuarantine(app, context);
  registerReceipts(app, context);
  registerRules(app, context);
  registerSecurityEvents(app, context);
  registerStream(app, context);
  app.get('/openapi.json', { config: { public: true }, schema: { hide: true } }, async (_request, reply) =>
    reply.type('application/json').serializer(String).send(JSON.stringify(app.swagger())),
  );
}

/** The console's page, the chart library it uses, and the reader for the API's document. All public, all static. */
async function registerPages(app: App): Promise<void> {
  const charts = dirname(createRequire(import.meta.url).resolve('uplot/dist/uPlot.esm.js'));
  await app.register(async (pages) => {
    pages.addHook('onRoute', (route) => {
      route.config = { ...route.config, public: true };
      route.schema = { ...route.schema, hide: true };
    });
    await pages.register(fastifyStatic, { root: packageFolder('console'), prefix: '/', wildcard: false });
    await pages.register(fastifyStatic, {
      root: charts,
      prefix: '/vendor/uplot/',
      wildcard: false,
      decorateReply: false,
    });
    await pages.register(swaggerUi, {
      routePrefix: '/docs',
      staticCSP: true,
      transformStaticCSP: () => DOCS_POLICY,
      // The badge would ask a server of somebody else whether our document is valid.
      uiConfig: { validatorUrl: null },
    });
  });
}
