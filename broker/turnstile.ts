/**
 * Lets a bounded number through at a time, of all and of each network; the others wait, and networks take turns. Pure but
 * for what it remembers: it knows no time, and nothing about what goes through.
 */

export interface TurnstileLimits {
  /** Under way at once. */
  readonly maxTurns: number;
  /** Of these, of one network: whoever holds all of these up holds up nobody else. */
  readonly maxTurnsPerNetwork: number;
  /** In line, of all networks. */
  readonly maxWaiting: number;
}

export interface Turnstile<Item> {
  /** `turn` = it is its turn already, and `onTurn` was called; `waits` = that comes later; `full` = it may not even wait. */
  enter(network: string, item: Item): 'turn' | 'waits' | 'full';
  /** Its turn is over, or it does not wait any longer. What is not known is ignored. */
  leave(item: Item): void;
  stats(): { readonly underWay: number; readonly waiting: number };
}

interface Network<Item> {
  readonly name: string;
  underWay: number;
  /** Longest waiting first. */
  readonly line: Set<Item>;
}

export function createTurnstile<Item>(limits: TurnstileLimits, onTurn: (item: Item) => void): Turnstile<Item> {
  /** by name; only those with something under way or in line */
  const networks = new Map<string, Network<Item>>();
  const whereabouts = new Map<Item, { readonly network: Network<Item>; readonly isUnderWay: boolean }>();
  /** Networks whose next one may go as soon as there is room, in the order of their turns. */
  const ready = new Set<Network<Item>>();
  let underWay = 0;
  let waiting = 0;
  let letting = false;

  function networkOf(name: string): Network<Item> {
    const known = networks.get(name);
    if (known) return known;
    const made: Network<Item> = { name, underWay: 0, line: new Set() };
    networks.set(name, made);
    return made;
  }

  /** A network stands in the row of turns while it has somebody in line and less than its share under way. */
  function settle(network: Network<Item>): void {
    if (network.line.size === 0 || network.underWay >= limits.maxTurnsPerNetwork) ready.delete(network);
    else ready.add(network);
    if (network.line.size === 0 && network.underWay === 0) networks.delete(network.name);
  }

  /** What is let through may leave at once: that is worked off here and not by calling deeper and deeper. */
  function letThrough(): void {
    if (letting) return;
    letting = true;
    try {
      for (let network = next(); network; network = next()) {
        const [item] = network.line;
        // Behind the others until its next turn.
        ready.delete(network);
        if (item !== undefined) begin(network, item);
        settle(network);
        if (item !== undefined) onTurn(item);
      }
    } finally {
      letting = false;
    }
  }

  function next(): Network<Item> | undefined {
    return underWay < limits.maxTurns ? ready.values().next().value : undefined;
  }

  function begin(network: Network<Item>, item: Item): void {
    network.line.delete(item);
    waiting -= 1;
    network.underWay += 1;
    underWay += 1;
    whereabouts.set(item, { network, isUnderWay: true });
  }

  return {
    enter(name, item) {
      const network = networkOf(name);
      const hasRoom = underWay < limits.maxTurns && network.underWay < limits.maxTurnsPerNetwork;
      if (!hasRoom && waiting >= limits.maxWaiting) {
        settle(network);
        return 'full';
      }
      network.line.add(item);
      waiting += 1;
      whereabouts.set(item, { network, isUnderWay: false });
      settle(network);
      letThrough();
      return whereabouts.get(item)?.isUnderWay === false ? 'waits' : 'turn';
    },
    leave(item) {
      const place = whereabouts.get(item);
      if (!place) return;
      whereabouts.delete(item);
      const { network, isUnderWay } = place;
      if (isUnderWay) {
        network.underWay -= 1;
        underWay -= 1;
      } else {
        network.line.delete(item);
        waiting -= 1;
      }
      settle(network);
      letThrough();
    },
    stats: () => ({ underWay, waiting }),
  };
}
