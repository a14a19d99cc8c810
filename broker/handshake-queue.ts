/**
 * Where TLS sockets wait for their handshake. A handshake costs milliseconds of processor time. When a whole fleet comes
 * back at once and all of them are begun together, each takes as long as all: the login time of every one ends, all that
 * work is thrown away, and the fleet tries again, for ever. So only a few are under way at a time; the others cost
 * nothing but their place in line, and who gives up meanwhile leaves it without having cost a handshake.
 *
 * A socket is in line only once its first record is complete: who says nothing, or says it slowly, holds no turn.
 */
import type { Socket } from 'node:net';
import type { Metrics } from '../contract/ports/services.ts';
import type { Connection } from './connection.ts';
import { networkOf } from './limits.ts';
import type { Door } from './listener.ts';
import type { BrokerOptions } from './options.ts';
import { createTurnstile } from './turnstile.ts';

export type HandshakeLimits = Pick<
  BrokerOptions,
  | 'loginTimeoutMs'
  | 'maxHandshakes'
  | 'maxHandshakesPerAddress'
  | 'maxHandshakesWaiting'
  | 'handshakeWaitMs'
  | 'handshakeTimeoutMs'
>;

export interface HandshakeQueue {
  /** A socket that nothing was read from yet. It is handed to `begin` when its turn comes, with all that it has sent. */
  arrive(socket: Socket, connection: Connection): void;
  /** The handshake is through. One that breaks is over with its socket. */
  done(connection: Connection): void;
}

interface Guest {
  readonly socket: Socket;
  readonly connection: Connection;
  stage: 'greeting' | 'waiting' | 'underWay';
  /** What it has sent before its turn. */
  sent: Buffer;
  timer: NodeJS.Timeout;
}

/** Content type of a TLS record that holds a handshake message (RFC 8446, 5.1), and the length of a record's header. */
const HANDSHAKE_RECORD = 22;
const RECORD_HEADER_BYTES = 5;
/** One record and a little. A client sends its ClientHello, some 300 to 2,000 bytes, and then waits for our answer. */
const MAX_SENT_BYTES = 17 * 1024;

export function createHandshakeQueue(
  limits: HandshakeLimits,
  needs: { readonly door: Pick<Door, 'beginLogin' | 'refuse'>; readonly metrics: Metrics },
  begin: (socket: Socket) => void,
): HandshakeQueue {
  const { door, metrics } = needs;
  /** Bounded by the connections that the door admits. */
  const guests = new Map<Connection, Guest>();
  const turnstile = createTurnstile<Guest>(
    {
      maxTurns: limits.maxHandshakes,
      maxTurnsPerNetwork: limits.maxHandshakesPerAddress,
      maxWaiting: limits.maxHandshakesWaiting,
    },
    takeTurn,
  );

  function report(): void {
    const { underWay, waiting } = turnstile.stats();
    metrics.gauge('presage_mqtt_handshakes', 'TLS handshakes under way', underWay);
    metrics.gauge('presage_mqtt_handshakes_waiting', 'Sockets that wait for their TLS handshake', waiting);
  }

  function read(guest: Guest): void {
    for (let bytes = take(guest.socket); bytes; bytes = take(guest.socket)) {
      guest.sent = guest.sent.length === 0 ? bytes : Buffer.concat([guest.sent, bytes]);
      if (guest.sent.length > MAX_SENT_BYTES) {
        door.refuse(guest.connection, 'MQTT_PACKET_SIZE', `${guest.sent.length} bytes before the handshake`);
        return;
      }
    }
    if (guest.stage === 'greeting' && isGreeting(guest.sent)) lineUp(guest);
  }

  function lineUp(guest: Guest): void {
    const { connection } = guest;
    guest.stage = 'waiting';
    limitTo(guest, limits.handshakeWaitMs, () =>
      door.refuse(connection, 'MQTT_HANDSHAKES', `no turn for the handshake in ${limits.handshakeWaitMs} ms`),
    );
    const place = turnstile.enter(networkOf(connection.remoteAddress), guest);
    if (place === 'full') {
      door.refuse(connection, 'MQTT_HANDSHAKES', `${limits.maxHandshakesWaiting} sockets wait for their handshake`);
    }
    report();
  }

  function takeTurn(guest: Guest): void {
    const { socket, connection } = guest;
    guest.stage = 'underWay';
    limitTo(guest, limits.handshakeTimeoutMs, () =>
      door.refuse(connection, 'MQTT_LOGIN_TIMEOUT', `no TLS handshake in ${limits.handshakeTimeoutMs} ms`),
    );
    socket.removeAllListeners('readable');
    if (guest.sent.length > 0) socket.unshift(guest.sent);
    guest.sent = EMPTY;
    door.beginLogin(connection);
    begin(socket);
  }

  function limitTo(guest: Guest, ms: number, tooLate: () => void): void {
    clearTimeout(guest.timer);
    guest.timer = setTimeout(tooLate, ms);
  }

  function leave(connection: Connection): void {
    const guest = guests.get(connection);
    if (!guest) return;
    clearTimeout(guest.timer);
    guests.delete(connection);
    if (guest.stage === 'waiting' && !connection.ended) {
      metrics.count(
        'presage_mqtt_handshakes_given_up_total',
        'Sockets that were closed by the client before their turn',
      );
    }
    turnstile.leave(guest);
    report();
  }

  return {
    arrive(socket, connection) {
      const timer = setTimeout(() => {
        door.refuse(connection, 'MQTT_LOGIN_TIMEOUT', `no TLS greeting in ${limits.loginTimeoutMs} ms`);
      }, limits.loginTimeoutMs);
      const guest: Guest = { socket, connection, stage: 'greeting', sent: EMPTY, timer };
      guests.set(connection, guest);
      socket.once('close', () => leave(connection));
      socket.on('readable', () => read(guest));
    },
    done: leave,
  };
}

const EMPTY = Buffer.alloc(0);

const take = (socket: Socket): Buffer | null => (socket.destroyed ? null : socket.read());

/** Whether the first record is there, or it is none: to say what is wrong with it is the business of TLS. */
function isGreeting(sent: Buffer): boolean {
  if (sent.length === 0) return false;
  if (sent[0] !== HANDSHAKE_RECORD) return true;
  return sent.length >= RECORD_HEADER_BYTES && sent.length >= RECORD_HEADER_BYTES + sent.readUInt16BE(3);
}
