/** Who is connected. A device is connected through its newest connection; that an older one closes changes nothing. */
import { clientIdOf, type DeviceRef } from '../contract/kernel/ids.ts';
import type { PresenceChange } from '../contract/ports/broker.ts';
import type { Clock } from '../contract/ports/services.ts';
import type { Connection } from './connection.ts';

export type PresenceListener = (change: PresenceChange) => void;

export interface ConnectionInfo extends DeviceRef {
  /** Epoch ms of the login. */
  readonly since: number;
  readonly remoteAddress: string;
}

export interface Presence {
  /** The connection now speaks for its device. Returns the one it takes over from. */
  enter(connection: Connection, ref: DeviceRef): Connection | undefined;
  /** The connection closed. */
  leave(connection: Connection): void;
  current(ref: DeviceRef): Connection | undefined;
  connections(): ConnectionInfo[];
  /** Returns how to stop listening. */
  subscribe(listener: PresenceListener): () => void;
  size(): number;
}

/** @param onListenerError what a listener threw; presence itself goes on */
export function createPresence(clock: Clock, onListenerError: (error: unknown) => void): Presence {
  /** by client id */
  const current = new Map<string, Connection>();
  const listeners = new Set<PresenceListener>();

  const tell = (ref: DeviceRef, connection: Connection, connected: boolean): void => {
    const { tenant, device } = ref;
    const { id, remoteAddress, peer } = connection;
    const certificate = peer ? { certificateSerial: peer.serial } : {};
    const change = { tenant, device, connected, at: clock.now(), remoteAddress, connection: id, ...certificate };
    for (const listener of listeners) {
      try {
        listener(change);
      } catch (error) {
        onListenerError(error);
      }
    }
  };

  return {
    enter(connection, ref) {
      const key = clientIdOf(ref);
      const previous = current.get(key);
      connection.connectedAt = clock.now();
      current.set(key, connection);
      tell(ref, connection, true);
      return previous;
    },
    leave(connection) {
      const { ref } = connection;
      if (!ref || current.get(clientIdOf(ref)) !== connection) return;
      current.delete(clientIdOf(ref));
      tell(ref, connection, false);
    },
    current: (ref) => current.get(clientIdOf(ref)),
    connections: () => [...current.values()].flatMap(infoOf),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    size: () => current.size,
  };
}

function infoOf({ ref, connectedAt, remoteAddress }: Connection): ConnectionInfo[] {
  if (!ref || connectedAt === undefined) return [];
  return [{ tenant: ref.tenant, device: ref.device, since: connectedAt, remoteAddress }];
}
