/** One open byte stream and what is known about it, from TCP to its end. */
import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { DeviceRef } from '../contract/kernel/ids.ts';
import type { RegisteredDevice } from '../contract/ports/broker.ts';
import { type Bucket, newBucket } from './bucket.ts';
import type { ParserGate } from './guard-parser.ts';
import type { DeviceBudget } from './limits.ts';
import type { PeerIdentity } from './listener.ts';
import type { LoginVerdict } from './login.ts';
import type { TopicRules } from './topic-rules.ts';

export interface Connection {
  /** Unique for ever: the process and a number. */
  readonly id: string;
  /** The socket; once TLS or HTTP are through, what carries MQTT. */
  stream: Duplex;
  readonly remoteAddress: string;
  /** What its certificate says, which has been checked. */
  peer: PeerIdentity | undefined;
  onLogin: (() => void) | undefined;
  /** User name, when it is an integration's: such a connection never has `ref`, `device`, `rules` and `budget`. */
  integration: string | undefined;
  /** What the CONNECT said, until it is decided: it holds the secret. */
  verdict: LoginVerdict | undefined;
  /** Whom a refusal before the login is about, where something was claimed that can be named. */
  suspect: { readonly ref: DeviceRef; readonly certificateSerial?: string } | undefined;
  /** Who it claims to be, from the CONNECT on. */
  ref: DeviceRef | undefined;
  /** Who it is, and what it may do: once the secret was right. */
  device: RegisteredDevice | undefined;
  rules: TopicRules | undefined;
  /** What its device may still send: once the secret was right. */
  budget: DeviceBudget | undefined;
  /** What it may still send besides publishes. */
  readonly controls: Bucket;
  /** Epoch ms of the login. */
  connectedAt: number | undefined;
  /** Set as soon as Aedes has taken the stream over. */
  gate: ParserGate | undefined;
  /** Ends the connection when it has not logged in by then. */
  loginTimer: NodeJS.Timeout | undefined;
  /** The CONNACK said yes. */
  loggedIn: boolean;
  /** Refused or broken: what still happens on it is only counted. */
  ended: boolean;
  logLines: number;
  /** Messages to the device that its socket has not taken yet. */
  pending: number;
}

const PROCESS = randomBytes(6).toString('hex');
let opened = 0;

export function newConnection(stream: Duplex, remoteAddress: string): Connection {
  opened += 1;
  return {
    id: `${PROCESS}-${opened}`,
    stream,
    remoteAddress,
    peer: undefined,
    onLogin: undefined,
    integration: undefined,
    verdict: undefined,
    suspect: undefined,
    ref: undefined,
    device: undefined,
    rules: undefined,
    budget: undefined,
    controls: newBucket(),
    connectedAt: undefined,
    gate: undefined,
    loginTimer: undefined,
    loggedIn: false,
    ended: false,
    logLines: 0,
    pending: 0,
  };
}
