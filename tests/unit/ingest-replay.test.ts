/** Quarantined telemetry decoded again: what is good now enters the log once, at its own places, and never twice. */
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import type { QuarantineRecord } from '../../contract/ports/registry.ts';
import type { ReplayRequest, ReplayResult } from '../../contract/ports/replay.ts';
import { decodeTelemetryEntry } from '../../contract/wire/log-entry.ts';
import type { TelemetryMessage } from '../../contract/wire/sample.ts';
import { PayloadBudget } from '../../ingest/payload-budget.ts';
import { quarantineRecordSchema, refusedSampleRecord } from '../../ingest/quarantine.ts';
import { disposeIngest, type Harness, type HarnessOptions, startIngest, telemetry } from '../support/ingest-harness.ts';
import { RECEIVED_AT, textOf } from '../support/log-entries.ts';

let harness: Harness | undefined;
afterEach(async () => {
  if (harness) await disposeIngest(harness);
  harness = undefined;
});

async function messages(): Promise<TelemetryMessage[]> {
  const entries = (await harness?.entries()) ?? [];
  return entries.filter(({ kind }) => kind === 'telemetry').map(decodeTelemetryEntry);
}

/** Stores exactly what the log holds. */
const reader: NonNullable<HarnessOptions['reader']> = {
  hasMessage: async ({ device, boot, seq }) =>
    (await messages()).some(({ identity: id }) => id.device === device && id.boot === boot && id.seq === seq),
  async *export({ device, from, to }) {
    for (const { identity, receivedAt, samples } of await messages()) {
      for (const sample of samples) {
        if (identity.device !== device || sample.observedAt < from || sample.observedAt >= to) continue;
        yield { ...identity, ...sample, receivedAt };
      }
    }
  },
};

async function start(options: HarnessOptions = {}): Promise<Harness> {
  harness = await startIngest({ reader, ...options });
  return harness;
}

/** What stands in quarantine, as the registry would ask for it. */
async function quarantined(h: Harness): Promise<ReplayRequest[]> {
  const entries = (await h.entries()).filter(({ kind }) => kind === 'quarantine');
  return entries.map((entry) => requestOf(quarantineRecordSchema.parse(JSON.parse(textOf(entry)))));
}

function requestOf(record: QuarantineRecord | ReturnType<typeof quarantineRecordSchema.parse>): ReplayRequest {
  const { tenant, device, channel, reason, receivedAt, payload, model, places } = record;
  return {
    device: { tenant, device, model: 'refrigerator', declaredSignals: new Map() },
    channel,
    reason,
    receivedAt,
    ...(payload === undefined ? {} : { payload: Buffer.from(payload, 'base64') }),
    ...(model === undefined ? {} : { model }),
    ...(places === undefined ? {} : { places }),
  };
}

const declare = (h: Harness, ...names: string[]): Promise<void> =>
  h.send('birth', { v: 1, boot: 'boot-1', t: RECEIVED_AT, signals: names.map((name) => ({ name })) });

const unknown = (seq: number, over: object = {}): object => telemetry(seq, { s: [[0, { newThing: seq }]], ...over });

async function replayOne(h: Harness): Promise<ReplayResult | undefined> {
  return (await h.ingest.replay((await quarantined(h)).slice(0, 1)))[0];
}

const stored = async (): Promise<string[]> =>
  (await messages()).flatMap(({ identity, receivedAt, samples }) =>
    samples.map((one) => `${identity.seq}/${one.index} ${JSON.stringify(one.signals)} +${RECEIVED_AT - receivedAt}`),
  );

describe('replaying the quarantine', () => {
  it('says why a message is still refused, and changes nothing', async () => {
    const h = await start();
    await h.send('telemetry', unknown(1));
    expect(await replayOne(h)).toMatchObject({
      outcome: 'refused',
      entered: 0,
      reason: 'SIGNAL_UNKNOWN',
      at: 's[0].newThing',
    });
    expect(await stored()).toEqual([]);
  });

  it('takes a whole message once its signal was declared, with the time at which it was received, and only once', async () => {
    const h = await start();
    await h.send('telemetry', unknown(1));
    await declare(h, 'newThing');
    expect(await replayOne(h)).toMatchObject({ outcome: 'replayed', entered: 1, left: [] });
    expect(await replayOne(h)).toMatchObject({ outcome: 'alreadyThere', entered: 0, present: 1 });
    await h.send('telemetry', unknown(1)); // The device sends it again: a duplicate now.
    expect(await stored()).toEqual(['1/0 {"newThing":1} +0']);
    await h.ingest.stop();
    const { values } = h.metrics;
    expect(values.get('presage_ingest_replayed_total')).toBe(1);
    expect(values.get('presage_ingest_duplicates_total{channel=telemetry}')).toBe(1);
    expect(values.get('presage_ingest_logged_total{kind=telemetry}')).toBe(1);
  });

  it('takes only the refused samples of a message, at their own places', async () => {
    const h = await start();
    const s = [
      [0, { freezerTempC: 1 }],
      [10, { newThing: 2 }],
      [20, { otherThing: 3 }],
      [30, { freezerTempC: 4 }],
    ];
    await h.send('telemetry', telemetry(5, { s }));
    await declare(h, 'newThing');
    const [request] = await quarantined(h);
    expect(request?.places).toEqual([1, 2]);
    const [first] = await h.ingest.replay(request ? [request] : []);
    expect(first).toMatchObject({
      outcome: 'partly',
      entered: 1,
      left: [2],
      reason: 'SIGNAL_UNKNOWN',
      at: 's[2].otherThing',
    });
    await declare(h, 'newThing', 'otherThing');
    const rest = request && { ...request, places: first?.left ?? [] };
    const both = await h.ingest.replay(rest && request ? [rest, request] : []);
    expect(both).toMatchObject([
      { outcome: 'replayed', entered: 1 },
      { outcome: 'alreadyThere', entered: 0, present: 2 },
    ]);
    expect((await stored()).map((line) => line.split(' ')[0])).toEqual(['5/0', '5/3', '5/1', '5/2']);
  });

  it.each(['before the snapshot', 'after it'])('finds after a kill what a replay had logged, %s', async (when) => {
    let h = await start(when === 'after it' ? { ingest: { snapshotEveryBytes: 1 } } : {});
    await h.send('telemetry', unknown(1));
    await h.send(
      'telemetry',
      telemetry(2, {
        s: [
          [0, { freezerTempC: 1 }],
          [5, { newThing: 2 }],
        ],
      }),
    );
    await declare(h, 'newThing');
    const requests = await quarantined(h);
    await h.ingest.replay(requests);
    const before = await stored();
    expect(before).toHaveLength(3);
    harness = await h.again();
    h = harness;
    // Nobody wrote down that they were replayed: the process died before it could.
    expect(await h.ingest.replay(requests)).toMatchObject([{ outcome: 'alreadyThere' }, { outcome: 'alreadyThere' }]);
    await h.send('telemetry', unknown(1));
    expect(await stored()).toEqual(before);
  });

  it('replays many at once, each once, also when two ask at the same time', async () => {
    const h = await start();
    for (let seq = 1; seq <= 30; seq++) await h.send('telemetry', unknown(seq));
    await declare(h, 'newThing');
    const requests = await quarantined(h);
    const [one, two] = await Promise.all([h.ingest.replay(requests), h.ingest.replay([...requests, ...requests])]);
    expect(one.every(({ outcome }) => outcome === 'replayed')).toBe(true);
    expect(two.every(({ outcome }) => outcome === 'alreadyThere')).toBe(true);
    expect(new Set(await stored()).size).toBe(30);
    expect(await stored()).toHaveLength(30);
  });

  it('refuses a message whose number another one has taken', async () => {
    const h = await start();
    await h.send('telemetry', unknown(1));
    await h.send('telemetry', telemetry(1));
    await declare(h, 'newThing');
    expect(await replayOne(h)).toMatchObject({ outcome: 'refused', reason: 'SEQUENCE_CONFLICT' });
    expect(await stored()).toEqual(['1/0 {"freezerTempC":1} +0']);
  });

  it('refuses conflicts: they are evidence, not data', async () => {
    const h = await start();
    await h.send('telemetry', telemetry(1));
    await h.send('telemetry', telemetry(1, { s: [[0, { freezerTempC: 99 }]] }));
    const result = await replayOne(h);
    expect(result).toMatchObject({ outcome: 'refused', reason: 'SEQUENCE_CONFLICT' });
    expect(result?.detail).toContain('evidence');
  });

  it('does not take the refused part of a message whose good part was never acknowledged', async () => {
    const h = await start();
    await h.send(
      'telemetry',
      telemetry(9, {
        s: [
          [0, { freezerTempC: 1 }],
          [5, { newThing: 2 }],
        ],
      }),
    );
    const declaredSignals = new Map([['newThing', 'number' as const]]);
    const [request] = await quarantined(h);
    h.directory.declare({ tenant: 'acme', device: 'fridge-2' }, declaredSignals);
    const stranger = request && { ...request, device: { ...request.device, device: 'fridge-2' } };
    const [result] = await h.ingest.replay(stranger ? [stranger] : []);
    expect(result).toMatchObject({ outcome: 'refused', reason: 'REPLAY_NOT_POSSIBLE' });
  });

  it('judges the time of a sample by when it came, not by when it is replayed', async () => {
    const h = await start();
    await h.send('telemetry', telemetry(1, { t: RECEIVED_AT + 600_000 }));
    expect(await replayOne(h)).toMatchObject({ outcome: 'refused', reason: 'TIME_IN_FUTURE' });
  });

  it('unpacks what came packed', async () => {
    const h = await start();
    await h.send('telemetry', gzipSync(JSON.stringify(unknown(3))));
    await declare(h, 'newThing');
    expect(await replayOne(h)).toMatchObject({ outcome: 'replayed', entered: 1 });
  });

  it('lets a copy that the device sends meanwhile share the outcome', async () => {
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const h = await start({ passed: () => gate });
    await h.send('telemetry', unknown(1));
    await declare(h, 'newThing');
    const replay = h.ingest.replay((await quarantined(h)).slice(0, 1));
    await Promise.resolve();
    const copy = h.send('telemetry', unknown(1));
    open();
    await Promise.all([replay, copy]);
    expect(await stored()).toHaveLength(1);
  });

  it('replays a sample that only the store had refused', async () => {
    const h = await start({ reader: {} });
    await h.send('telemetry', telemetry(1));
    const [entry] = await h.entries();
    const sample = { tenant: 'acme', device: 'fridge-1', boot: 'boot-1', seq: 1, index: 0, observedAt: RECEIVED_AT };
    const rejected = { sample: { ...sample, receivedAt: RECEIVED_AT, signals: {} }, reason: 'field type conflict' };
    const [result] = await h.ingest.replay([requestOf(refusedSampleRecord(rejected, entry))]);
    expect(result).toMatchObject({ outcome: 'replayed', entered: 1 });
    expect(await stored()).toHaveLength(2); // The log; the store holds only the second.
  });

  it('names what makes a replay impossible', async () => {
    const h = await start({ ingest: { payloadLimits: { maxBytesPerDeviceAndHour: 100 } } });
    await h.send('telemetry', unknown(1));
    await h.send('telemetry', unknown(2));
    await h.send('event', { v: 1, nonsense: true });
    const results = await h.ingest.replay(await quarantined(h));
    expect(results.map(({ reason, detail }) => detail ?? reason)).toEqual([
      'SIGNAL_UNKNOWN',
      'its payload was not kept',
      'it came on event, not as telemetry',
    ]);
    await h.ingest.stop();
    const { values } = h.metrics;
    expect(values.get('presage_ingest_quarantine_payloads_total{outcome=kept}')).toBe(1);
    expect(values.get('presage_ingest_quarantine_payloads_total{outcome=overBudget}')).toBe(1);
    expect(values.get('presage_ingest_quarantine_payloads_total{outcome=neverReplayable}')).toBe(1);
  });

  it('keeps payloads again in the next hour', () => {
    const budget = new PayloadBudget({ maxBytesPerDeviceAndHour: 10 });
    const device = { tenant: 'acme', device: 'd', model: 'm', declaredSignals: new Map() };
    const publish = (receivedAt: number) =>
      ({ device, channel: 'telemetry', payload: Buffer.alloc(8), receivedAt }) as const;
    expect(budget.admit(publish(0), 'SAMPLE_INVALID')).toBe('kept');
    expect(budget.admit(publish(1), 'SAMPLE_INVALID')).toBe('overBudget');
    expect(budget.admit(publish(3_600_000), 'SAMPLE_INVALID')).toBe('kept');
  });
});
