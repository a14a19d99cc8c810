/**
 * Decodes quarantined telemetry once more, with today's catalogue and declarations, and puts what is good now into the
 * telemetry log with the time at which it was received. Nothing enters twice: one replay runs at a time, the store is
 * asked about each sample once it holds everything that was logged before, and a message of which nothing had been taken
 * occupies its sequence number like one that just arrived. So a crash between the log and whoever keeps the books is
 * harmless: the next replay finds the samples and says so.
 */
import { AppError, type ErrorCode } from '../contract/kernel/errors.ts';
import { clientIdOf } from '../contract/kernel/ids.ts';
import { MINUTE_MS } from '../contract/kernel/time.ts';
import type { DeviceDirectory } from '../contract/ports/broker.ts';
import type { ReplayRequest, ReplayResult } from '../contract/ports/replay.ts';
import type { TelemetryLog } from '../contract/ports/telemetry-log.ts';
import type { StoredSample, TelemetryReader } from '../contract/ports/telemetry-store.ts';
import { CONTRACT_VERSION, type Signals } from '../contract/wire/payloads.ts';
import { fingerprintOf } from './content-ring.ts';
import { type DecodedTelemetry, decodeTelemetry, type RefusedTelemetry } from './decode.ts';
import type { SequenceBook, SequenceWindow } from './sequence.ts';
import { isPacked, unpack } from './unpack.ts';

export interface ReplayNeeds {
  readonly log: Pick<TelemetryLog, 'append'>;
  readonly directory: Pick<DeviceDirectory, 'peek'>;
  readonly reader: Pick<TelemetryReader, 'hasMessage' | 'export'>;
  readonly book: SequenceBook;
  /** Look-ups of the door under way, by message identity: a replay joins them, so that copies wait for its outcome. */
  readonly lookups: Map<string, SequenceWindow>;
  /** Resolves when the store holds everything that was appended before the call. @throws AppError STORE_UNAVAILABLE */
  readonly settled: () => Promise<void>;
  /** An entry of `samples` samples is durable. */
  readonly onLogged: (position: number, samples: number) => void;
}

/** Replays that may wait for the one that runs. */
const MAX_WAITING = 16;
/** Sample times closer than this are asked for together. */
const RANGE_GAP_MS = MINUTE_MS;

/** A message that today's rules can read. */
interface Candidate {
  readonly request: ReplayRequest;
  readonly decoded: DecodedTelemetry;
  /** Of the content as a device would send it again. */
  readonly fingerprint: number;
  /** Places that were refused and are good now. */
  readonly good: readonly number[];
  /** Places that are still refused. */
  readonly left: readonly number[];
  readonly key: string;
  readonly window: SequenceWindow;
  /** Set: nothing of the message was taken, and its number is held in flight by us. */
  holds: boolean;
}

interface Plan {
  readonly candidate: Candidate;
  readonly absent: readonly number[];
  readonly present: number;
}

export class Replayer {
  readonly #needs: ReplayNeeds;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(needs: ReplayNeeds) {
    this.#needs = needs;
  }

  /** Results in the order of the requests. @throws AppError NOT_READY when too many wait, or what the log or store threw */
  replay(requests: readonly ReplayRequest[]): Promise<readonly ReplayResult[]> {
    if (this.#waiting >= MAX_WAITING) {
      return Promise.reject(new AppError('NOT_READY', 'too many replays wait for each other'));
    }
    this.#waiting++;
    const turn = this.#last.then(() => this.#run(requests)).finally(() => this.#waiting--);
    this.#last = turn.catch(() => undefined); // Its caller hears of it.
    return turn;
  }

  /** In rounds, each with one look at the store; two entries of one message go into different rounds. */
  async #run(requests: readonly ReplayRequest[]): Promise<readonly ReplayResult[]> {
    const results: (ReplayResult | undefined)[] = requests.map(() => undefined);
    let open = [...requests.keys()];
    while (open.length > 0) {
      const round = new Map<string, { index: number; candidate: Candidate }>();
      const later: number[] = [];
      for (const index of open) {
        const candidate = this.#prepare(requests[index] as ReplayRequest);
        if ('outcome' in candidate) results[index] = candidate;
        else if (round.has(candidate.key)) later.push(index);
        else round.set(candidate.key, { index, candidate });
      }
      await this.#round([...round.values()], results);
      open = later;
    }
    return results as ReplayResult[];
  }

  /** What needs no look at the store: whether it can be read at all. */
  #prepare(request: ReplayRequest): Candidate | ReplayResult {
    const impossible = whyNot(request);
    if (impossible) return impossible;
    const { device, receivedAt } = request;
    const payload = plainPayload(request.payload ?? new Uint8Array());
    if (payload instanceof AppError) return refused(payload.code, '');
    const memory = this.#needs.book.device(device);
    const declared = memory.declared ?? this.#needs.directory.peek(device)?.declaredSignals ?? device.declaredSignals;
    const decoded = decodeTelemetry(payload, device.model, declared, receivedAt);
    if (decoded.kind === 'refused') return stillRefused(decoded);
    const wanted = request.places ?? [...decoded.samples.keys()];
    const good = wanted.filter((place) => decoded.samples[place]);
    const left = wanted.filter((place) => !decoded.samples[place]);
    if (good.length === 0) return refusalAt(decoded, left);
    const window = this.#needs.book.window(memory, 'telemetry', decoded.boot);
    const key = `${clientIdOf(device)}/${decoded.boot}/${decoded.seq}`;
    const fingerprint = fingerprintOf(decoded.refusals.length === 0 ? decoded.body : payload);
    return { request, decoded, fingerprint, good, left, key, window, holds: false };
  }

  async #round(
    round: readonly { index: number; candidate: Candidate }[],
    results: (ReplayResult | undefined)[],
  ): Promise<void> {
    try {
      const held = round.filter(({ index, candidate }) => {
        const busy = this.#hold(candidate);
        if (busy) results[index] = busy;
        return !busy;
      });
      if (held.length > 0) await this.#needs.settled();
      const plans: { index: number; plan: Plan }[] = [];
      for (const { index, candidate } of held) {
        const plan = await this.#plan(candidate);
        if ('outcome' in plan) results[index] = plan;
        else plans.push({ index, plan });
      }
      await this.#logAll(plans.map(({ plan }) => plan));
      for (const { index, plan } of plans) results[index] = resultOf(plan);
    } finally {
      for (const { candidate } of round) this.#release(candidate, false);
    }
  }

  /** Waits for all of them, also when one fails: until then it is not known which numbers are free again. */
  async #logAll(plans: readonly Plan[]): Promise<void> {
    const outcomes = await Promise.allSettled(
      plans.filter(({ absent }) => absent.length > 0).map((one) => this.#log(one)),
    );
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed) throw failed.reason;
  }

  /** Takes the number of a message that was never taken, so that a copy from the device waits for us. */
  #hold(candidate: Candidate): ReplayResult | undefined {
    const { decoded, window, key, fingerprint, request } = candidate;
    const sight = window.look(decoded.seq);
    if (sight === 'inFlight' || this.#needs.lookups.has(key)) {
      return { ...refused('NOT_READY', ''), detail: 'the device is sending this message right now; try again' };
    }
    if (sight === 'seen' || isPart(request)) return undefined;
    this.#needs.lookups.set(key, window);
    window.begin(decoded.seq, fingerprint);
    candidate.holds = true;
    return undefined;
  }

  /** The door's copies hear how it went: in the log, or to be sent again. */
  #release(candidate: Candidate, logged: boolean): void {
    if (!candidate.holds) return;
    candidate.holds = false;
    const { decoded, window, key } = candidate;
    this.#needs.lookups.delete(key);
    const waiters = window.finish(decoded.seq, logged);
    const error = logged ? undefined : new AppError('NOT_READY', 'the message was looked at again; send it once more');
    for (const waiter of waiters ?? []) waiter(error);
  }

  /** Which samples are not there yet, as the store sees it. */
  async #plan(candidate: Candidate): Promise<Plan | ReplayResult> {
    const { request, decoded, good } = candidate;
    const stored = await this.#storedSamples(candidate);
    const present = good.filter((place) => stored.has(place));
    const other = present.find((place) => !sameSignals(stored.get(place), decoded.samples[place]?.[1]));
    if (other !== undefined) return refused('SEQUENCE_CONFLICT', `s[${other}]`);
    if (isPart(request)) {
      // The rest of the message was never acknowledged: with its number taken, the device's next copy would be dropped.
      if (!(await this.#wasTaken(candidate))) {
        return { ...refused('REPLAY_NOT_POSSIBLE', ''), detail: 'the rest of its message was never taken' };
      }
    } else if (present.length === 0 && (!candidate.holds || (await this.#hasMessage(candidate)))) {
      return { ...refused('SEQUENCE_CONFLICT', 'seq'), detail: 'another message has taken its sequence number' };
    }
    return { candidate, absent: good.filter((place) => !stored.has(place)), present: present.length };
  }

  /** Our door took it: it remembers, the store refused it later, or the store holds its neighbours. */
  async #wasTaken(candidate: Candidate): Promise<boolean> {
    const { request, window, decoded } = candidate;
    if (request.reason === 'STORE_WRITE_REJECTED' || window.look(decoded.seq) === 'seen') return true;
    return this.#hasMessage(candidate);
  }

  async #hasMessage({ request, decoded }: Candidate): Promise<boolean> {
    const { boot, seq } = decoded;
    for (const model of modelsOf(request)) {
      const { tenant, device } = request.device;
      if (await this.#needs.reader.hasMessage({ tenant, device, model, boot, seq })) return true;
    }
    return false;
  }

  /** Samples of the message that are stored at the times of the good ones, by place. */
  async #storedSamples({ request, decoded, good }: Candidate): Promise<ReadonlyMap<number, StoredSample>> {
    const { tenant, device } = request.device;
    const found = new Map<number, StoredSample>();
    for (const model of modelsOf(request)) {
      for (const [from, to] of rangesOf(good.map((place) => decoded.t + (decoded.samples[place]?.[0] ?? 0)))) {
        for await (const sample of this.#needs.reader.export({ tenant, device, model, from, to })) {
          if (sample.boot === decoded.boot && sample.seq === decoded.seq) found.set(sample.index, sample);
        }
      }
    }
    return found;
  }

  #log({ candidate, absent }: Plan): Promise<void> {
    const { request, decoded } = candidate;
    const { tenant, device, model } = request.device;
    const { receivedAt } = request;
    const entry = { kind: 'telemetry', tenant, device, model, receivedAt, body: bodyOf(decoded, absent) } as const;
    return new Promise((resolve, reject) => {
      this.#needs.log.append(entry, (error, position) => {
        if (error) {
          reject(error);
          return;
        }
        this.#release(candidate, true);
        this.#needs.onLogged(position, absent.length);
        resolve();
      });
    });
  }
}

/** Some of the message was taken at the door: only the refused places are missing. */
function isPart(request: ReplayRequest): boolean {
  return request.places !== undefined || request.reason === 'STORE_WRITE_REJECTED';
}

function whyNot(request: ReplayRequest): ReplayResult | undefined {
  if (request.reason === 'SEQUENCE_CONFLICT') {
    const detail = 'it is evidence of a device that lost its count or of somebody who speaks in its name';
    return { ...refused('SEQUENCE_CONFLICT', 'seq'), detail };
  }
  const cannot = { ...refused('REPLAY_NOT_POSSIBLE', '') };
  if (request.channel !== 'telemetry') return { ...cannot, detail: `it came on ${request.channel}, not as telemetry` };
  if (!request.payload) return { ...cannot, detail: 'its payload was not kept' };
  return undefined;
}

function plainPayload(payload: Uint8Array): Uint8Array | AppError {
  if (!isPacked(payload)) return payload;
  const unpacked = unpack(payload);
  return unpacked.kind === 'json' ? unpacked.payload : new AppError(unpacked.reason);
}

function refused(reason: ErrorCode, at: string): ReplayResult {
  return { outcome: 'refused', entered: 0, present: 0, reason, at };
}

function stillRefused({ reason, at }: RefusedTelemetry): ReplayResult {
  return refused(reason, at);
}

/** Why the first of the places is refused; a place that the payload does not have is not possible. */
function refusalAt(decoded: DecodedTelemetry, left: readonly number[]): ReplayResult {
  const first = decoded.refusals.find(({ index }) => left.includes(index));
  return first ? refused(first.reason, first.at) : refused('REPLAY_NOT_POSSIBLE', '');
}

function resultOf({ candidate, absent, present }: Plan): ReplayResult {
  const { left, decoded } = candidate;
  const counts = { entered: absent.length, present };
  if (left.length > 0) {
    const { reason, at } = refusalAt(decoded, left);
    return { outcome: 'partly', ...counts, left, ...(reason ? { reason } : {}), ...(at ? { at } : {}) };
  }
  return { outcome: absent.length > 0 ? 'replayed' : 'alreadyThere', ...counts, left };
}

function modelsOf({ device, model }: ReplayRequest): ReadonlySet<string> {
  return new Set([device.model, model ?? device.model]);
}

/** Half-open ranges that hold all times, without wide empty stretches between them. */
function rangesOf(times: readonly number[]): [from: number, to: number][] {
  const ranges: [from: number, to: number][] = [];
  for (const time of [...times].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last && time - last[1] <= RANGE_GAP_MS) last[1] = Math.max(last[1], time + 1);
    else ranges.push([time, time + 1]);
  }
  return ranges;
}

/** The message with only these places, or exactly what the device sent when that is all of it. */
function bodyOf(decoded: DecodedTelemetry, places: readonly number[]): Uint8Array {
  if (places.length === decoded.samples.length) return decoded.body;
  const { boot, seq, t, hist } = decoded;
  const s = decoded.samples.map((sample, place) => (places.includes(place) ? sample : null));
  return Buffer.from(JSON.stringify({ v: CONTRACT_VERSION, boot, seq, t, s, ...(hist ? { hist } : {}) }));
}

function sameSignals(stored: StoredSample | undefined, sent: Signals | undefined): boolean {
  if (!stored || !sent) return false;
  const names = Object.keys(sent);
  return (
    names.length === Object.keys(stored.signals).length && names.every((name) => stored.signals[name] === sent[name])
  );
}
