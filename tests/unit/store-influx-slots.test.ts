/** Slots below the millisecond against a server that is a map: every identity has one point, whatever is repeated. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TelemetryMessage } from '../../contract/wire/sample.ts';
import { timestampNs } from '../../ingest/store/influx-lines.ts';
import { MESSAGE_SLOTS, preferredSlot, SlotKeeper, type SlotReader, slotAt } from '../../ingest/store/influx-slots.ts';
import { BASE_TIME_MS, message, sameSlotBoots } from '../support/store-samples.ts';

/** by nanoseconds: the identity that is stored there */
type Points = Map<string, { readonly boot: string; readonly seq: number; readonly index: number }>;

function readerOf(points: Points): SlotReader & { reads: number } {
  const times = () => [...points].map(([ns, identity]) => ({ ms: Number(ns.slice(0, -6)), ns, identity }));
  return {
    reads: 0,
    async taken(_series, fromMs, lastMs) {
      this.reads++;
      return times()
        .filter(({ ms }) => ms >= fromMs && ms <= lastMs)
        .map(({ ms, ns, identity }) => ({ ...identity, ms, slot: slotAt(Number(ns.slice(0, -3)), identity) }));
    },
    async firstBehind(_series, behind) {
      const later = times().flatMap(({ ms }) => (ms > behind ? [ms] : []));
      return later.length > 0 ? Math.min(...later) : undefined;
    },
  };
}

/** Writes as the store does; `arrives` says which points the server took before something broke. */
async function write(
  keeper: SlotKeeper,
  points: Points,
  batch: readonly TelemetryMessage[],
  arrives: (n: number) => boolean,
): Promise<void> {
  const moved = await keeper.place(batch.map((one) => ({ message: one, samples: one.samples })));
  let n = 0;
  for (const one of batch) {
    const { boot, seq } = one.identity;
    for (const sample of one.samples) {
      const slot = moved.get(one)?.get(Math.floor(sample.observedAt)) ?? preferredSlot(one.identity);
      if (arrives(n++)) points.set(timestampNs(slot, sample), { boot, seq, index: sample.index });
    }
  }
}

const boots = sameSlotBoots(3);
const parts = fc.array(
  fc.record({
    boot: fc.constantFrom(...boots, 'other'),
    seq: fc.constantFrom(0, 1, 2, 3, 1_999, 2_000, 2_001, 4_000),
    times: fc.array(fc.nat(6), { minLength: 1, maxLength: 3 }),
  }),
  { minLength: 1, maxLength: 24 },
);

describe('slots below the millisecond', () => {
  it('give every sample one point, with any clocks, partial writes, repetitions and restarts', async () => {
    await fc.assert(
      fc.asyncProperty(
        parts,
        fc.infiniteStream(fc.nat(9)),
        fc.integer({ min: 1, max: 7 }),
        async (given, dice, size) => {
          const roll = (): number => dice.next().value ?? 0;
          const seen = new Set<string>();
          const log = given.flatMap(({ boot, seq, times }) => {
            if (seen.has(`${boot} ${seq}`)) return [];
            seen.add(`${boot} ${seq}`);
            const samples = times.map((ms) => [BASE_TIME_MS + ms * 40_000, {}] as const);
            return [message({ device: 'd', boot, seq, samples })];
          });
          const points: Points = new Map();
          let keeper = new SlotKeeper(readerOf(points), 1);
          for (let from = 0; from < log.length; ) {
            const to = Math.min(log.length, from + size);
            const broken = roll() < 4;
            await write(keeper, points, log.slice(from, to), () => !broken || roll() < 5);
            if (broken && roll() < 5) keeper.clear();
            else if (broken) keeper = new SlotKeeper(readerOf(points), 1);
            // The log repeats what was not confirmed, and after a restart also some that was.
            from = broken ? Math.max(0, from - (roll() % 3)) : to;
          }
          const stored = [...points.values()].map(({ boot, seq, index }) => `${boot} ${seq} ${index}`).sort();
          const sent = log.flatMap(({ identity: { boot, seq }, samples }) =>
            samples.map(({ index }) => `${boot} ${seq} ${index}`),
          );
          expect(stored).toEqual(sent.sort());
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('ask the server nothing while a device’s time goes on', async () => {
    const points: Points = new Map();
    const reader = readerOf(points);
    const keeper = new SlotKeeper(reader);
    for (let seq = 0; seq < 50; seq++) {
      const samples = [0, 1, 2].map((i) => [BASE_TIME_MS + seq * 3_000 + i * 1_000, {}] as const);
      await write(keeper, points, [message({ device: 'd', seq, samples })], () => true);
    }
    expect(points.size).toBe(150);
    expect(reader.reads).toBe(1);
  });

  it('ask again only once after a clock that jumped ahead and came back', async () => {
    const points: Points = new Map();
    const reader = readerOf(points);
    const keeper = new SlotKeeper(reader);
    const times = [0, 1, 2, 1e9, 3, 4, 5, 6].map((second) => BASE_TIME_MS + second * 1_000);
    for (const [seq, at] of times.entries()) {
      await write(keeper, points, [message({ device: 'd', seq, samples: [[at, {}]] })], () => true);
    }
    expect([points.size, reader.reads]).toEqual([8, 2]);
  });

  it('say when a millisecond is full, and never overwrite anybody', async () => {
    const points: Points = new Map();
    const keeper = new SlotKeeper(readerOf(points));
    const one = (boot: string) => message({ device: 'd', boot, seq: 1, samples: [[BASE_TIME_MS, {}]] });
    for (const boot of sameSlotBoots(MESSAGE_SLOTS / 2)) await write(keeper, points, [one(boot)], () => true);
    expect(points.size).toBe(MESSAGE_SLOTS / 2);
    const late = one(sameSlotBoots(MESSAGE_SLOTS / 2 + 1).at(-1) ?? '');
    const moved = await keeper.place([{ message: late, samples: late.samples }]);
    expect(moved.get(late)).toEqual(new Map([[BASE_TIME_MS, undefined]]));
  });
});
