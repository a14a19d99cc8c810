/** Plain TCP. */
import { createServer, type Server } from 'node:net';
import { type ListenAddress, type Listener, listen, prepareSocket } from './listener.ts';

export function createTcpListener(address: ListenAddress): Listener {
  let server: Server | undefined;
  return {
    name: 'mqtt',
    start(door) {
      server = createServer((socket) => {
        const connection = door.admit(socket, prepareSocket(socket));
        if (connection) door.take(connection, socket);
      });
      return listen(server, address);
    },
    stop: () => void server?.close(),
  };
}
