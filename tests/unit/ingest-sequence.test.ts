/** Which sequence numbers were taken, held against a plain set; across restarts and beyond the bounds. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { accept } from '../../ingest/accept.ts';
import { SequenceBook, SequenceWindow, WINDOW_SIZE } from '../../ingest/sequence.ts';
import { encodeSnapshot, restoreSnapshot } from '../../ingest/sequence-snapshot.ts';

/** A certain window that has seen these numbers. */
function windowOf(...seen: number[]): SequenceWindow {
  const window = new SequenceWindow(true);
  for (const seq of seen) window.mark(seq);
  return window;
}

describe('accept', () => {
  it('accepts the first number of a boot, whatever it is', () => {
    expect(accept(1_042, windowOf())).toEqual({ kind: 'accepted' });
  });

  it('reports a gap when two sequence numbers are missing', () => {
    expect(accept(13, windowOf(10))).toEqual({ kind: 'accepted', gapBefore: 2 });
    expect(accept(11, windowOf(10))).toEqual({ kind: 'accepted' });
  });

  it('accepts a number behind the newest and marks it late', () => {
    expect(accept(9, windowOf(8, 10))).toEqual({ kind: 'accepted', late: true });
  });

  it('knows a number that it has seen', () => {
    expect(accept(8, windowOf(8, 10))).toEqual({ kind: 'duplicate', inFlight: false });
  });

  it('asks for a look into the store behind the window', () => {
    const window = windowOf(0, WINDOW_SIZE);
    expect(accept(0, window)).toEqual({ kind: 'lookup' });
    expect(accept(1, window)).toEqual({ kind: 'accepted', late: true });
  });

  it('does not count what is in flight as seen before it is durable', () => {
    const window = windowOf(1);
    window.begin(2);
    expect(accept(2, window)).toEqual({ kind: 'duplicate', inFlight: true });
    expect(accept(3, window)).toEqual({ kind: 'accepted' });
    window.finish(2, false);
    expect(accept(2, window)).toEqual({ kind: 'accepted' });
    window.begin(2);
    window.finish(2, true);
    expect(accept(2, window)).toEqual({ kind: 'duplicate', inFlight: false });
  });

  it('asks about everything of a forgotten boot up to a window above its first new number', () => {
    const window = new SequenceWindow(false);
    expect(accept(50, window).kind).toBe('lookup');
    window.begin(50);
    window.finish(50, false); // It was stored long ago: nothing is known of the next one.
    expect(accept(51, window).kind).toBe('lookup');
    window.mark(60);
    expect(accept(60, window).kind).toBe('duplicate');
    expect([59, 61, 60 + WINDOW_SIZE - 1].map((seq) => accept(seq, window).kind)).toEqual([
      'lookup',
      'lookup',
      'lookup',
    ]);
    expect(accept(60 + WINDOW_SIZE, window).kind).toBe('accepted');
  });
});

/** Jumps of all sizes, back and forth, around the width of the window. */
const walk = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: -6, max: 8 }) },
    { weight: 2, arbitrary: fc.integer({ min: -WINDOW_SIZE - 40, max: WINDOW_SIZE + 40 }) },
    { weight: 1, arbitrary: fc.constantFrom(WINDOW_SIZE - 1, WINDOW_SIZE, 1 - WINDOW_SIZE, -WINDOW_SIZE) },
  ),
  { minLength: 1, maxLength: 200 },
);

describe('SequenceWindow', () => {
  it('says what a plain set says, as far as it reaches', () => {
    fc.assert(
      fc.property(walk, fc.constantFrom(0, 5_000, Number.MAX_SAFE_INTEGER - 3_000_000), (steps, start) => {
        const window = new SequenceWindow(true);
        const seen = new Set<number>();
        let seq = start;
        for (const step of steps) {
          seq = Math.max(0, seq + step);
          const highest = seen.size > 0 ? Math.max(...seen) : -1;
          const reach = highest - seq < WINDOW_SIZE;
          expect(window.look(seq)).toBe(!reach ? 'unknown' : seen.has(seq) ? 'seen' : 'new');
          if (reach) seen.add(seq);
          window.mark(seq);
        }
      }),
    );
  });

  it('is the same after a snapshot', () => {
    fc.assert(
      fc.property(walk, (steps) => {
        const book = new SequenceBook();
        const memory = book.device({ tenant: 'acme', device: 'd' });
        const window = book.window(memory, 'telemetry', 'b');
        let seq = 1_000;
        for (const step of steps) {
          seq = Math.max(0, seq + step);
          window.mark(seq);
        }
        const again = new SequenceBook();
        expect(restoreSnapshot(encodeSnapshot(book, 77), again)).toBe(77);
        const restored = again.window(again.device({ tenant: 'acme', device: 'd' }), 'telemetry', 'b');
        expect(restored.highest).toBe(window.highest);
        for (let at = Math.max(0, window.highest - WINDOW_SIZE - 2); at <= window.highest + 2; at++) {
          if (restored.look(at) !== window.look(at)) expect.fail(`${at}: ${restored.look(at)} for ${window.look(at)}`);
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe('SequenceBook', () => {
  const ref = (device: string) => ({ tenant: 'acme', device });
  const take = (book: SequenceBook, device: string, boot: string, seq: number) => {
    book.window(book.device(ref(device)), 'telemetry', boot).mark(seq);
  };
  const look = (book: SequenceBook, device: string, boot: string, seq: number) =>
    book.window(book.device(ref(device)), 'telemetry', boot).look(seq);

  it('counts telemetry and events of one boot apart', () => {
    const book = new SequenceBook();
    take(book, 'a', 'boot', 1);
    expect(book.window(book.device(ref('a')), 'event', 'boot').look(1)).toBe('new');
  });

  it('keeps several boots of a device, and asks the store about new ones once it dropped one', () => {
    const book = new SequenceBook({ maxDevices: 10, maxWindowsPerDevice: 2 });
    for (const boot of ['b1', 'b2']) take(book, 'a', boot, 5);
    expect(look(book, 'a', 'b1', 5)).toBe('seen');
    take(book, 'a', 'b3', 5);
    expect(book.evictions).toBe(1);
    expect([look(book, 'a', 'b2', 5), look(book, 'a', 'b3', 5), look(book, 'a', 'b1', 5)]).toEqual([
      'seen',
      'seen',
      'unknown',
    ]);
  });

  it('forgets the devices that were not heard for longest, within its bound, and asks the store about them', () => {
    const book = new SequenceBook({ maxDevices: 10, maxWindowsPerDevice: 2 });
    take(book, 'idle', 'b', 5);
    for (let i = 0; i < 200; i++) {
      take(book, 'busy', 'b', i);
      take(book, `other-${i}`, 'b', 5);
    }
    expect(book.deviceCount).toBeLessThanOrEqual(20);
    expect(book.evictions).toBeGreaterThan(0);
    expect(look(book, 'busy', 'b', 199)).toBe('seen');
    expect(look(book, 'idle', 'b', 5)).toBe('unknown');
  });

  it('carries over restarts that it forgot somebody', () => {
    const book = new SequenceBook({ maxDevices: 1, maxWindowsPerDevice: 2 });
    for (const device of ['a', 'b', 'c']) take(book, device, 'boot', 1);
    const again = new SequenceBook();
    restoreSnapshot(encodeSnapshot(book, 1), again);
    expect(look(again, 'a', 'boot', 1)).toBe('unknown');
    expect(look(again, 'c', 'boot', 1)).toBe('seen');
  });

  it('does not take something else for a snapshot', () => {
    for (const text of ['', '{}', '[]', '{"version":2}'])
      expect(restoreSnapshot(text, new SequenceBook())).toBeUndefined();
  });
});
