/** What one device may publish, subscribe to and receive: whole topics, worked out once when it logs in. */
import type { ErrorCode } from '../contract/kernel/errors.ts';
import type { DeviceRef } from '../contract/kernel/ids.ts';
import { MAX_PAYLOAD_BYTES } from '../contract/wire/payloads.ts';
import {
  DOWNSTREAM_CHANNELS,
  RETAINED_CHANNELS,
  topicOf,
  UPSTREAM_CHANNELS,
  type UpstreamChannel,
} from '../contract/wire/topics.ts';

export interface TopicRules {
  /** by topic */
  readonly upstream: ReadonlyMap<string, UpstreamChannel>;
  /** Topics, never filters with wildcards: that no other filter passes is what keeps devices apart. */
  readonly downstream: ReadonlySet<string>;
}

export function topicRulesOf(ref: DeviceRef): TopicRules {
  return {
    upstream: new Map(UPSTREAM_CHANNELS.map((channel) => [topicOf(ref, channel), channel])),
    downstream: new Set(DOWNSTREAM_CHANNELS.map((channel) => topicOf(ref, channel))),
  };
}

export type PublishVerdict =
  | { readonly kind: 'allowed'; readonly channel: UpstreamChannel; readonly stripRetain: boolean }
  | { readonly kind: 'refused'; readonly reason: ErrorCode; readonly detail: string };

interface PublishFields {
  readonly topic: string;
  readonly qos?: number;
  readonly retain?: boolean;
  readonly payload: Uint8Array | string;
}

/** Judges a PUBLISH or a last will. A payload too large is allowed here: ingest quarantines it, so that nobody resends it. */
export function judgePublish(rules: TopicRules, packet: PublishFields): PublishVerdict {
  const channel = rules.upstream.get(packet.topic);
  if (channel === undefined) {
    return {
      kind: 'refused',
      reason: 'MQTT_TOPIC',
      detail: `publish to ${JSON.stringify(packet.topic.slice(0, 128))}`,
    };
  }
  if ((packet.qos ?? 0) > 1) return { kind: 'refused', reason: 'MQTT_QOS2', detail: `publish with QoS ${packet.qos}` };
  const keeps = RETAINED_CHANNELS.has(channel) && packet.payload.length <= MAX_PAYLOAD_BYTES;
  return { kind: 'allowed', channel, stripRetain: packet.retain === true && !keeps };
}
