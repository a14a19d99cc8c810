/**
 * Whether a CONNECT may go on to the check of its secret: a pure judgement, so that every rule is one line of a table
 * test. The return codes are those of MQTT 3.1.1, 3.2.2.3; the reason is the word in log, metric and documentation.
 */
import type { ErrorCode } from '../contract/kernel/errors.ts';
import { type DeviceRef, parseClientId } from '../contract/kernel/ids.ts';
import { topicOf } from '../contract/wire/topics.ts';
import type { PeerIdentity } from './listener.ts';
import type { BrokerOptions } from './options.ts';

/** 1 (wrong protocol version) is Aedes' own. */
export const RETURN_CODES = { identifierRejected: 2, unavailable: 3, badCredentials: 4, notAuthorised: 5 } as const;
export type ReturnCode = (typeof RETURN_CODES)[keyof typeof RETURN_CODES];

/** The fields of a CONNECT that are judged, as the parser gives them. */
export interface ConnectFields {
  readonly clientId: string;
  readonly username?: string | undefined;
  readonly password?: Uint8Array | undefined;
  readonly clean?: boolean | undefined;
  readonly keepalive?: number | undefined;
  readonly will?: WillFields | undefined;
}

export interface WillFields {
  readonly topic: string;
  readonly payload: Uint8Array | string;
  /** The parser lets 3 through. */
  readonly qos?: number | undefined;
}

export interface Refused {
  readonly kind: 'refused';
  readonly reason: ErrorCode;
  readonly returnCode: ReturnCode;
  readonly detail: string;
  /** Whom it is about, when it speaks of an attack: whose name was claimed, or whose certificate was used for another. */
  readonly suspect?: DeviceRef;
}

/** `secret` is absent when a certificate has proved who it is. */
export type LoginVerdict =
  | { readonly kind: 'plausible'; readonly ref: DeviceRef; readonly secret: string | undefined }
  | Refused;

type LoginLimits = Pick<BrokerOptions, 'keepaliveMinS' | 'keepaliveMaxS' | 'maxWillBytes'>;

/** Judges everything about a CONNECT but the secret itself. @param peer what the certificate says, if there is one */
export function judgeLogin(connect: ConnectFields, limits: LoginLimits, peer?: PeerIdentity): LoginVerdict {
  const ref = parseClientId(connect.clientId);
  if (!ref) return refuse('MQTT_CLIENT_ID', 'identifierRejected', 'the client id is empty or malformed');
  if (peer) return judgeCertified(connect, ref, limits, peer);
  const { username, password } = connect;
  if (username === undefined || password === undefined) {
    return refuse('MQTT_CREDENTIALS', 'badCredentials', 'user name or password is missing');
  }
  // Without this any device could connect under another's id, throw it off and speak in its name.
  if (username !== connect.clientId) {
    return { ...refuse('MQTT_CLIENT_ID', 'identifierRejected', 'the client id is not the user name'), suspect: ref };
  }
  return judgeSession(connect, ref, limits) ?? { kind: 'plausible', ref, secret: utf8(password) };
}

/** A certificate stands for user name and password; a user name that is given all the same must not be another's. */
function judgeCertified(connect: ConnectFields, ref: DeviceRef, limits: LoginLimits, peer: PeerIdentity): LoginVerdict {
  if (peer.commonName !== connect.clientId) {
    const detail = `the certificate is of ${JSON.stringify(peer.commonName.slice(0, 64))}`;
    const suspect = parseClientId(peer.commonName);
    return { ...refuse('MQTT_CERTIFICATE', 'notAuthorised', detail), ...(suspect && { suspect }) };
  }
  if (connect.username !== undefined && connect.username !== connect.clientId) {
    return { ...refuse('MQTT_CLIENT_ID', 'identifierRejected', 'the client id is not the user name'), suspect: ref };
  }
  return judgeSession(connect, ref, limits) ?? { kind: 'plausible', ref, secret: undefined };
}

function judgeSession(connect: ConnectFields, ref: DeviceRef, limits: LoginLimits): Refused | undefined {
  if (connect.clean !== true) return refuse('MQTT_SESSION', 'notAuthorised', 'clean session is off');
  const keepaliveS = connect.keepalive ?? 0;
  if (keepaliveS < limits.keepaliveMinS || keepaliveS > limits.keepaliveMaxS) {
    return refuse('MQTT_KEEPALIVE', 'notAuthorised', `keep-alive is ${keepaliveS} s`);
  }
  const wrong = connect.will && faultOfWill(connect.will, ref, limits.maxWillBytes);
  return wrong ? refuse('MQTT_WILL', 'notAuthorised', wrong) : undefined;
}

/**
 * What is wrong with a last will. Aedes would publish it under its own authority later: a QoS of 3 disconnects every
 * subscriber that it reaches, a foreign topic speaks for others.
 */
function faultOfWill(will: WillFields, ref: DeviceRef, maxBytes: number): string | undefined {
  if (will.topic !== topicOf(ref, 'state')) return 'its topic is not the own state topic';
  if ((will.qos ?? 0) > 1) return `its QoS is ${will.qos}`;
  const bytes = typeof will.payload === 'string' ? Buffer.byteLength(will.payload) : will.payload.byteLength;
  return bytes > maxBytes ? `it has ${bytes} bytes` : undefined;
}

export function refuse(reason: ErrorCode, code: keyof typeof RETURN_CODES, detail: string): Refused {
  return { kind: 'refused', reason, returnCode: RETURN_CODES[code], detail };
}

function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}
