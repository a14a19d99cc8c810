/** What a simulated device sends and keeps: batches, outbox, network mishaps. No sockets. */
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../contract/kernel/random.ts';
import { MAX_PAYLOAD_BYTES, MAX_SAMPLES_PER_MESSAGE, PAYLOADS } from '../../contract/wire/payloads.ts';
import { birthOf, newBootId } from '../../device-sim/birth.ts';
import { createNetwork, PERFECT_NETWORK } from '../../device-sim/network.ts';
import { createOutbox } from '../../device-sim/outbox.ts';
import { type TimedSignals, telemetryMessages } from '../../device-sim/telemetry-batch.ts';

const samples = (count: number, text = ''): TimedSignals[] =>
  Array.from({ length: count }, (_, i) => ({
    at: 1_000_000 + 1_000 * i,
    signals: { value: i / 3, ...(text ? { text } : {}) },
  }));
const message = (seq: number) => ({ seq, payload: Buffer.from('x'), samples: 1, lastSampleAt: seq });

describe('telemetry messages', () => {
  it('meet the contract and keep every sample, time and value', () => {
    const given = samples(1_234);
    const messages = telemetryMessages('boot', 5, given);
    expect(messages.map(({ seq, samples: count }) => [seq, count])).toEqual([
      [5, MAX_SAMPLES_PER_MESSAGE],
      [6, MAX_SAMPLES_PER_MESSAGE],
      [7, 234],
    ]);
    const read = messages.flatMap(({ payload }) => {
      const { t, s } = PAYLOADS.telemetry.parse(JSON.parse(payload.toString()));
      return s.map(([offset, signals]) => ({ at: t + offset, signals }));
    });
    expect(read).toEqual(given);
    expect(messages.at(-1)?.lastSampleAt).toBe(given.at(-1)?.at);
  });

  it('stay within the payload limit, counted in bytes', () => {
    const messages = telemetryMessages('boot', 1, samples(500, 'é'.repeat(250)));
    expect(messages.length).toBeGreaterThan(1);
    for (const { payload } of messages) expect(payload.length).toBeLessThanOrEqual(MAX_PAYLOAD_BYTES);
    expect(messages.reduce((sum, { samples: count }) => sum + count, 0)).toBe(500);
  });

  it('refuse a sample that no message can hold instead of looping', () => {
    expect(() => telemetryMessages('boot', 1, samples(1, 'x'.repeat(200)), 300)).toThrow(RangeError);
    expect(telemetryMessages('boot', 1, [])).toEqual([]);
  });
});

describe('birth', () => {
  it.each(['refrigerator', 'turbofan', 'unheard-of'])(
    'of a %s meets the contract and declares extra signals once',
    (model) => {
      const birth = birthOf(model, 1_000, 'x1', ['machNumber', 'oilTemp']);
      const parsed = PAYLOADS.birth.parse({ v: 1, boot: newBootId(), t: 0, ...birth });
      const names = parsed.signals?.map((signal) => signal.name) ?? [];
      expect(names).toContain('oilTemp');
      expect(new Set(names).size).toBe(names.length);
    },
  );
});

describe('outbox', () => {
  it('refuses more than its bound', () => {
    const outbox = createOutbox(2, 8);
    outbox.add(message(1));
    outbox.add(message(2));
    expect(outbox.hasRoom()).toBe(false);
    expect(() => outbox.add(message(3))).toThrow(RangeError);
  });

  it('sends oldest first and no more than its window at once', () => {
    const outbox = createOutbox(10, 2);
    for (let seq = 1; seq <= 4; seq++) outbox.add(message(seq));
    const sent = [outbox.next(), outbox.next()];
    const first = outbox.next();
    if (first) first.state = 'sent';
    const second = outbox.next();
    if (second) second.state = 'sent';
    expect(sent.map((entry) => entry?.message.seq)).toEqual([1, 1]);
    expect([first?.message.seq, second?.message.seq, outbox.next()]).toEqual([1, 2, undefined]);
    expect(outbox.inFlight).toBe(2);
  });

  it('reports as acknowledged only what has nothing open before it', () => {
    const outbox = createOutbox(10, 10);
    for (let seq = 1; seq <= 3; seq++) outbox.add(message(seq));
    const entries = [1, 2, 3].map(() => {
      const entry = outbox.next();
      if (!entry) throw new Error('nothing waits');
      entry.state = 'sent';
      return entry;
    });
    expect(outbox.acknowledge(entries[1] as never)).toBe(true);
    expect(outbox.ackedThrough()).toBeUndefined();
    expect(outbox.acknowledge(entries[1] as never)).toBe(false);
    expect(outbox.acknowledge(entries[0] as never)).toBe(true);
    expect(outbox.ackedThrough()?.seq).toBe(2);
    outbox.rewind();
    expect(outbox.next()?.message.seq).toBe(3);
  });
});

describe('network', () => {
  it('is decided by its seed and meets its chances', () => {
    const faults = { loss: 0.1, duplicate: 0.2, reorder: 0.05, disconnect: 0.02 };
    const draw = (seed: number): string[] => {
      const network = createNetwork(faults, seededRandom(seed));
      return Array.from({ length: 20_000 }, () => network.fate());
    };
    const fates = draw(9);
    expect(draw(9)).toEqual(fates);
    const share = (fate: string): number => fates.filter((f) => f === fate).length / fates.length;
    expect(share('lose')).toBeCloseTo(0.1, 1);
    expect(share('duplicate')).toBeCloseTo(0.2, 1);
    expect(share('holdBack')).toBeCloseTo(0.05, 1);
    expect(share('disconnect')).toBeCloseTo(0.02, 1);
  });

  it('without faults delivers everything', () => {
    const network = createNetwork(PERFECT_NETWORK, seededRandom(1));
    expect(new Set(Array.from({ length: 1_000 }, () => network.fate()))).toEqual(new Set(['deliver']));
  });

  it.each([
    { ...PERFECT_NETWORK, loss: 1.5 },
    { ...PERFECT_NETWORK, loss: -0.1 },
    { ...PERFECT_NETWORK, loss: Number.NaN },
    { ...PERFECT_NETWORK, loss: 0.5, duplicate: 0.6 },
  ])('refuses chances that make no sense (%j)', (faults) => {
    expect(() => createNetwork(faults, seededRandom(1))).toThrow(RangeError);
  });
});
