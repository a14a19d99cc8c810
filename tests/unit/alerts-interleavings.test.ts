/**
 * Analytics as a whole on whatever comes, in whatever order, cut into as many lives as one likes: at most one alert is open
 * for each device and fault key, and what is told is a function of the log alone.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import { FAULTY, HEALTHY, ProbeLog, runProbe, worldOf } from '../support/probe-fleet.ts';

type Step =
  | { readonly kind: 'send'; readonly device: number; readonly faulty: boolean; readonly times: number }
  | { readonly kind: 'late' | 'backfill'; readonly device: number; readonly backMs: number }
  | { readonly kind: 'pass' | 'down'; readonly ms: number }
  | { readonly kind: 'offline'; readonly device: number; readonly onPurpose: boolean }
  | { readonly kind: 'order'; readonly device: number; readonly leaves: boolean };

const device = fc.integer({ min: 0, max: 2 });
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('send' as const),
      device,
      faulty: fc.boolean(),
      times: fc.integer({ min: 1, max: 10 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('late' as const, 'backfill' as const),
      device,
      backMs: fc.constantFrom(MINUTE_MS, 3 * HOUR_MS, DAY_MS),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('pass' as const, 'pass' as const, 'down' as const),
      ms: fc.constantFrom(40_000, 10 * MINUTE_MS, 5 * HOUR_MS, 9 * HOUR_MS),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('offline' as const), device, onPurpose: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('order' as const), device, leaves: fc.boolean() }) },
);

const nameOf = (index: number) => `d-${index}`;

function orderId(index: number): string {
  return `3f1c4a52-7a0e-4d9b-8a50-${String(index).padStart(12, '0')}`;
}

/** Writes the log; the episode of an order is one that is open at its place, if there is one. */
async function write(steps: readonly Step[]): Promise<ProbeLog> {
  const log = new ProbeLog();
  for (const [index, step] of steps.entries()) {
    switch (step.kind) {
      case 'send':
        for (let i = 0; i < step.times; i++) {
          log.send(nameOf(step.device), step.faulty ? FAULTY : HEALTHY);
          log.now += 30_000;
          log.tick();
        }
        break;
      case 'late':
      case 'backfill':
        log.send(nameOf(step.device), FAULTY, { at: log.now - step.backMs, hist: step.kind === 'backfill' });
        break;
      case 'pass':
        log.pass(step.ms);
        break;
      case 'down':
        log.down(step.ms);
        break;
      case 'offline':
        log.offline(nameOf(step.device), step.onPurpose);
        break;
      case 'order':
        await giveOrder(log, step, orderId(index));
    }
  }
  return log;
}

async function giveOrder(log: ProbeLog, step: Extract<Step, { kind: 'order' }>, id: string): Promise<void> {
  const base = { id, tenant: 'acme', device: nameOf(step.device), model: 'probe', at: log.now, actor: 'erik', why: '' };
  if (step.leaves) {
    log.order({ ...base, kind: 'decommission' });
    return;
  }
  const told = await runProbe(worldOf(log.log));
  const newest = told.filter((one) => one.device === base.device).at(-1);
  log.order({ ...base, kind: 'acceptAsNormal', episode: newest?.episode ?? 'none' });
}

function checkEpisodes(told: readonly AlertFinding[]): void {
  /** open episode, by device and fault key */
  const open = new Map<string, { readonly id: string; readonly at: number }>();
  const ids = new Set<string>();
  for (const one of told) {
    const key = `${one.device} ${one.faultKey}`;
    const known = open.get(key);
    expect(one.onset).toBeLessThanOrEqual(one.at);
    if (one.kind === 'alertRaised') {
      expect(known).toBeUndefined();
      expect(ids.has(one.episode)).toBe(false);
      ids.add(one.episode);
    } else {
      expect(known?.id).toBe(one.episode);
      expect(one.at).toBeGreaterThanOrEqual(known?.at ?? 0);
    }
    if (one.kind === 'alertCleared') open.delete(key);
    else open.set(key, { id: one.episode, at: one.at });
  }
}

describe('whatever comes', () => {
  it('leads to at most one open alert for each device and fault key, opened and closed in turn', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyStep, { maxLength: 25 }), async (steps) => {
        checkEpisodes(await runProbe(worldOf((await write(steps)).log)));
      }),
      { numRuns: 40 },
    );
  });

  it('leads to the same alerts in any number of lives, batches of any size, and with one device in memory', async () => {
    const anyLife = fc.record({
      entries: fc.integer({ min: 1, max: 600 }),
      batchEntries: fc.constantFrom(1, 5, 1_000),
      maxDevices: fc.constantFrom(1, 100),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyStep, { maxLength: 25 }),
        fc.array(anyLife, { minLength: 1, maxLength: 5 }),
        async (steps, lives) => {
          const { log } = await write(steps);
          const whole = await runProbe(worldOf(log));
          const world = worldOf(log);
          let written = 0;
          for (const { entries, batchEntries, maxDevices } of lives) {
            const part = new ProbeLog().log;
            written += entries;
            part.entries.push(...log.entries.slice(0, written));
            await runProbe({ ...world, log: part }, { batchEntries, maxDevices });
          }
          const told = await runProbe(world);
          const byId = (some: readonly AlertFinding[]) => [...some].sort((a, b) => a.id.localeCompare(b.id));
          expect(byId(told)).toEqual(byId(whole));
          expect(world.findings.appended.length).toBe(world.findings.unique().length);
        },
      ),
      { numRuns: 40 },
    );
  });
});
