/** What an integration may do: log in, subscribe, publish, read. Pure judgements, as `login.ts` is for devices. */
import { type IntegrationRef, parseUserName } from '../../contract/kernel/ids.ts';
import { MAX_PAYLOAD_BYTES } from '../../contract/wire/payloads.ts';
import { deviceTopicsOf, exchangeTopicsOf, parseTopic, READABLE_CHANNELS } from '../../contract/wire/topics.ts';
import type { PeerIdentity } from '../listener.ts';
import { type ConnectFields, type Refused, refuse } from '../login.ts';
import { isTopicName, type Levels, parseFilter } from './topic-filter.ts';

/** Client ids tell the connections of one integration apart; other integrations have their own. */
const CLIENT_ID = /^[A-Za-z0-9_.:-]{1,64}$/;

export type IntegrationVerdict =
  | {
      readonly kind: 'plausible';
      readonly ref: IntegrationRef;
      readonly secret: string;
      /** Empty = the broker makes one up. */
      readonly clientId: string;
    }
  | Refused;

/** Judges everything about a CONNECT but the secret itself. @param peer what the certificate says, if there is one */
export function judgeIntegrationLogin(
  connect: ConnectFields,
  limits: { readonly maxWillBytes: number },
  peer?: PeerIdentity,
): IntegrationVerdict {
  const { username = '', password, clientId, clean } = connect;
  const ref = parseUserName(username);
  if (!ref) return refuse('MQTT_CREDENTIALS', 'badCredentials', 'the user name is malformed');
  if (password === undefined) return refuse('MQTT_CREDENTIALS', 'badCredentials', 'the password is missing');
  if (peer && peer.commonName !== username) {
    return refuse('MQTT_CERTIFICATE', 'notAuthorised', 'the certificate is not of this integration');
  }
  // MQTT 3.1.1, 3.1.3.1: a session that nobody can name again must not be kept.
  if (clientId === '' && clean !== true)
    return refuse('MQTT_CLIENT_ID', 'identifierRejected', 'the client id is empty');
  if (clientId !== '' && !CLIENT_ID.test(clientId)) {
    return refuse('MQTT_CLIENT_ID', 'identifierRejected', 'the client id is malformed');
  }
  const wrong = connect.will && faultOfPublish(ref.tenant, connect.will, limits.maxWillBytes);
  if (wrong) return refuse('MQTT_WILL', 'notAuthorised', wrong);
  return { kind: 'plausible', ref, secret: Buffer.from(password).toString('utf8'), clientId };
}

/** The levels of a filter that the integration may subscribe to: its tenant named in full, whatever comes after. */
export function grantedFilter(tenant: string, filter: string): Levels | undefined {
  const isOwn = filter.startsWith(deviceTopicsOf(tenant)) || filter.startsWith(exchangeTopicsOf(tenant));
  return isOwn ? parseFilter(filter) : undefined;
}

/** What is wrong with a publish or a last will; publishing for a device would forge its telemetry. */
export function faultOfPublish(
  tenant: string,
  packet: { readonly topic: string; readonly payload: Uint8Array | string; readonly qos?: number | undefined },
  maxBytes: number = MAX_PAYLOAD_BYTES,
): string | undefined {
  const { topic, payload, qos = 0 } = packet;
  if (!topic.startsWith(exchangeTopicsOf(tenant)) || !isTopicName(topic)) {
    return `publish to ${JSON.stringify(topic.slice(0, 128))}`;
  }
  if (qos > 2) return `publish with QoS ${qos}`;
  const bytes = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.byteLength;
  return bytes > maxBytes ? `a payload of ${bytes} bytes` : undefined;
}

/** The last line: whatever filters say, this is all that an integration of the tenant is sent. */
export function mayRead(tenant: string, topic: string): boolean {
  if (topic.startsWith(exchangeTopicsOf(tenant))) return true;
  const parsed = parseTopic(topic);
  return parsed?.tenant === tenant && READABLE_CHANNELS.has(parsed.channel);
}
