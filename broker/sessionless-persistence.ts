/**
 * What Aedes calls persistence, for connections without sessions: nothing to keep but retained messages.
 *
 * The memory persistence that Aedes brings keeps an empty queue for every client id that ever sent a PUBACK, retained
 * messages without bound, looks through all of them at every SUBSCRIBE, and publishes the wills of living clients when
 * the process was paused for longer than three heartbeats. None of that is needed where `clean` is always true.
 */
import { Readable } from 'node:stream';
import type { RetainedStore } from './retained-store.ts';

/** The calls that Aedes 1.2 makes. They are promises because Aedes chains on them; most are the same resolved one. */
export function createSessionlessPersistence(retained: RetainedStore) {
  const nothing = Promise.resolve(undefined);
  const none = Promise.resolve([]);
  const noSuchPacket = (): Promise<never> => Promise.reject(new Error('no such packet'));

  return {
    async setup(): Promise<void> {},
    storeRetained(packet: Parameters<RetainedStore['store']>[0]): Promise<undefined> {
      retained.store(packet);
      return nothing;
    },
    createRetainedStreamCombi: (topics: readonly string[]): Readable => Readable.from(retained.find(topics)),
    createRetainedStream: (topic: string): Readable => Readable.from(retained.find([topic])),

    // No subscription outlives its connection.
    addSubscriptions: () => nothing,
    removeSubscriptions: () => nothing,
    cleanSubscriptions: () => nothing,
    subscriptionsByClient: () => none,
    subscriptionsByTopic: () => none,
    countOffline: () => Promise.resolve({ subsCount: 0, clientsCount: 0 }),
    getClientList: (): Readable => Readable.from([]),

    // No message waits for an absent client.
    outgoingEnqueue: () => nothing,
    outgoingEnqueueCombi: () => nothing,
    outgoingUpdate: () => nothing,
    outgoingClearMessageId: () => nothing,
    outgoingStream: (): Readable => Readable.from([]),

    // QoS 2 is refused before Aedes comes to store anything.
    incomingStorePacket: noSuchPacket,
    incomingGetPacket: noSuchPacket,
    incomingDelPacket: noSuchPacket,
    cleanIncoming: () => nothing,

    // The will of a connection lives and ends with it, in Aedes' client object.
    putWill: () => nothing,
    getWill: () => nothing,
    delWill: () => nothing,
    streamWill: (): Readable => Readable.from([]),
    destroy: () => nothing,
  };
}
