/**
 * For each threat of docs/threats.md the defences that answer it, as edits that take one of them out, and the tests that
 * must notice. `npm run threats` makes them do it; tests/tidy/threats.test.ts keeps the list true meanwhile.
 */

export interface Mutation {
  /** Number of the threat in docs/threats.md. */
  readonly threat: number;
  /** What is taken out. */
  readonly without: string;
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  /** At least one of them must fail. Names as they stand in the file, placeholders included. */
  readonly tests: readonly { readonly file: string; readonly name: string }[];
}

type Tests = Mutation['tests'];
const inFile =
  (file: string) =>
  (...names: string[]): Tests =>
    names.map((name) => ({ file, name }));

const login = inFile('tests/unit/broker-login.test.ts')('is refused with %s');
const broker = inFile('tests/unit/broker.test.ts');
const limits = inFile('tests/unit/broker-limits.test.ts');
const parts = inFile('tests/unit/broker-parts.test.ts');
const protocol = inFile('tests/unit/broker-protocol.test.ts');
const sockets = inFile('tests/integration/broker.test.ts');
const tls = inFile('tests/integration/broker-tls.test.ts');
const interoperability = inFile('tests/integration/mqtt-interoperability.test.ts');
const composed = inFile('tests/integration/composed-threats.test.ts');
const payloads = inFile('tests/unit/threats-ingest.test.ts');
const decode = inFile('tests/unit/ingest-decode.test.ts');
const packed = inFile('tests/unit/ingest-packed.test.ts');
const followers = inFile('tests/unit/ingest-followers.test.ts');
const lines = inFile('tests/unit/store-influx-lines.test.ts');

export const MUTATIONS: readonly Mutation[] = [
  {
    threat: 1,
    without: 'closing the connections of a device',
    file: 'broker/create-broker.ts',
    find: 'connection.ref && clientIdOf(connection.ref) === clientId);',
    replace: "connection.ref && clientIdOf(connection.ref) === '');",
    tests: broker('closes every connection of a device on demand, also one that is logging in'),
  },
  {
    threat: 1,
    without: 'telling the broker that a device was blocked',
    file: 'api/create-api.ts',
    find: 'deps.broker.disconnect(ref);',
    replace: '',
    tests: composed('is cut off within five seconds, does not come back, and its neighbour notices nothing'),
  },
  {
    threat: 1,
    without: 'comparing the secret',
    file: 'api/accounts/secrets.ts',
    find: 'if (!key || !same) return undefined;',
    replace: 'if (!key) return undefined;',
    tests: composed('could not have come in with the secret of its neighbour either'),
  },
  {
    threat: 1,
    without: 'closing the connections of an integration',
    file: 'broker/create-broker.ts',
    find: 'connection.integration === userNameOf(ref));',
    replace: "connection.integration === '');",
    tests: interoperability('from the moment it is blocked: its connections end, and its sessions are gone'),
  },
  {
    threat: 2,
    without: 'client id = user name',
    file: 'broker/login.ts',
    find: '  if (username !== connect.clientId) {',
    replace: '  if (username === undefined) {',
    tests: [...login, ...broker('does not let a foreign device take a connection over')],
  },
  {
    threat: 3,
    without: 'common name = client id',
    file: 'broker/login.ts',
    find: 'if (peer.commonName !== connect.clientId) {',
    replace: "if (peer.commonName === '') {",
    tests: tls('refuses the certificate of another device, also with the right secret'),
  },
  {
    threat: 3,
    without: "OpenSSL's verdict about the certificate",
    file: 'broker/tls-listener.ts',
    find: 'if (!socket.authorized) return',
    replace: 'if (socket.destroyed) return',
    tests: tls('refuses a certificate that was issued to a server'),
  },
  {
    threat: 3,
    without: 'closing who is on the new revocation list',
    file: 'broker/tls-listener.ts',
    find: 'door?.closeSerials(next.revoked) ?? 0',
    replace: '0',
    tests: tls('closes the device whose certificate is revoked, does not let it in again, and keeps the others'),
  },
  {
    threat: 3,
    without: 'refusing session tickets',
    file: 'broker/tls-listener.ts',
    find: ', secureOptions: constants.SSL_OP_NO_TICKET }',
    replace: ' }',
    tests: tls('never resumes a session, which would skip the check of the certificate'),
  },
  {
    threat: 4,
    without: 'the check of filters',
    file: 'broker/create-broker.ts',
    find: 'if (connection.rules?.downstream.has(subscription.topic)) return done(null, subscription);',
    replace: 'if (connection.rules) return done(null, subscription);',
    tests: broker('grants the own downstream topics and nothing else, also in one packet'),
  },
  {
    threat: 4,
    without: "the tenant in an integration's filters",
    file: 'broker/integrations/rules.ts',
    find: 'return isOwn ? parseFilter(filter) : undefined;',
    replace: 'return isOwn || filter ? parseFilter(filter) : undefined;',
    tests: interoperability(
      'is answered with 0x80 when it subscribes to %s, and what it may have is granted beside it',
    ),
  },
  {
    threat: 4,
    without: 'the list of what an integration may read',
    file: 'broker/integrations/rules.ts',
    find: 'return parsed?.tenant === tenant && READABLE_CHANNELS.has(parsed.channel);',
    replace: 'return parsed?.tenant === tenant;',
    tests: interoperability('not with commands, configurations and log chunks, nor with another tenant'),
  },
  {
    threat: 5,
    without: 'own upstream topics only',
    file: 'broker/topic-rules.ts',
    find: 'const channel = rules.upstream.get(packet.topic);',
    replace: "const channel = rules.upstream.get(packet.topic) ?? 'telemetry';",
    tests: broker('closes who publishes to %s'),
  },
  {
    threat: 5,
    without: 'own exchange topics only, for integrations',
    file: 'broker/integrations/rules.ts',
    find: '!topic.startsWith(exchangeTopicsOf(tenant)) || !isTopicName(topic)',
    replace: '!isTopicName(topic)',
    tests: interoperability('is closed when it publishes to %s'),
  },
  {
    threat: 6,
    without: 'stripping the retain flag',
    file: 'broker/topic-rules.ts',
    find: 'stripRetain: packet.retain === true && !keeps',
    replace: 'stripRetain: packet.retain === undefined && !keeps',
    tests: broker('keeps the retain flag only where the contract says so'),
  },
  {
    threat: 6,
    without: 'refusing to retain commands',
    file: 'broker/downlink.ts',
    find: 'if (retain && !RETAINED_CHANNELS.has(channel)) {',
    replace: 'if (retain && RETAINED_CHANNELS.size === 0) {',
    tests: broker('says what became of a message to a device'),
  },
  {
    threat: 7,
    without: 'the topic of a last will',
    file: 'broker/login.ts',
    find: "if (will.topic !== topicOf(ref, 'state')) return",
    replace: "if (will.topic === '') return",
    tests: login,
  },
  {
    threat: 7,
    without: 'the QoS of a last will',
    file: 'broker/login.ts',
    find: 'if ((will.qos ?? 0) > 1) return',
    replace: 'if ((will.qos ?? 0) > 9) return',
    tests: [...login, ...broker('refuses a will with QoS 3, which would disconnect whoever it reaches')],
  },
  {
    threat: 7,
    without: 'the size of a last will',
    file: 'broker/login.ts',
    find: 'return bytes > maxBytes ?',
    replace: 'return bytes > maxBytes * 1_000 ?',
    tests: login,
  },
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
    file: 'broker/create-broker.ts',
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
  {
    threat: 12,
    without: 'the time of receipt',
    file: 'broker/uplink.ts',
    find: 'receivedAt: clock.now()',
    replace: 'receivedAt: 0',
    tests: broker('delivers a publish with its device, channel, payload and time, and acknowledges it'),
  },
  {
    threat: 12,
    without: 'the serial of the certificate',
    file: 'broker/presence.ts',
    find: 'peer ? { certificateSerial: peer.serial } : {}',
    replace: '{}',
    tests: inFile('tests/integration/receipts.test.ts')(
      'names its connection: by secret without, by certificate with the serial number',
    ),
  },
  {
    threat: 13,
    without: 'telling a conflict from a repeat',
    file: 'ingest/accept.ts',
    find: '? CONFLICT : SEEN;',
    replace: '? SEEN : SEEN;',
    tests: inFile('tests/unit/ingest-conflict.test.ts')('is quarantined and acknowledged, and the first message stays'),
  },
  {
    threat: 13,
    without: 'reporting a device that comes from two addresses',
    file: 'broker/create-broker.ts',
    find: 'if (!sameAddress) reportMove(',
    replace: 'if (connection.ended) reportMove(',
    tests: protocol('is reported when the second comes from another address: it may be a copy'),
  },
  {
    threat: 14,
    without: 'refusing fields that the contract does not know',
    file: 'ingest/decode.ts',
    find: 'for (const key in value) if (!KEYS.has(key)) return printable(key);',
    replace: '',
    tests: payloads('%s is quarantined, under whoever sent it'),
  },
  {
    threat: 15,
    without: 'the escaping of text in lines',
    file: 'ingest/store/influx-lines.ts',
    find: "return typeof value === 'string' ? escapeLine.quoted(value) : String(value);",
    replace: `return typeof value === 'string' ? \`"\${value}"\` : String(value);`,
    tests: lines('read back as they were meant, for 10,000 texts of any kind'),
  },
  {
    threat: 15,
    without: 'the escaping of measurement names',
    file: 'ingest/store/influx-lines.ts',
    find: 'model.replace(/^_|[^A-Za-z0-9_:-]/gu,',
    replace: 'model.replace(/^_/gu,',
    tests: lines('name any model so that it needs no escaping and stays distinct'),
  },
  {
    threat: 16,
    without: 'the check that numbers are finite',
    file: 'ingest/decode.ts',
    find: "return Number.isFinite(value) ? undefined : 'SIGNAL_NOT_FINITE';",
    replace: 'return undefined;',
    tests: decode('refuses %s'),
  },
  {
    threat: 16,
    without: 'the check that numbers are numbers',
    file: 'ingest/decode.ts',
    find: "if (typeof value !== 'number') return 'SIGNAL_TYPE';",
    replace: "if (typeof value !== 'number') return undefined;",
    tests: decode('refuses %s'),
  },
  {
    threat: 16,
    without: 'exact sequence numbers',
    file: 'ingest/decode.ts',
    find: 'return Number.isSafeInteger(value) && (value as number) >= 0;',
    replace: 'return Number.isInteger(value) && (value as number) >= 0;',
    tests: decode('refuses %s'),
  },
  {
    threat: 16,
    without: 'NaN in CBOR',
    file: 'ingest/unpack.ts',
    find: "if (Number.isNaN(value)) return '1e999';",
    replace: "if (Number.isNaN(value)) return '0';",
    tests: packed('refuses only the sample whose number is not finite, and keeps its neighbours'),
  },
  {
    threat: 17,
    without: 'the bound on the future',
    file: 'ingest/decode.ts',
    find: 'if (observedAt > context.now + MAX_FUTURE_MS) return',
    replace: 'if (observedAt > Number.MAX_VALUE) return',
    tests: decode('refuses %s'),
  },
  {
    threat: 17,
    without: 'the bound on the past',
    file: 'ingest/decode.ts',
    find: 'if (observedAt < EARLIEST_DEVICE_TIME_MS) return',
    replace: 'if (observedAt < 0) return',
    tests: decode('refuses %s'),
  },
  {
    threat: 18,
    without: 'refusing unknown signals',
    file: 'ingest/decode.ts',
    find: 'isHostileName(name) ? unknownName(name) : checkValue(signals[name], kind);',
    replace: 'isHostileName(name) ? undefined : checkValue(signals[name], kind);',
    tests: payloads('gets none of 10,000 new signals into the log, and every one of its messages is answered'),
  },
  {
    threat: 18,
    without: 'the bound on signals of a sample',
    file: 'ingest/decode.ts',
    find: 'if (count > MAX_SIGNALS_PER_SAMPLE) return',
    replace: 'if (count > MAX_PAYLOAD_BYTES) return',
    tests: decode('refuses a sample of more than 64 signals'),
  },
  {
    threat: 18,
    without: 'the bound on signals of a model',
    file: 'ingest/signal-budget.ts',
    find: 'if (overModel !== undefined) return',
    replace: 'if (overModel === "") return',
    tests: inFile('tests/unit/ingest-signals.test.ts')(
      'refuses the name beyond 200 of a model, and takes none of that declaration',
    ),
  },
  {
    threat: 19,
    without: 'the size before anything is parsed',
    file: 'ingest/decode.ts',
    find: "if (payload.byteLength > MAX_PAYLOAD_BYTES) return { kind: 'refused', reason: 'PAYLOAD_TOO_LARGE', at: '' };",
    replace: '',
    tests: decode('refuses %s'),
  },
  {
    threat: 19,
    without: 'the bound on what inflates',
    file: 'ingest/unpack.ts',
    find: '{ maxOutputLength: MAX_PAYLOAD_BYTES }',
    replace: '{}',
    tests: payloads('that inflates to 64 MiB: is given up while it inflates'),
  },
  {
    threat: 19,
    without: 'the depth of a telemetry payload',
    file: 'ingest/decode.ts',
    find: 'if (isDeeperThan(envelope, MAX_PAYLOAD_DEPTH)) {',
    replace: 'if (isDeeperThan(envelope, MAX_PAYLOAD_BYTES)) {',
    tests: [
      ...decode('refuses %s'),
      ...payloads('%s: is quarantined without ending the process, in a few milliseconds'),
    ],
  },
  {
    threat: 19,
    without: 'the depth of other payloads',
    file: 'ingest/channels.ts',
    find: "if (deepOr(json.value, 'PAYLOAD_INVALID') === 'PAYLOAD_TOO_DEEP') return",
    replace: "if (deepOr(json.value, 'PAYLOAD_INVALID') === 'INTERNAL') return",
    tests: payloads('too deep on %s: is quarantined'),
  },
  {
    threat: 20,
    without: 'the list of names that poison',
    file: 'ingest/decode.ts',
    find: 'return HOSTILE_NAMES.has(name);',
    replace: `return HOSTILE_NAMES.has(\`\${name}?\`);`,
    tests: payloads('%s is quarantined on every channel, and poisons nothing'),
  },
  {
    threat: 20,
    without: 'refusing such names in births',
    file: 'contract/kernel/ids.ts',
    find: "name !== 'constructor' && name !== 'prototype'",
    replace: "name !== '__proto__'",
    tests: payloads('%s is quarantined on every channel, and poisons nothing'),
  },
  {
    threat: 21,
    without: 'giving up on a message that the store refuses',
    file: 'ingest/store-writer.ts',
    find: 'isFinal: isRefusal,',
    replace: '',
    tests: followers('halves a batch that is refused as a whole until only the bad message is left out'),
  },
  {
    threat: 21,
    without: 'giving up on a record that the database refuses',
    file: 'ingest/registry-writer.ts',
    find: 'isFinal: isRefusal,',
    replace: '',
    tests: followers('sets the one record aside that the database will never take, and stores the others once'),
  },
  {
    threat: 21,
    without: 'knowing what the database will never take',
    file: 'api/devices/registry-sink.ts',
    find: "if (!REFUSED_FOR_GOOD.test(sqlState(cause) ?? '')) throw cause;",
    replace: 'if (cause) throw cause;',
    tests: inFile('tests/integration/api-database.test.ts')('says of a record with %s that it will never be stored'),
  },
  {
    threat: 21,
    without: 'refusing text at the door that no database holds',
    file: 'ingest/channels.ts',
    find: 'if (unstorable !== undefined) return',
    replace: "if (unstorable === '?') return",
    tests: payloads('on %s is quarantined at the door: %s'),
  },
  {
    threat: 22,
    without: 'the mode of log files',
    file: 'ingest/log/durable-files.ts',
    find: 'export const FILE_MODE = 0o600;',
    replace: 'export const FILE_MODE = 0o644;',
    tests: inFile('tests/unit/segment-log.test.ts')('gives nobody else a look into its files'),
  },
  {
    threat: 22,
    without: 'the mode of the files of the embedded store',
    file: 'ingest/store/embedded-file.ts',
    find: `for (const file of [path, \`\${path}.wal\`]) if (existsSync(file)) chmodSync(file, 0o600);`,
    replace: '',
    tests: inFile('tests/integration/store-embedded.test.ts')('keeps its files to their owner, whatever the umask'),
  },
  {
    threat: 22,
    without: 'the mode of key files',
    file: 'app/keys.ts',
    find: `const file = openSync(\`\${path}.new\`, 'w', 0o600);`,
    replace: `const file = openSync(\`\${path}.new\`, 'w', 0o644);`,
    tests: inFile('tests/unit/keys.test.ts')(
      'are made once, each its own, readable by their owner only, whatever the umask',
    ),
  },
];
