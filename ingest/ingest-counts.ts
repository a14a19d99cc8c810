/** The counters of ingest, by what they say. */
import type { ErrorCode } from '../contract/kernel/errors.ts';
import { UPSTREAM_CHANNELS } from '../contract/wire/topics.ts';
import type { Counters } from './counters.ts';

export type IngestCounts = ReturnType<typeof createCounts>;

/** All counters of ingest; docs/ingest.md says how they add up. */
export function createCounts(counters: Counters) {
  const quarantineReasons: readonly ErrorCode[] = [
    'PAYLOAD_INVALID',
    'PAYLOAD_NOT_JSON',
    'PAYLOAD_TOO_LARGE',
    'SEQUENCE_CONFLICT',
  ];
  return {
    received: counters.create(
      'presage_ingest_received_total',
      'Messages that the broker delivered',
      'channel',
      UPSTREAM_CHANNELS,
    ),
    logged: counters.create('presage_ingest_logged_total', 'Entries that are durable in the log', 'kind', [
      'telemetry',
    ]),
    acked: counters.create('presage_ingest_acked_total', 'Messages that may be acknowledged'),
    refused: counters.create('presage_ingest_unacknowledged_total', 'Messages that were not acknowledged', 'reason', [
      'LOG_FULL',
      'NOT_READY',
      'STORE_UNAVAILABLE',
    ]),
    duplicates: counters.create('presage_ingest_duplicates_total', 'Messages that were taken before', 'channel', [
      'telemetry',
    ]),
    quarantined: counters.create(
      'presage_ingest_quarantined_total',
      'Messages of which nothing could be taken',
      'reason',
      quarantineReasons,
    ),
    quarantinedSamples: counters.create(
      'presage_ingest_quarantined_samples_total',
      'Samples refused in messages of which the rest was taken',
      'reason',
      ['SAMPLE_INVALID', 'SIGNAL_NOT_FINITE', 'SIGNAL_TYPE', 'SIGNAL_UNKNOWN', 'TIME_INVALID', 'TIME_IN_FUTURE'],
    ),
    samples: counters.create('presage_ingest_samples_total', 'Telemetry samples by outcome', 'outcome', [
      'accepted',
      'refused',
      'replayed',
    ]),
    payloads: counters.create(
      'presage_ingest_quarantine_payloads_total',
      'Refused payloads by whether they were kept for a replay',
      'outcome',
      ['kept', 'overBudget', 'neverReplayable'],
    ),
    replayed: counters.create(
      'presage_ingest_replayed_total',
      'Telemetry entries logged by a replay of the quarantine',
    ),
    conflicts: counters.create(
      'presage_ingest_conflicts_total',
      'Security: messages that used a sequence number again for another content',
      'channel',
      ['telemetry', 'event'],
    ),
    unpacked: counters.create('presage_ingest_unpacked_total', 'Messages in gzip or CBOR by outcome', 'outcome', [
      'json',
      'refused',
    ]),
    late: counters.create('presage_ingest_late_total', 'Telemetry messages behind a newer one of their boot'),
    missing: counters.create('presage_ingest_missing_total', 'Sequence numbers that had not come when a newer one did'),
    skewed: counters.create('presage_ingest_clock_skewed_total', 'Devices whose clock was found more than 60 s off'),
    lookups: counters.create('presage_ingest_lookups_total', 'Telemetry messages that the store was asked about'),
    staleStates: counters.create('presage_ingest_stale_states_total', 'Last wills of an older boot'),
  };
}
