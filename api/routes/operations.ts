/** What operators and their tools ask: alive, ready, metrics, version. None of it needs credentials or holds secrets. */
import { z } from 'zod';
import type { App, RouteContext } from './context.ts';

const open = { config: { public: true } };
const readiness = z.object({
  ok: z.boolean(),
  components: z.record(z.string(), z.object({ ok: z.boolean(), since: z.number(), detail: z.string().optional() })),
});

export function registerOperations(app: App, context: RouteContext): void {
  /** since when each component is as it is, by its name */
  const since = new Map<string, { ok: boolean; since: number }>();

  app.get(
    '/healthz',
    {
      config: { public: true, rateLimit: false },
      schema: { tags: ['operations'], response: { 200: z.object({ ok: z.literal(true) }) } },
    },
    async () => ({ ok: true as const }),
  );

  app.get(
    '/readyz',
    {
      config: { public: true, rateLimit: false },
      schema: { tags: ['operations'], response: { 200: readiness, 503: readiness } },
    },
    async (_request, reply) => {
      const states = Object.entries(await context.readiness());
      const components = Object.fromEntries(
        states.map(([name, { ok, detail }]) => [
          name,
          { ok, since: sinceWhen(name, ok), ...(detail ? { detail } : {}) },
        ]),
      );
      const ok = states.every(([, state]) => state.ok);
      return reply.code(ok ? 200 : 503).send({ ok, components });
    },
  );

  function sinceWhen(name: string, ok: boolean): number {
    const known = since.get(name);
    if (known?.ok === ok) return known.since;
    const now = context.clock.now();
    since.set(name, { ok, since: now });
    return now;
  }

  app.get(
    '/metrics',
    { ...open, schema: { tags: ['operations'], response: { 200: z.string() } } },
    async (_request, reply) => {
      const text = await context.renderMetrics();
      return reply.type('text/plain; version=0.0.4; charset=utf-8').serializer(String).send(text);
    },
  );

  app.get(
    '/version',
    {
      ...open,
      schema: { tags: ['operations'], response: { 200: z.object({ name: z.string(), version: z.string() }) } },
    },
    async () => ({ name: 'presage', version: context.version }),
  );
}
