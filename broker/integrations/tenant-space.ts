/** What the integrations of one tenant share: their sessions, what they retain for each other, and who gets a message. */
import type { RetainedStore } from '../retained-store.ts';
import { mayRead } from './rules.ts';
import type { Message, Qos, Session } from './session.ts';
import { matches } from './topic-filter.ts';

/** Topics whose readers are remembered. A fleet sends the same ones over and over. */
const MAX_REMEMBERED_TOPICS = 20_000;

interface Reader {
  readonly session: Session;
  /** The highest of all its filters that match (3.3.5): a message comes once, however many do. */
  readonly qos: Qos;
}

export interface TenantSpace {
  readonly sessions: Set<Session>;
  readonly retained: RetainedStore;
  /** Gives a message to all who read its topic. The payload is copied, and only when there is a reader. */
  route(topic: string, payload: Uint8Array | string, qos: Qos): void;
  /** Call it when filters or sessions changed. */
  changed(): void;
}

export function createTenantSpace(tenant: string, retained: RetainedStore): TenantSpace {
  const sessions = new Set<Session>();
  /** by topic */
  const readers = new Map<string, readonly Reader[]>();

  function findReaders(topic: string): readonly Reader[] {
    if (!mayRead(tenant, topic)) return [];
    const levels = topic.split('/');
    return [...sessions].flatMap((session) => {
      const fitting = [...session.filters.values()].filter((filter) => matches(filter.levels, levels));
      return fitting.length === 0 ? [] : [{ session, qos: Math.max(...fitting.map((one) => one.qos)) as Qos }];
    });
  }

  function readersOf(topic: string): readonly Reader[] {
    const known = readers.get(topic);
    if (known) return known;
    const found = findReaders(topic);
    if (readers.size >= MAX_REMEMBERED_TOPICS) readers.clear();
    readers.set(topic, found);
    return found;
  }

  return {
    sessions,
    retained,
    route(topic, payload, qos) {
      const all = readersOf(topic);
      if (all.length === 0) return;
      // A copy: the payload is a view on a read buffer of 64 KiB that would otherwise stay in memory whole.
      const copy = Buffer.from(payload);
      for (const { session, qos: granted } of all) {
        session.offer({ topic, payload: copy, qos: Math.min(qos, granted) as Qos, retain: false });
      }
    },
    changed: () => readers.clear(),
  };
}

/** Retained messages under one filter, as a new subscription is sent them. */
export function replaysOf(
  stores: readonly RetainedStore[],
  tenant: string,
  { levels, qos }: { readonly levels: readonly string[]; readonly qos: Qos },
): Message[] {
  // What all matching topics begin with: most messages are of other tenants, and are passed over quickly.
  const prefix = `${levels.slice(0, 3).join('/')}/`;
  const isMeant = (topic: string): boolean =>
    topic.startsWith(prefix) && matches(levels, topic.split('/')) && mayRead(tenant, topic);
  const found = stores.flatMap((store) => store.filter(isMeant));
  return found.map(({ topic, payload, qos: own }) => ({
    topic,
    payload,
    qos: Math.min(own, qos) as Qos,
    retain: true,
  }));
}
