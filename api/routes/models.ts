/** The device catalogue, as the console needs it for labels, units and failure modes. */
import { z } from 'zod';
import { DEVICE_MODELS } from '../../contract/devices/catalogue.ts';
import type { DeviceModel } from '../../contract/devices/device-model.ts';
import { type Language, speechQuery } from '../../contract/http/explanation.ts';
import { lifeUnit, severity } from '../../contract/ports/findings.ts';
import { wordsOf } from '../desk/explain/device-names.ts';
import { chooseLanguage } from '../desk/explain/language.ts';
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

/** Only when asked for by name: whoever reads along in English need not change with the browser. */
const modelsQuery = speechQuery.pick({ lang: true }).strict();

export function registerModels(app: App, _context: RouteContext): void {
  app.get(
    '/api/v1/models',
    { schema: { tags: ['devices'], querystring: modelsQuery, response: answers({ 200: models }) } },
    async (request) => {
      const language = chooseLanguage(request.query.lang, undefined);
      // The answer's schema picks the fields; a copy, because the catalogue itself is read-only.
      return models.parse({ items: DEVICE_MODELS.map((model) => inLanguage(model, language)) });
    },
  );
}

function inLanguage(model: DeviceModel, language: Language): DeviceModel {
  const words = wordsOf(model, language);
  return {
    ...model,
    name: words.name,
    signals: model.signals.map((signal) => ({ ...signal, label: words.signals[signal.name] ?? signal.label })),
    failureModes: model.failureModes.map((mode) => ({ ...mode, ...words.failureModes[mode.code] })),
  };
}
