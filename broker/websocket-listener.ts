/**
 * MQTT over WebSocket (MQTT 3.1.1, 6) for clients that cannot open plain sockets. Only path `/mqtt` with subprotocol
 * `mqtt`; everything else is answered with an HTTP error and closed.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, type WebSocket, WebSocketServer } from 'ws';
import { AppError } from '../contract/kernel/errors.ts';
import { type Pace, tryBook } from './bucket.ts';
import type { Connection } from './connection.ts';
import { type Door, type ListenAddress, type Listener, listen, prepareSocket } from './listener.ts';

const PATH = '/mqtt';
const SUBPROTOCOL = 'mqtt';

interface WebSocketLimits {
  readonly maxPacketBytesBeforeLogin: number;
  readonly maxPacketBytes: number;
  readonly controlPacketsPerS: number;
  readonly controlPacketsBurst: number;
}

/** A packet and its fixed header in one frame; what clients send together besides fits into one read. */
const FRAME_ROOM_BYTES = 64 * 1024;

export function createWebSocketListener(address: ListenAddress, limits: WebSocketLimits): Listener {
  const pace: Pace = { perSecond: limits.controlPacketsPerS, burst: limits.controlPacketsBurst };
  let server: Server | undefined;
  const admitted = new WeakMap<Duplex, Connection>();
  const sockets = new WebSocketServer({
    noServer: true,
    // Compression of a device's few bytes costs 300 KB of memory a connection, and is one more thing to attack.
    perMessageDeflate: false,
    maxPayload: limits.maxPacketBytes + FRAME_ROOM_BYTES,
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  });

  function upgrade(door: Door, request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const connection = admitted.get(socket);
    if (!connection) {
      socket.destroy();
      return;
    }
    const wrong = faultOf(request);
    if (wrong) {
      socket.write(`HTTP/1.1 ${wrong === 'path' ? '404 Not Found' : '400 Bad Request'}\r\nConnection: close\r\n\r\n`);
      door.refuse(connection, 'MQTT_PROTOCOL', `WebSocket: wrong ${wrong}`);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => open(door, connection, webSocket));
  }

  function open(door: Door, connection: Connection, webSocket: WebSocket): void {
    const setMaxPayload = frameLimitOf(webSocket);
    setMaxPayload(limits.maxPacketBytesBeforeLogin + FRAME_ROOM_BYTES);
    // MQTT 3.1.1, 6.0: control packets travel in binary frames.
    webSocket.on('message', (_data, isBinary) => {
      if (!isBinary) door.refuse(connection, 'MQTT_PROTOCOL', 'WebSocket: a text frame');
    });
    // Answered by the package itself; to us they cost as much as the pings of MQTT.
    webSocket.on('ping', () => {
      if (!tryBook(connection.controls, pace, performance.now())) {
        door.refuse(connection, 'MQTT_RATE', `more than ${pace.perSecond} WebSocket pings a second`);
      }
    });
    const onLogin = (): void => setMaxPayload(limits.maxPacketBytes + FRAME_ROOM_BYTES);
    door.take(connection, createWebSocketStream(webSocket), { onLogin });
  }

  return {
    name: 'ws',
    start(door) {
      server = createServer((_request, response) => {
        response.writeHead(426, { connection: 'close', upgrade: 'websocket' }).end('MQTT over WebSocket only\n');
      });
      // A socket that sends its header slowly is closed by the broker's own login time.
      server.on('connection', (socket: Socket) => {
        const connection = door.admit(socket, prepareSocket(socket));
        if (connection) admitted.set(socket, connection);
      });
      server.on('upgrade', (request, socket, head) => upgrade(door, request, socket, head));
      return listen(server, address);
    },
    stop: () => void server?.close(),
  };
}

/**
 * Sets how much one frame may hold. `ws` knows one limit for all connections, but who has not logged in must not be given
 * the memory of the largest packet. A private field of the pinned version: without it connections are refused.
 */
function frameLimitOf(webSocket: WebSocket): (bytes: number) => void {
  const { _receiver: receiver } = webSocket as WebSocket & { readonly _receiver?: { _maxPayload?: number } };
  if (typeof receiver?._maxPayload !== 'number') {
    webSocket.terminate();
    throw new AppError('INTERNAL', 'ws changed: the frame limit does not fit');
  }
  return (bytes) => {
    receiver._maxPayload = bytes;
  };
}

function faultOf(request: IncomingMessage): 'path' | 'subprotocol' | undefined {
  const [path] = (request.url ?? '').split('?');
  if (path !== PATH) return 'path';
  const offered = String(request.headers['sec-websocket-protocol'] ?? '').split(',');
  return offered.some((one) => one.trim() === SUBPROTOCOL) ? undefined : 'subprotocol';
}
