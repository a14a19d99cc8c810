/** MQTT topics of device contract v1: `presage/v1/{tenant}/{device}/{channel}`. */
import { DEVICE_PATTERN, type DeviceRef, TENANT_PATTERN } from '../kernel/ids.ts';

const PREFIX = 'presage/v1/';

/** What a device may publish. */
export const UPSTREAM_CHANNELS = ['birth', 'state', 'telemetry', 'event', 'log', 'cmd/res', 'twin/reported'] as const;
/** What a device may subscribe to. */
export const DOWNSTREAM_CHANNELS = ['cmd/req', 'twin/desired'] as const;
/** Channels whose retain flag is kept; on all others it is stripped and counted. */
export const RETAINED_CHANNELS: ReadonlySet<string> = new Set(['birth', 'state', 'twin/reported', 'twin/desired']);

export type UpstreamChannel = (typeof UPSTREAM_CHANNELS)[number];
export type DownstreamChannel = (typeof DOWNSTREAM_CHANNELS)[number];
export type Channel = UpstreamChannel | DownstreamChannel;

export interface DeviceTopic extends DeviceRef {
  readonly channel: Channel;
}

const CHANNELS: ReadonlySet<string> = new Set([...UPSTREAM_CHANNELS, ...DOWNSTREAM_CHANNELS]);
const UPSTREAM: ReadonlySet<string> = new Set(UPSTREAM_CHANNELS);

/** @example topicOf({ tenant: 'acme', device: 'fridge-1' }, 'telemetry') // => 'presage/v1/acme/fridge-1/telemetry' */
export function topicOf(ref: DeviceRef, channel: Channel): string {
  return `${PREFIX}${ref.tenant}/${ref.device}/${channel}`;
}

/** The parts of a topic of the contract, or `undefined` for any other topic or for a filter with wildcards. */
export function parseTopic(topic: string): DeviceTopic | undefined {
  if (!topic.startsWith(PREFIX)) return undefined;
  const tenantEnd = topic.indexOf('/', PREFIX.length);
  const deviceEnd = tenantEnd < 0 ? -1 : topic.indexOf('/', tenantEnd + 1);
  if (deviceEnd < 0) return undefined;
  const tenant = topic.slice(PREFIX.length, tenantEnd);
  const device = topic.slice(tenantEnd + 1, deviceEnd);
  const channel = topic.slice(deviceEnd + 1);
  if (!TENANT_PATTERN.test(tenant) || !DEVICE_PATTERN.test(device) || !CHANNELS.has(channel)) return undefined;
  return { tenant, device, channel: channel as Channel };
}

export function isUpstream(channel: string): channel is UpstreamChannel {
  return UPSTREAM.has(channel);
}

/** Channels that an integration may read. Log chunks and commands belong to diagnosis sessions and stay out. */
export const READABLE_CHANNELS: ReadonlySet<string> = new Set([
  'birth',
  'state',
  'telemetry',
  'event',
  'twin/reported',
]);

/** Begin of the topics of all devices of a tenant. */
export function deviceTopicsOf(tenant: string): string {
  return `${PREFIX}${tenant}/`;
}

/** Begin of the topics on which the integrations of a tenant may publish. Beside v1, so that no device id can meet it. */
export function exchangeTopicsOf(tenant: string): string {
  return `presage/x/${tenant}/`;
}
