/** What a listener gives to the broker, and what it asks of it. The broker itself only sees byte streams. */
import type { Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ErrorCode } from '../contract/kernel/errors.ts';
import type { Connection } from './connection.ts';

/** Who the other end is, as its certificate says; the certificate has been checked. */
export interface PeerIdentity {
  readonly commonName: string;
  /** Lower-case hex. */
  readonly serial: string;
}

/** What a listener knows about a stream that it hands over. */
export interface Handover {
  readonly peer?: PeerIdentity;
  /** Called when the CONNACK said yes. */
  readonly onLogin?: () => void;
}

export interface Door {
  /**
   * Counts a socket against the limits, or destroys it. Every socket comes here first, before TLS or HTTP: from here on
   * the time runs in which it must log in, unless the listener has it wait first and bounds that itself.
   */
  admit(socket: Duplex, remoteAddress: string, wait?: { readonly loginBegins: 'later' }): Connection | undefined;
  /** From here on the time runs in which an admitted socket must log in. */
  beginLogin(connection: Connection): void;
  /** Takes over the byte stream of an admitted socket. */
  take(connection: Connection, stream: Duplex, handover?: Handover): void;
  /** Says why a socket comes no further, and closes it. */
  refuse(connection: Connection, reason: ErrorCode, detail: string): void;
  /** Closes the connections whose certificate has one of these serials; how many. */
  closeSerials(revoked: ReadonlySet<string>): number;
}

export interface Listener {
  /** Key in `ports()`. */
  readonly name: string;
  /** Resolves with the port. */
  start(door: Door): Promise<number>;
  /** Takes no further connection. Those that are open are the broker's to close. */
  stop(): void;
  /** Reads its files again; what it has stays in use when they are not good. */
  reload?(): Promise<void>;
}

export interface ListenAddress {
  readonly host: string;
  /** 0 = any free one. */
  readonly port: number;
}

/** Resolves with the port. */
export function listen(server: Server, address: ListenAddress): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, () => {
      server.off('error', reject);
      // Out of file descriptors and the like: the server goes on listening, and the open connections are fine.
      server.on('error', () => {});
      const bound = server.address();
      resolve(typeof bound === 'object' && bound ? bound.port : address.port);
    });
  });
}

/** An acknowledgement is four bytes: waiting for more to send with it would cost up to 40 ms. */
export function prepareSocket(socket: Socket): string {
  socket.setNoDelay(true);
  return socket.remoteAddress ?? 'unknown';
}
