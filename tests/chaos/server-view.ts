/** What the server says about itself at the end of a run: export, quarantine and counters, through its HTTP API. */
import { z } from 'zod';
import {
  type ExportedSample,
  exportedSample,
  page,
  type QuarantineEntry,
  quarantineEntry,
} from '../../contract/http/resources.ts';

const RANGE = 'from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z';
const quarantinePage = page(quarantineEntry);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** @throws Error when the answer is not good after a minute of tries: a server that was just hurt may say 503 at first */
async function get(api: string, token: string, path: string): Promise<Response> {
  for (let attempt = 0; ; attempt++) {
    const response = await fetch(new URL(path, api), { headers: { authorization: `Bearer ${token}` } });
    if (response.ok) return response;
    const text = await response.text();
    if (attempt >= 60 || ![429, 503].includes(response.status)) throw new Error(`${path}: ${response.status} ${text}`);
    await pause(1_000);
  }
}

export async function exportOf(api: string, token: string, device: string): Promise<ExportedSample[]> {
  const text = await (await get(api, token, `/api/v1/export/telemetry?device=${device}&${RANGE}`)).text();
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => exportedSample.parse(JSON.parse(line)));
}

export async function quarantineOf(api: string, token: string): Promise<QuarantineEntry[]> {
  const entries: QuarantineEntry[] = [];
  let cursor: string | undefined;
  do {
    const path = `/api/v1/quarantine?limit=500${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`;
    const answer = quarantinePage.parse(await (await get(api, token, path)).json());
    entries.push(...answer.items);
    cursor = answer.nextCursor;
  } while (cursor);
  return entries;
}

/** Values of /metrics by `name{labels}` as printed. */
export async function metricsOf(api: string): Promise<Map<string, number>> {
  const text = await (await fetch(new URL('/metrics', api))).text();
  const lines = text.split('\n').filter((line) => line && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

const readyAnswer = z.object({ ok: z.boolean(), components: z.object({ log: z.object({ ok: z.boolean() }) }) });
const PATIENCE_MS = 5_000;

/** `undefined` = no answer: not listening yet, or ending, or hanging. */
async function readiness(api: string): Promise<z.infer<typeof readyAnswer> | undefined> {
  try {
    const answer = await fetch(new URL('/readyz', api), { signal: AbortSignal.timeout(PATIENCE_MS) });
    return readyAnswer.parse(await answer.json());
  } catch {
    return undefined;
  }
}

export async function isReady(api: string): Promise<boolean> {
  return (await readiness(api))?.ok === true;
}

/** Whether it says that its log takes nothing. */
export async function refusesTelemetry(api: string): Promise<boolean> {
  return (await readiness(api))?.components.log.ok === false;
}

/** Whether the event loop answers within two seconds. */
export async function answersInTime(api: string): Promise<boolean> {
  try {
    return (await fetch(new URL('/healthz', api), { signal: AbortSignal.timeout(2_000) })).ok;
  } catch {
    return false; // Refused, cut off or too late: the same to whoever asked.
  }
}

/** Bytes of the logs that a follower has still to pass; sequence memory is saved now and then only. */
export function lagBytes(metrics: ReadonlyMap<string, number>): number {
  return [...metrics]
    .filter(([name]) => /^presage_(log|desk)_lag_bytes/.test(name) && !name.includes('consumer="sequence"'))
    .reduce((sum, [, value]) => sum + value, 0);
}

export interface Balance {
  readonly received: number;
  readonly logged: number;
  readonly duplicates: number;
  readonly quarantined: number;
  readonly unacknowledged: number;
  readonly stored: number;
  /** received − logged − duplicates − quarantined − unacknowledged; must be 0. */
  readonly difference: number;
}

/** The books of one life of the server, in telemetry messages. Counters of a killed life die with it. */
export function balanceOf(metrics: ReadonlyMap<string, number>): Balance {
  const sum = (name: string, label = ''): number =>
    [...metrics]
      .filter(([key]) => (key === name || key.startsWith(`${name}{`)) && key.includes(label))
      .reduce((total, [, value]) => total + value, 0);
  const telemetry = 'channel="telemetry"';
  const received = sum('presage_ingest_received_total', telemetry);
  const logged = sum('presage_ingest_logged_total', 'kind="telemetry"');
  const duplicates = sum('presage_ingest_duplicates_total', telemetry);
  const quarantined = sum('presage_ingest_quarantined_total');
  const unacknowledged = sum('presage_ingest_unacknowledged_total');
  const stored = sum('presage_ingest_stored_total');
  const difference = received - logged - duplicates - quarantined - unacknowledged;
  return { received, logged, duplicates, quarantined, unacknowledged, stored, difference };
}
