/** The device catalogue, as the console needs it for labels, units and failure modes. */
import { z } from 'zod';
import { DEVICE_MODELS } from '../../contract/devices/catalogue.ts';
import { lifeUnit, severity } from '../../contract/ports/findings.ts';
import { type App, answers, type RouteContext } from './context.ts';

const models = z.object({
  items: z.array(
    z.object({
      id: z.string(),
      name: z.string(),
      intervalMs: z.number(),
      lifeUnit,
      signals: z.array(
        z.object({ name: z.string(), label: z.string(), unit: z.string(), kind: z.string(), component: z.string() }),
      ),
      failureModes: z.array(
        z.object({
          code: z.string(),
          name: z.string(),
          component: z.string(),
          cause: z.string(),
          effect: z.string(),
          severity,
        }),
      ),
    }),
  ),
});

export function registerModels(app: App, _context: RouteContext): void {
  app.get('/api/v1/models', { schema: { tags: ['devices'], response: answers({ 200: models }) } }, async () =>
    // The answer's schema picks the fields; a copy, because the catalogue itself is read-only.
    models.parse({ items: DEVICE_MODELS }),
  );
}
