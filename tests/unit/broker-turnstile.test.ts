/** Who may pass, who waits and whose turn is next. */
import { describe, expect, it } from 'vitest';
import { createTurnstile, type TurnstileLimits } from '../../broker/turnstile.ts';

function turnstile(limits: Partial<TurnstileLimits> = {}) {
  const passed: string[] = [];
  const gate = createTurnstile<string>(
    { maxTurns: 2, maxTurnsPerNetwork: 2, maxWaiting: 100, ...limits },
    (item: string) => void passed.push(item),
  );
  /** The network is the letter of the name. */
  const enter = (...names: string[]) => names.map((name) => gate.enter(name[0] ?? '', name));
  return { ...gate, passed, enter };
}

describe('a turnstile', () => {
  it('lets so many through at once, and the next when one has left', () => {
    const { enter, leave, passed, stats } = turnstile();
    expect(enter('a1', 'a2', 'a3', 'a4')).toEqual(['turn', 'turn', 'waits', 'waits']);
    expect(stats()).toEqual({ underWay: 2, waiting: 2 });
    leave('a2');
    expect(passed).toEqual(['a1', 'a2', 'a3']);
    leave('a1');
    leave('a3');
    leave('a4');
    expect(passed).toEqual(['a1', 'a2', 'a3', 'a4']);
    expect(stats()).toEqual({ underWay: 0, waiting: 0 });
  });

  it('lets networks take turns, however long the line of one of them is', () => {
    const { enter, leave, passed } = turnstile({ maxTurns: 1 });
    enter('a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'c1');
    for (const name of ['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']) leave(name);
    expect(passed).toEqual(['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']);
  });

  it('keeps room for others when one network stands still', () => {
    const { enter, leave, passed } = turnstile({ maxTurns: 4, maxTurnsPerNetwork: 3 });
    expect(enter('a1', 'a2', 'a3', 'a4', 'b1')).toEqual(['turn', 'turn', 'turn', 'waits', 'turn']);
    expect(enter('b2')).toEqual(['waits']);
    leave('b1');
    expect(passed.at(-1)).toBe('b2');
    leave('a1');
    expect(passed.at(-1)).toBe('a4');
  });

  it('turns away who finds the line full, and forgets about it', () => {
    const { enter, leave, passed, stats } = turnstile({ maxTurns: 1, maxWaiting: 1 });
    expect(enter('a1', 'a2', 'a3', 'b1')).toEqual(['turn', 'waits', 'full', 'full']);
    for (const name of ['a3', 'b1', 'a1', 'a2', 'nobody']) leave(name);
    expect(passed).toEqual(['a1', 'a2']);
    expect(stats()).toEqual({ underWay: 0, waiting: 0 });
  });

  it('forgets who leaves the line before its turn', () => {
    const { enter, leave, passed, stats } = turnstile({ maxTurns: 1 });
    enter('a1', 'a2', 'a3');
    leave('a2');
    leave('a1');
    expect(passed).toEqual(['a1', 'a3']);
    expect(stats()).toEqual({ underWay: 1, waiting: 0 });
  });

  it('works off thousands that leave in the moment of their turn', () => {
    const passed: number[] = [];
    const gate = createTurnstile<number>({ maxTurns: 1, maxTurnsPerNetwork: 1, maxWaiting: 100_000 }, (item) => {
      passed.push(item);
      if (item > 0) gate.leave(item);
    });
    for (let item = 0; item < 50_000; item++) gate.enter(`${item % 7}`, item);
    gate.leave(0);
    expect(passed).toHaveLength(50_000);
    expect(gate.stats()).toEqual({ underWay: 0, waiting: 0 });
  });

  it.each([1, 2, 3])('never exceeds a bound and forgets nobody, whatever comes and goes (seed %i)', (seed) => {
    const limits = { maxTurns: 5, maxTurnsPerNetwork: 2, maxWaiting: 20 };
    const inside = new Map<number, string>();
    const waiting = new Set<number>();
    const networks = new Map<number, string>();
    const gate = createTurnstile<number>(limits, (item) => {
      waiting.delete(item);
      inside.set(item, networks.get(item) ?? '');
    });
    let state = seed;
    const random = (below: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    for (let item = 0; item < 2_000; item++) {
      networks.set(item, 'abcdef'[random(6)] ?? 'a');
      if (gate.enter(networks.get(item) ?? '', item) === 'waits') waiting.add(item);
      const present = [...inside.keys(), ...waiting];
      for (const one of present.filter(() => random(3) === 0)) {
        inside.delete(one);
        waiting.delete(one);
        gate.leave(one);
      }
      const counts = [...'abcdef'].map((name) => [...inside.values()].filter((network) => network === name).length);
      expect(Math.max(...counts)).toBeLessThanOrEqual(limits.maxTurnsPerNetwork);
      expect(gate.stats()).toEqual({ underWay: inside.size, waiting: waiting.size });
      expect(inside.size).toBeLessThanOrEqual(limits.maxTurns);
      expect(waiting.size).toBeLessThanOrEqual(limits.maxWaiting);
      // Nobody waits whose network has its share free while there is room.
      const held = [...waiting].every((one) => counts['abcdef'.indexOf(networks.get(one) ?? '')] === 2);
      expect(inside.size === limits.maxTurns || held).toBe(true);
    }
  });
});
