/** Plain TCP. TLS and WebSocket become further makers of `Listener`; the broker only sees byte streams. */
import { createServer, type Server } from 'node:net';
import type { Duplex } from 'node:stream';

/** Takes over a byte stream as a connection. */
export type AcceptStream = (stream: Duplex, remoteAddress: string) => void;

export interface Listener {
  /** Key in `ports()`. */
  readonly name: string;
  /** Resolves with the port. */
  start(accept: AcceptStream): Promise<number>;
  /** Takes no further connection. Those that are open are the broker's to close. */
  stop(): void;
}

export function createTcpListener(options: { readonly host: string; readonly port: number }): Listener {
  let server: Server | undefined;
  return {
    name: 'mqtt',
    start(accept) {
      server = createServer((socket) => {
        // An acknowledgement is four bytes: waiting for more to send with it would cost up to 40 ms.
        socket.setNoDelay(true);
        accept(socket, socket.remoteAddress ?? 'unknown');
      });
      return listen(server, options);
    },
    stop: () => void server?.close(),
  };
}

function listen(server: Server, options: { readonly host: string; readonly port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, () => {
      server.off('error', reject);
      // Out of file descriptors and the like: the server goes on listening, and the open connections are fine.
      server.on('error', () => {});
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : options.port);
    });
  });
}
