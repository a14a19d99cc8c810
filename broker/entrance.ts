/** Counts connections in and out: how many may be open, of all and of each address, and how long a login may take. */
import type { Duplex } from 'node:stream';
import type { ErrorCode } from '../contract/kernel/errors.ts';
import { type Connection, newConnection } from './connection.ts';
import type { DoorLog } from './door-log.ts';
import { createAddressLimit } from './limits.ts';
import type { Door } from './listener.ts';
import type { BrokerOptions } from './options.ts';

export interface Entrance extends Pick<Door, 'admit' | 'beginLogin'> {
  /** Refuses a connection and closes it. */
  end(connection: Connection, reason: ErrorCode, detail: string): void;
  /** Every open connection, logged in or not. */
  open(): Iterable<Connection>;
  size(): number;
  /** Lets nobody in from here on. */
  close(): void;
}

export interface EntranceNeeds {
  readonly door: Pick<DoorLog, 'refuse'>;
  /** An admitted connection is gone. */
  readonly onClosed: (connection: Connection) => void;
}

type EntranceLimits = Pick<BrokerOptions, 'maxConnections' | 'maxConnectionsPerAddress' | 'loginTimeoutMs'>;

export function createEntrance({ door, onClosed }: EntranceNeeds, limits: EntranceLimits): Entrance {
  const connections = new Set<Connection>();
  const addresses = createAddressLimit(limits.maxConnectionsPerAddress);
  let closed = false;

  function end(connection: Connection, reason: ErrorCode, detail: string): void {
    door.refuse(connection, reason, detail);
    connection.stream.destroy();
  }

  /** Why there is no room for a connection. */
  function fullFor(remoteAddress: string): string | undefined {
    if (closed || connections.size >= limits.maxConnections) return `${connections.size} connections are open`;
    if (addresses.enter(remoteAddress)) return undefined;
    return `${limits.maxConnectionsPerAddress} connections of this address are open`;
  }

  function beginLogin(connection: Connection): void {
    connection.loginTimer = setTimeout(() => {
      if (!connection.loggedIn) end(connection, 'MQTT_LOGIN_TIMEOUT', `no login in ${limits.loginTimeoutMs} ms`);
    }, limits.loginTimeoutMs);
  }

  function admit(
    socket: Duplex,
    remoteAddress: string,
    wait?: { readonly loginBegins: 'later' },
  ): Connection | undefined {
    const connection = newConnection(socket, remoteAddress);
    // How it broke before it carried MQTT does not matter; without a listener it would end the process.
    socket.on('error', () => {});
    const full = fullFor(remoteAddress);
    if (full) {
      end(connection, 'MQTT_CONNECTION_LIMIT', full);
      return undefined;
    }
    connections.add(connection);
    if (!wait) beginLogin(connection);
    socket.once('close', () => {
      clearTimeout(connection.loginTimer);
      addresses.leave(remoteAddress);
      connections.delete(connection);
      onClosed(connection);
    });
    return connection;
  }

  return {
    admit,
    beginLogin,
    end,
    open: () => connections,
    size: () => connections.size,
    close() {
      closed = true;
    },
  };
}
