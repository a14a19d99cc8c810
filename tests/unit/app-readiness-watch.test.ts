/** Changes of readiness are counted, also when nobody asked `/readyz` at that moment. */
import { expect, it } from 'vitest';
import { createReadinessWatch } from '../../app/readiness-watch.ts';
import type { Readiness } from '../../contract/ports/services.ts';
import { silentLogger } from '../support/fake-services.ts';
import { recordingMetrics } from '../support/ingest-harness.ts';

it('counts each change of a component and of all of them, and the beginning as none', async () => {
  let store: Readiness = { ok: true };
  const metrics = recordingMetrics();
  const readiness = async (): Promise<Record<string, Readiness>> => ({ sql: { ok: true }, store });
  const watch = createReadinessWatch({ readiness, logger: silentLogger, metrics });
  await watch.start();
  const transitions = (component: string): (number | undefined)[] =>
    ['notReady', 'ready'].map((to) =>
      metrics.values.get(`presage_ready_transitions_total{component=${component},to=${to}}`),
    );
  expect([transitions('all'), transitions('store')]).toEqual([
    [0, 0],
    [0, 0],
  ]);
  store = { ok: false, detail: 'away' };
  await Promise.all([watch.look(), watch.look()]);
  await watch.look();
  expect(metrics.values.get('presage_ready{component=all}')).toBe(0);
  store = { ok: true };
  await watch.look();
  expect([transitions('all'), transitions('store'), transitions('sql')]).toEqual([
    [1, 1],
    [1, 1],
    [0, 0],
  ]);
  expect(metrics.values.get('presage_ready{component=all}')).toBe(1);
  await watch.stop();
  await watch.stop();
});

it('goes on when the question itself fails', async () => {
  const metrics = recordingMetrics();
  const readiness = () => Promise.reject(new Error('no answer'));
  const watch = createReadinessWatch({ readiness, logger: silentLogger, metrics });
  await expect(watch.look()).resolves.toBeUndefined();
});
