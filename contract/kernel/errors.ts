/**
 * Every error that a user, device or operator can meet has one code here; `docs/errors.md` lists the same codes.
 * A code is never reused with another meaning.
 */
interface ErrorSpec {
  /** HTTP status when the error reaches a client of the API. */
  readonly status: number;
  /** Whether trying the same thing again later can help. */
  readonly retriable: boolean;
  readonly title: string;
  /** What to do about it. */
  readonly hint: string;
}

const spec = (status: number, retriable: boolean, title: string, hint: string): ErrorSpec => ({
  status,
  retriable,
  title,
  hint,
});

export const ERRORS = {
  // HTTP door
  REQUEST_INVALID: spec(
    400,
    false,
    'The request breaks its schema',
    'See `errors`: each names the field and what it expects.',
  ),
  REQUEST_NOT_ALLOWED: spec(
    422,
    false,
    'The request is well-formed but not allowed',
    'The message names the rule that refuses it.',
  ),
  UNAUTHENTICATED: spec(401, false, 'No valid credentials', 'Send `Authorization: Bearer <token>` or sign in.'),
  FORBIDDEN: spec(403, false, 'Your role may not do this', 'Ask a manager or admin of your tenant.'),
  NOT_FOUND: spec(404, false, 'There is no such thing here', 'Check the id; things of other tenants look absent.'),
  CONFLICT: spec(
    409,
    false,
    'The state does not allow this',
    'The message names the conflict; read the resource again.',
  ),
  VERSION_STALE: spec(412, true, 'Somebody changed it before you', 'Read it again and repeat with the new `ETag`.'),
  VERSION_REQUIRED: spec(428, false, '`If-Match` is missing', 'Send the `ETag` you read as `If-Match`.'),
  REQUEST_TOO_LARGE: spec(413, false, 'The request body exceeds its limit', 'Send less in one request.'),
  MEDIA_TYPE_UNSUPPORTED: spec(
    415,
    false,
    'The media type is not supported',
    'Send JSON with `Content-Type: application/json`.',
  ),
  RATE_LIMITED: spec(429, true, 'Too many requests', 'Wait for `Retry-After` seconds.'),
  INTERNAL: spec(500, true, 'Something broke on our side', 'Quote the request id when you report it.'),
  NOT_READY: spec(503, true, 'A dependency is not available', '`/readyz` names it.'),
  // Device door: reasons of quarantine
  PAYLOAD_TOO_LARGE: spec(
    413,
    false,
    'The payload exceeds its limit',
    'Split the batch: at most 128 KiB and 500 samples a message.',
  ),
  PAYLOAD_NOT_JSON: spec(
    400,
    false,
    'The payload is not JSON',
    'See docs/device-contract.md for the payload of this topic.',
  ),
  PAYLOAD_ENCODING: spec(
    400,
    false,
    'The payload cannot be unpacked',
    'gzip must be whole; CBOR must be one map with text keys, without byte strings, tags or repeated keys.',
  ),
  PAYLOAD_INVALID: spec(400, false, 'The payload breaks the device contract', 'The quarantine entry names the field.'),
  PAYLOAD_TOO_DEEP: spec(
    400,
    false,
    'The payload is nested too deeply',
    'Signals are flat values; depth is at most 6.',
  ),
  SAMPLE_INVALID: spec(
    400,
    false,
    'A sample breaks the device contract',
    'The quarantine entry names the sample and the field.',
  ),
  SIGNAL_UNKNOWN: spec(
    400,
    false,
    'The signal is neither in the catalogue nor in the birth message',
    'Declare it in `birth.signals` or correct its name.',
  ),
  SIGNAL_LIMIT: spec(
    422,
    false,
    'The model would have more than 200 signals',
    'Declare only what the model needs; names that differ by device belong into a value, not into a name.',
  ),
  SIGNAL_BUDGET: spec(
    429,
    true,
    'Too many new signals within an hour',
    'Send the birth again in the next hour; check for names that are made up at runtime.',
  ),
  SIGNAL_TYPE: spec(
    400,
    false,
    'The signal has another type than declared',
    'Numbers, booleans and strings are never converted.',
  ),
  SIGNAL_NOT_FINITE: spec(400, false, 'The number is not finite', 'Leave out a value that you could not measure.'),
  TIME_IN_FUTURE: spec(400, false, 'The device time is more than 5 minutes ahead', 'Correct the device clock.'),
  TIME_INVALID: spec(
    400,
    false,
    'The device time is not a plausible epoch in milliseconds',
    'Send epoch milliseconds between 2000-01-01 and now.',
  ),
  SEQUENCE_CONFLICT: spec(
    409,
    false,
    'The same sequence number came with another content',
    'Never reuse `seq` within a boot; take a new boot id after a reset.',
  ),
  REPLAY_NOT_POSSIBLE: spec(
    409,
    false,
    'The quarantine entry cannot be replayed',
    '`detail` names what is missing; only telemetry whose payload was kept can be replayed.',
  ),
  // MQTT door
  MQTT_CREDENTIALS: spec(
    401,
    false,
    'Wrong user name or password, or the device is blocked',
    'User name and client id are `{tenant}.{device}`; the password is the secret shown at creation.',
  ),
  MQTT_CERTIFICATE: spec(
    401,
    false,
    'The TLS handshake or the certificate was refused',
    'It must be valid, from the configured authority, not revoked, with the client id as its common name; TLS 1.2 or newer.',
  ),
  MQTT_CLIENT_ID: spec(400, false, 'The client id breaks the contract', 'Client id = user name = `{tenant}.{device}`.'),
  MQTT_SESSION: spec(400, false, 'Persistent sessions are refused for devices', 'Connect with clean=true.'),
  MQTT_KEEPALIVE: spec(400, false, 'Keep-alive is outside 5–1200 s', 'Choose a keep-alive between 5 and 1200 s.'),
  MQTT_WILL: spec(
    400,
    false,
    'The last will is not allowed',
    'Only your own `state` topic, QoS 0 or 1, at most 4 KiB.',
  ),
  MQTT_TOPIC: spec(403, false, 'The topic is not yours', 'A device publishes only to its own upstream topics.'),
  MQTT_QOS2: spec(400, false, 'QoS 2 is refused', 'Use QoS 0 or 1; sequence numbers remove duplicates.'),
  MQTT_PACKET_SIZE: spec(413, false, 'The packet exceeds its limit', 'At most 4 KiB before and 256 KiB after login.'),
  MQTT_SUBSCRIPTION: spec(
    403,
    false,
    'The subscription is not allowed',
    'A device subscribes to its own `cmd/req` and `twin/desired`, without wildcards.',
  ),
  MQTT_PROTOCOL: spec(400, false, 'The packet breaks MQTT 3.1.1', '`detail` says what was wrong; use MQTT 3.1.1.'),
  MQTT_LOGIN_TIMEOUT: spec(408, true, 'The login was not finished in time', 'Send CONNECT at once after connecting.'),
  MQTT_CONNECTION_LIMIT: spec(503, true, 'The broker holds as many connections as it may', 'Raise the limit, or wait.'),
  MQTT_HANDSHAKES: spec(
    503,
    true,
    'Too many devices want a TLS handshake at once',
    'Come again after a pause that grows with each attempt and is not the same for every device.',
  ),
  MQTT_RATE: spec(
    429,
    true,
    'The device asks for more than it may',
    'Send fewer, larger messages and reconnect less often, or raise the limit: see docs/broker.md.',
  ),
  MQTT_WRONG_LOGINS: spec(
    429,
    true,
    'Too many wrong logins came from this address',
    'Wait a minute. Logins that were right before are looked at meanwhile; new ones are not.',
  ),
  MQTT_NOT_READING: spec(
    503,
    true,
    'The device does not read what is sent to it',
    'Its connection is closed; it reconnects when it reads again.',
  ),
  MQTT_MOVED: spec(
    409,
    false,
    'A connected device came from another address',
    'It moved, or its secret is used twice: if it did not move, give it a new one.',
  ),
  // Pipeline
  LOG_FULL: spec(
    503,
    true,
    'The telemetry log reached its limit',
    'A consumer is behind: see `/readyz`. Nothing is acknowledged meanwhile.',
  ),
  LOG_FAILED: spec(503, true, 'The telemetry log could not be written', 'Check the disk; restart when it is healthy.'),
  LOG_CORRUPT: spec(
    500,
    false,
    'A telemetry log segment is damaged before its end',
    'Restore it from a backup; see docs/operations.md.',
  ),
  STORE_UNAVAILABLE: spec(
    503,
    true,
    'The telemetry store does not answer',
    'The log keeps the data; writing resumes by itself.',
  ),
  STORE_WRITE_REJECTED: spec(
    500,
    false,
    'The telemetry store refused a line',
    'The refused sample is in quarantine with the reason.',
  ),
  STORE_QUERY_INVALID: spec(
    400,
    false,
    'The telemetry query is not allowed',
    'Raw ranges are at most 31 days; ask for `points` to down-sample.',
  ),
  SQL_UNAVAILABLE: spec(
    503,
    true,
    'The SQL database does not answer',
    'Check DATABASE_URL or the embedded server’s log.',
  ),
  SQL_SCHEMA_NEWER: spec(
    409,
    false,
    'The SQL database was written by a newer version',
    'Start the newer version again, or restore a backup made before the upgrade.',
  ),
  WEBHOOK_ADDRESS_REFUSED: spec(
    422,
    false,
    'The webhook address is not allowed',
    'Use https and a public address; loopback only where the operator allows it.',
  ),
  DATA_DIR_LOCKED: spec(
    409,
    true,
    'Another Presage uses this data directory',
    'Stop the process that the message names, or choose another PRESAGE_DATA_DIR.',
  ),
  DATA_DIR_NEWER: spec(
    409,
    false,
    'The data directory was written by a newer version',
    'Start the newer version again, or restore a backup made before the upgrade. Nothing was touched.',
  ),
  KEY_IN_USE: spec(
    409,
    false,
    'The key is still needed',
    'Wait until nothing uses it; `--force` gives it up all the same, and what used it with it.',
  ),
  // Command line and files
  CONFIG_INVALID: spec(
    400,
    false,
    'The configuration is not valid',
    'The message names the key and where its value came from.',
  ),
  BACKUP_INVALID: spec(
    409,
    false,
    'The backup cannot be made or used',
    'The message names the folder or file; nothing was changed.',
  ),
  RECORDING_INVALID: spec(400, false, 'The recording cannot be read', 'The message names file, line and column.'),
  MODEL_FILE_INVALID: spec(
    400,
    false,
    'The model file cannot be used',
    'Fit it again with this version: `presage prognosis fit`.',
  ),
  TRAINING_DATA_INSUFFICIENT: spec(
    422,
    false,
    'There is not enough run-to-failure data to learn from',
    'Give at least three units that ran to failure.',
  ),
} as const satisfies Record<string, ErrorSpec>;

export type ErrorCode = keyof typeof ERRORS;

/** An error from the catalogue with its facts as fields. Its message is `title: detail`. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, detail?: string, options: { cause?: unknown; facts?: Record<string, unknown> } = {}) {
    super(detail ? `${ERRORS[code].title}: ${detail}` : ERRORS[code].title, { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.facts = options.facts ?? {};
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  get retriable(): boolean {
    return ERRORS[this.code].retriable;
  }
}

/** For the `default` of a switch over a union: the compiler sees that every case is handled. */
export function assertNever(value: never): never {
  throw new Error(`Unhandled case: ${JSON.stringify(value)}`);
}

/** The message of whatever was thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
