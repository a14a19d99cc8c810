/** The channels on which little comes: birth, state, events and the rest. */
import { signalsOf } from '../contract/devices/catalogue.ts';
import type { DeviceDirectory } from '../contract/ports/broker.ts';
import { accept } from './accept.ts';
import { parseChannelPayload, type RareChannel } from './channels.ts';
import { fingerprintOf } from './content-ring.ts';
import { type DeclaredSignals, declaredSignals } from './declared-signals.ts';
import type { RefusedTelemetry } from './decode.ts';
import type { IngestCounts } from './ingest-counts.ts';
import { conflictOf, type Done, type Outcomes } from './outcomes.ts';
import type { ReceivedPublish } from './quarantine.ts';
import type { SequenceBook } from './sequence.ts';
import type { SignalBudget } from './signal-budget.ts';

export interface RareChannelNeeds {
  readonly directory: Pick<DeviceDirectory, 'peek' | 'declare'>;
  readonly book: SequenceBook;
  readonly signals: SignalBudget;
  readonly outcomes: Outcomes;
  readonly count: IngestCounts;
}

export class RareChannels {
  readonly #needs: RareChannelNeeds;
  readonly #book: SequenceBook;
  readonly #signals: SignalBudget;
  readonly #outcomes: Outcomes;
  readonly #count: IngestCounts;

  constructor(needs: RareChannelNeeds) {
    this.#needs = needs;
    this.#book = needs.book;
    this.#signals = needs.signals;
    this.#outcomes = needs.outcomes;
    this.#count = needs.count;
  }

  take(channel: RareChannel, publish: ReceivedPublish, done: Done): void {
    switch (channel) {
      case 'birth':
        this.#birth(publish, done);
        return;
      case 'state':
        this.#state(publish, done);
        return;
      case 'event':
        this.#event(publish, done);
        return;
      default: {
        const parsed = parseChannelPayload(channel, publish.payload);
        if (parsed.kind === 'refused') this.#outcomes.refuse(publish, parsed, done);
        else this.#outcomes.appendRaw('other', publish, this.#outcomes.acknowledge(done));
      }
    }
  }

  /**
   * The signals count from now on, before the birth is durable: telemetry that was sent right behind it is decoded
   * within the same round. If the append fails, the device is not acknowledged and sends its birth again.
   */
  #birth(publish: ReceivedPublish, done: Done): void {
    const parsed = parseChannelPayload('birth', publish.payload);
    if (parsed.kind === 'refused') {
      this.#outcomes.refuse(publish, parsed, done);
      return;
    }
    const memory = this.#book.device(publish.device);
    const declared = declaredSignals(parsed.payload);
    const refused = this.#tooManySignals(publish, memory.declared, declared);
    if (refused) {
      this.#outcomes.refuse(publish, { ...refused, boot: parsed.payload.boot }, done);
      return;
    }
    memory.currentBoot = parsed.payload.boot;
    memory.declared = declared;
    this.#needs.directory.declare(publish.device, memory.declared);
    this.#outcomes.appendRaw('birth', publish, this.#outcomes.acknowledge(done));
  }

  #tooManySignals(
    publish: ReceivedPublish,
    before: DeclaredSignals | undefined,
    declared: DeclaredSignals,
  ): RefusedTelemetry | undefined {
    const device = this.#needs.directory.peek(publish.device) ?? publish.device;
    const { tenant, model } = device;
    const known = { catalogue: signalsOf(model), before: before ?? device.declaredSignals };
    const admission = this.#signals.admit({ tenant, model, ...known, names: declared.keys() }, publish.receivedAt);
    if (admission.kind === 'admitted') return undefined;
    return { kind: 'refused', reason: admission.reason, at: `signals.${admission.name}`, samples: 0 };
  }

  /** A last will of an older boot must not end a newer one: it is kept in the log, but not as a state. */
  #state(publish: ReceivedPublish, done: Done): void {
    const parsed = parseChannelPayload('state', publish.payload);
    if (parsed.kind === 'refused') {
      this.#outcomes.refuse(publish, parsed, done);
      return;
    }
    const { boot, state } = parsed.payload;
    const memory = this.#book.device(publish.device);
    if (state === 'online') memory.currentBoot = boot;
    const stale = memory.currentBoot !== undefined && memory.currentBoot !== boot;
    if (stale) this.#count.staleStates.add('');
    this.#outcomes.appendRaw(stale ? 'other' : 'state', publish, this.#outcomes.acknowledge(done));
  }

  #event(publish: ReceivedPublish, done: Done): void {
    const parsed = parseChannelPayload('event', publish.payload);
    if (parsed.kind === 'refused') {
      this.#outcomes.refuse(publish, parsed, done);
      return;
    }
    const { boot, seq } = parsed.payload;
    const window = this.#book.window(this.#book.device(publish.device), 'event', boot);
    const fingerprint = fingerprintOf(publish.payload);
    const acceptance = accept(seq, window, fingerprint);
    if (acceptance.kind === 'conflict') {
      this.#outcomes.conflict(publish, window, conflictOf({ boot, seq, samples: [] }), acceptance.inFlight, done);
      return;
    }
    if (acceptance.kind === 'duplicate') {
      this.#outcomes.duplicate(window, seq, acceptance.inFlight, 'event', done);
      return;
    }
    // Events are few and not in the telemetry store: one that is too old to be remembered is taken.
    window.begin(seq, fingerprint);
    this.#outcomes.appendRaw('event', publish, (error) => {
      const waiters = window.finish(seq, !error);
      this.#outcomes.share(error, done, waiters);
    });
  }
}
