/** Logs one device in: CONNECT over TCP or TLS and the server's answer to it. What follows is the caller's. */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import mqttPacket from 'mqtt-packet';
import type { SwarmDevice } from './swarm.ts';

const CONNACK = 2;

export interface DialTarget {
  readonly host?: string;
  readonly port: number;
  /** TLS with these authorities (PEM); the server's name must be localhost. */
  readonly ca?: string;
  readonly keepaliveS?: number;
}

/** The socket of the logged-in device, or `undefined` when it was refused or could not be reached. */
export function dial(target: DialTarget, device: SwarmDevice): Promise<Socket | undefined> {
  const address = { host: target.host ?? '127.0.0.1', port: target.port, noDelay: true };
  const { ca } = target;
  const { clientId, secret, cert, key } = device;
  const own = cert !== undefined && key !== undefined ? { cert, key } : {};
  const socket =
    ca === undefined ? connectTcp(address) : connectTls({ ...address, ca, servername: 'localhost', ...own });
  socket.write(
    mqttPacket.generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId,
      username: clientId,
      password: Buffer.from(secret),
      clean: true,
      keepalive: target.keepaliveS ?? 1_200,
    }),
  );
  return new Promise((resolve) => {
    socket.on('error', () => {}); // 'close' follows; what it was does not change the result.
    socket.once('close', () => resolve(undefined));
    socket.once('data', (answer) => {
      if (answer[0] === CONNACK << 4 && answer[3] === 0) resolve(socket);
      else socket.destroy();
    });
  });
}
