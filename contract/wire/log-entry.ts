/** How an accepted telemetry message stands in the log, and back. Its content was validated at the door. */
import type { MessageIdentity } from '../kernel/ids.ts';
import type { LogEntry } from '../ports/telemetry-log.ts';
import type { Signals } from './payloads.ts';
import type { Sample, TelemetryMessage } from './sample.ts';

interface LoggedTelemetry {
  boot: string;
  seq: number;
  t: number;
  s: ([number, Signals] | null)[];
  hist?: boolean;
}

/** The message in a log entry of kind `telemetry`. */
export function decodeTelemetryEntry(entry: LogEntry): TelemetryMessage {
  const logged = JSON.parse(
    Buffer.from(entry.body.buffer, entry.body.byteOffset, entry.body.byteLength).toString(),
  ) as LoggedTelemetry;
  const samples: Sample[] = [];
  for (let index = 0; index < logged.s.length; index++) {
    const sample = logged.s[index];
    if (sample) samples.push({ index, observedAt: logged.t + sample[0], signals: sample[1] });
  }
  return {
    identity: { tenant: entry.tenant, device: entry.device, boot: logged.boot, seq: logged.seq },
    model: entry.model,
    receivedAt: entry.receivedAt,
    backfill: logged.hist === true,
    samples,
  };
}

/** Whether `entry` is the message that `identity` names. */
export function isEntryOf(entry: LogEntry, identity: MessageIdentity): boolean {
  if (entry.tenant !== identity.tenant || entry.device !== identity.device) return false;
  const { boot, seq } = decodeTelemetryEntry(entry).identity;
  return boot === identity.boot && seq === identity.seq;
}
