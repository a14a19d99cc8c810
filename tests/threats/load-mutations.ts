/** Too large, too slow, too much or broken at the MQTT door: threats 8–11. */
import { inFile, type Mutation } from './mutation.ts';

const login = inFile('tests/unit/broker-login.test.ts')('is refused with %s');
const broker = inFile('tests/unit/broker.test.ts');
const limits = inFile('tests/unit/broker-limits.test.ts');
const parts = inFile('tests/unit/broker-parts.test.ts');
const sockets = inFile('tests/integration/broker.test.ts');
const interoperability = inFile('tests/integration/mqtt-interoperability.test.ts');
const storm = inFile('tests/integration/broker-tls-storm.test.ts');

export const LOAD_MUTATIONS: readonly Mutation[] = [
  {
    threat: 8,
    without: 'the limit on the length of packets',
    file: 'broker/guard-parser.ts',
    find: 'if (parser.packet.length <= guard.limitBytes()) return true;',
    replace: 'if (parser.packet.length >= 0) return true;',
    tests: broker('takes 256 KiB after the login and closes on one byte more'),
  },
  {
    threat: 8,
    without: 'the smaller limit before the login',
    file: 'broker/create-broker.ts',
    find: '(connection.loggedIn ? options.maxPacketBytes : options.maxPacketBytesBeforeLogin)',
    replace: 'options.maxPacketBytes',
    tests: broker('closes on a packet over 4 KiB before the login, from its length alone'),
  },
  {
    threat: 9,
    without: 'the time for logging in',
    file: 'broker/entrance.ts',
    find: "if (!connection.loggedIn) end(connection, 'MQTT_LOGIN_TIMEOUT'",
    replace: "if (connection.ended) end(connection, 'MQTT_LOGIN_TIMEOUT'",
    tests: broker(
      'closes who says nothing, who says it too slowly, and who waits for a directory that does not answer',
    ),
  },
  {
    threat: 9,
    without: 'the limits of keep-alive',
    file: 'broker/login.ts',
    find: 'if (keepaliveS < limits.keepaliveMinS || keepaliveS > limits.keepaliveMaxS) {',
    replace: 'if (keepaliveS < 0) {',
    tests: login,
  },
  {
    threat: 9,
    without: 'the drain timeout',
    file: 'broker/create-broker.ts',
    find: 'drainTimeout: options.drainTimeoutMs,',
    replace: 'drainTimeout: 60_000,',
    tests: sockets('is closed after the drain timeout, and what waited for it is given up'),
  },
  {
    threat: 9,
    without: 'closing an integration that does not read',
    file: 'broker/integrations/link.ts',
    find: 'stuckTimer ??= setTimeout(events.stuck, limits.drainTimeoutMs).unref();',
    replace: 'stuckTimer ??= undefined;',
    tests: interoperability(
      'and holds nobody up when it stops reading: it loses its oldest messages, counted, and then its connection',
    ),
  },
  {
    threat: 9,
    without: 'the bound on what waits for an integration',
    file: 'broker/integrations/session.ts',
    find: 'return fits && queue.length < limits.maxQueuedMessages;',
    replace: 'return fits || queue.length >= 0;',
    tests: interoperability('only as much as fits waits for one that is away, the newest, and not for ever'),
  },
  {
    threat: 9,
    without: 'waiting for the whole greeting before the turn of a handshake',
    file: 'broker/handshake-queue.ts',
    find: "if (guest.stage === 'greeting' && isGreeting(guest.sent)) lineUp(guest);",
    replace: "if (guest.stage === 'greeting') lineUp(guest);",
    tests: storm('has no turn before its greeting is complete, and is closed when that takes too long'),
  },
  {
    threat: 9,
    without: 'the time for a handshake',
    file: 'broker/handshake-queue.ts',
    find: 'limitTo(guest, limits.handshakeTimeoutMs,',
    replace: 'limitTo(guest, 60_000,',
    tests: storm('loses its turn when its time is over, and the next one of its address has it'),
  },
  {
    threat: 10,
    without: 'the pace of a device',
    file: 'broker/limits.ts',
    find: 'const ofDevice = book(budget.messages, devicePace, now);',
    replace: 'const ofDevice = 0;',
    tests: limits('is read only at its pace, acknowledged in order, and loses nothing'),
  },
  {
    threat: 10,
    without: 'closing a flood',
    file: 'broker/limits.ts',
    find: 'if (overMs > rates.floodCloseMs) return',
    replace: 'if (overMs > Number.MAX_VALUE) return',
    tests: limits('is closed when it does not stop, and the others are served as if it were not there'),
  },
  {
    threat: 10,
    without: 'the limit on logins',
    file: 'broker/limits.ts',
    find: 'login: (budget, now) => tryBook(budget.logins, loginPace, now),',
    replace: 'login: () => true,',
    tests: limits('is told to come later, and whoever is connected stays'),
  },
  {
    threat: 10,
    without: 'the limit on control packets',
    file: 'broker/create-broker.ts',
    find: 'if (tryBook(connection.controls, controlPace, monotonicMs(), costOf(packet))) return;',
    replace: 'if (costOf(packet) >= 0) return;',
    tests: limits('close the connection when there are too many: %s'),
  },
  {
    threat: 10,
    without: 'the limit on connections of an address',
    file: 'broker/limits.ts',
    find: 'if (count >= maxPerAddress) return false;',
    replace: '',
    tests: limits('are limited, and others still get in'),
  },
  {
    threat: 10,
    without: 'the bound on handshakes under way',
    file: 'broker/handshake-queue.ts',
    find: 'maxTurns: limits.maxHandshakes,',
    replace: 'maxTurns: 1_000_000,',
    tests: storm('gets in, every device at its first attempt, with only a few handshakes under way at a time'),
  },
  {
    threat: 10,
    without: 'the share of one address in them',
    file: 'broker/handshake-queue.ts',
    find: 'maxTurnsPerNetwork: limits.maxHandshakesPerAddress,',
    replace: 'maxTurnsPerNetwork: limits.maxHandshakes,',
    tests: storm('cannot hold the turns of other addresses'),
  },
  {
    threat: 11,
    without: 'the catch around the parser',
    file: 'broker/guard-parser.ts',
    find: 'guard.onThrow(error);',
    replace: 'throw error;',
    tests: parts('turns a throw while packets are handled into the end of the connection'),
  },
  {
    threat: 11,
    without: 'the wrapper around a logger that throws',
    file: 'broker/create-broker.ts',
    find: 'const logger = unbreakableLogger(needs.logger);',
    replace: 'const logger = needs.logger;',
    tests: broker('survives a presence listener, a logger and metrics that throw'),
  },
];
