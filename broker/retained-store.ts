/**
 * Retained messages in memory, bounded in number and bytes. What we keep for devices (`twin/desired`) goes before what
 * devices keep with us: on overflow the oldest upstream message leaves first, and a downstream one that still finds no
 * room is refused, so that its sender knows.
 */
import { isUpstream, parseTopic } from '../contract/wire/topics.ts';

export interface RetainedMessage {
  readonly cmd: 'publish';
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: true;
}

export type Retention = 'kept' | 'removed' | 'noRoom';

export interface RetainedStore {
  /** An empty payload removes the message of its topic (MQTT 3.1.1, 3.3.1.3). */
  store(message: { topic: string; payload: Uint8Array | string; qos?: 0 | 1 | 2 | undefined }): Retention;
  /** Messages of these topics (no wildcards). */
  find(topics: readonly string[]): RetainedMessage[];
  /** Messages whose topic passes: looks at all of them. */
  filter(passes: (topic: string) => boolean): RetainedMessage[];
  size(): number;
  bytes(): number;
}

export function createRetainedStore(
  limits: { readonly maxMessages: number; readonly maxBytes: number },
  onOverflow: () => void,
): RetainedStore {
  /** by topic, oldest first */
  const upstream = new Map<string, RetainedMessage>();
  /** by topic */
  const downstream = new Map<string, RetainedMessage>();
  let bytes = 0;
  const size = (): number => upstream.size + downstream.size;
  const fits = (more: number): boolean => size() < limits.maxMessages && bytes + more <= limits.maxBytes;

  const remove = (from: Map<string, RetainedMessage>, topic: string): void => {
    bytes -= from.get(topic)?.payload.length ?? 0;
    from.delete(topic);
  };

  const makeRoom = (needed: number): boolean => {
    for (const oldest of upstream.keys()) {
      if (fits(needed)) return true;
      remove(upstream, oldest);
      onOverflow();
    }
    return fits(needed);
  };

  return {
    store(message) {
      const kind = isUpstream(parseTopic(message.topic)?.channel ?? '') ? upstream : downstream;
      remove(kind, message.topic);
      // A copy: the payload is a view on a read buffer of 64 KiB that would otherwise stay in memory whole.
      const payload = Buffer.from(message.payload);
      if (payload.length === 0) return 'removed';
      if (payload.length > limits.maxBytes || !makeRoom(payload.length)) {
        onOverflow();
        return 'noRoom';
      }
      bytes += payload.length;
      kind.set(message.topic, { cmd: 'publish', topic: message.topic, payload, qos: message.qos ?? 0, retain: true });
      return 'kept';
    },
    find: (topics) => topics.flatMap((topic) => downstream.get(topic) ?? upstream.get(topic) ?? []),
    filter: (passes) =>
      [upstream, downstream].flatMap((kind) => [...kind.values()].filter(({ topic }) => passes(topic))),
    size,
    bytes: () => bytes,
  };
}
