/**
 * Carries messages to the connections that subscribed to exactly their topic; Aedes takes it as its `mq`.
 *
 * The emitter that Aedes brings matches wildcards and lets 100 messages through at a time. Behind it one connection
 * that stops reading takes the 100 places and holds up every publisher until the drain timeout, and a queue of
 * messages without a subscriber ends the process (call stack exceeded). Devices subscribe to whole topics only, so a
 * map does: what waits for one connection is in nobody's way, and whoever has no subscriber completes at once, through
 * setImmediate. How much may wait for one connection is bounded by whoever sends (`maxPendingPerDevice`).
 */

interface BusPacket {
  readonly topic: string;
}

type Done = (error?: Error) => void;
type Listener = (packet: BusPacket, done: () => void) => void;

export interface TopicBus {
  emit(packet: BusPacket, done?: Done): this;
  on(topic: string, listener: Listener, done?: () => void): this;
  removeListener(topic: string, listener: Listener, done?: () => void): this;
  close(done?: () => void): this;
  /** Whether somebody listens to exactly this topic. */
  hasListener(topic: string): boolean;
}

export function createTopicBus(): TopicBus {
  /** by topic */
  const listeners = new Map<string, Set<Listener>>();
  let closed = false;

  return {
    emit(packet, done = () => {}) {
      const interested = closed ? undefined : listeners.get(packet.topic);
      if (interested) sendToAll(interested, packet, done);
      else setImmediate(done);
      return this;
    },
    // Both complete at once: Aedes then finishes closing a taken-over connection before it registers the new one.
    on(topic, listener, done) {
      const interested = listeners.get(topic) ?? new Set();
      listeners.set(topic, interested.add(listener));
      done?.();
      return this;
    },
    removeListener(topic, listener, done) {
      const interested = listeners.get(topic);
      interested?.delete(listener);
      if (interested?.size === 0) listeners.delete(topic);
      done?.();
      return this;
    },
    close(done) {
      closed = true;
      listeners.clear();
      if (done) setImmediate(done);
      return this;
    },
    hasListener: (topic) => listeners.has(topic),
  };
}

function sendToAll(interested: ReadonlySet<Listener>, packet: BusPacket, done: Done): void {
  let open = interested.size;
  const one = (): void => {
    open -= 1;
    if (open === 0) done();
  };
  // A copy: a listener may leave while the message goes round.
  for (const listener of [...interested]) listener(packet, one);
}
