/** From findings to tickets, evidence and webhooks, with kills and replays, on real databases. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'drizzle-orm';
import { Webhook } from 'standardwebhooks';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Database } from '../../api/db/database.ts';
import {
  alerts,
  consumerPositions,
  deliveries,
  outbox,
  predictionHistory,
  predictions,
  ticketAlerts,
  ticketEvents,
  ticketEvidence,
  tickets,
} from '../../api/db/schema.ts';
import { applySeed } from '../../api/db/seed.ts';
import { canonicalJson } from '../../api/desk/canonical-json.ts';
import { createFindingsFollower, DESK_CONSUMER } from '../../api/findings-follower.ts';
import { createWebhookWorker } from '../../api/notify/webhook-worker.ts';
import { createEvidenceWorker } from '../../api/tickets/evidence-worker.ts';
import { evidenceSnapshot, webhookBody } from '../../contract/http/resources.ts';
import { seededRandom } from '../../contract/kernel/random.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { Finding } from '../../contract/ports/findings.ts';
import { createEmbeddedStore } from '../../ingest/store/embedded.ts';
import {
  alertOf,
  memoryFindings,
  memoryTelemetry,
  predictionOf,
  storedSample,
  T0,
  TEST_KEYS,
  testSeed,
} from '../support/api-harness.ts';
import { manualClock, noMetrics, silentLogger } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const SECRET = `whsec_${Buffer.from('a secret of at least 24 bytes').toString('base64')}`;
const clock = manualClock(T0 + 60_000);

interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A receiver whose next answers are given; 204 when they run out. */
async function startReceiver(statuses: number[] = []) {
  const received: Received[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    received.push({ headers: request.headers, body });
    const status = statuses.shift() ?? 204;
    response.writeHead(status, status === 302 ? { location: 'http://127.0.0.1:1/' } : {}).end();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    close: () => new Promise((done) => server.close(done)),
  };
}

async function emptyDesk(database: Database): Promise<void> {
  await database.withOwner((client) =>
    client.query(`TRUNCATE alerts, predictions, prediction_history, tickets, ticket_alerts, ticket_events, ticket_evidence,
      ticket_counters, outbox, deliveries, consumer_positions, service_timers`),
  );
}

/** Everything the desk keeps, without what the server's clock or chance decides. */
async function picture(database: Database) {
  return database.withSystem(async (tx) => ({
    alerts: (await tx.select().from(alerts)).sort((a, b) => a.id.localeCompare(b.id)),
    predictions: (await tx.select().from(predictions)).sort((a, b) =>
      JSON.stringify(a).localeCompare(JSON.stringify(b)),
    ),
    history: (await tx.select().from(predictionHistory)).length,
    tickets: (await tx.select().from(tickets))
      .map(({ id: _, ...ticket }) => ticket)
      .sort((a, b) => a.key.localeCompare(b.key)),
    attached: (await tx.select().from(ticketAlerts)).map((row) => `${row.alertId} → ${row.ticketKey}`).sort(),
    events: (await tx.select().from(ticketEvents)).map((row) => `${row.ticketKey} ${row.seq} ${row.type}`).sort(),
    evidence: (await tx.select().from(ticketEvidence)).length,
    outbox: (await tx.select().from(outbox)).length,
  }));
}

describeOnDatabases('the desk', clock, (database) => {
  const deps = { clock, logger: silentLogger, metrics: noMetrics };

  beforeAll(async () => {
    const seed = testSeed((file) => {
      for (const tenant of file.tenants) {
        const north = tenant.centres[0];
        if (north) north.webhook = { url: 'http://127.0.0.1:9/hook', secret: SECRET };
      }
    });
    await applySeed(database(), seed, TEST_KEYS, clock);
  });
  beforeEach(() => emptyDesk(database()));

  const followerOf = (findings: ReturnType<typeof memoryFindings>, on: Database = database()) =>
    createFindingsFollower(
      { ...deps, database: on, findings, publicUrl: () => 'http://console', onNews: () => undefined },
      { idleMs: 20, batchMaxFindings: 7 },
    );
  const followToEnd = async (findings: ReturnType<typeof memoryFindings>, on?: Database) => {
    const follower = followerOf(findings, on);
    await follower.start();
    await waitFor('the end of the findings', () => follower.position() === findings.end());
    await follower.stop();
  };
  const setWebhook = (url: string) =>
    database().withSystem((tx) => tx.execute(sql`UPDATE centres SET webhook_url = ${url} WHERE id = 'north'`));

  /** Twenty episodes on five devices of two tenants, with updates, clears and predictions, in a seeded order. */
  function manyFindings(seed: number): Finding[] {
    const random = seededRandom(seed);
    const findings: Finding[] = [];
    for (let n = 0; n < 120; n++) {
      const tenant = random() < 0.7 ? 'acme' : 'globex';
      const device = `fridge-${1 + Math.floor(random() * 3)}`;
      const mode = random() < 0.5 ? ['compressorBearingWear', 'compressor'] : ['evaporatorFanWear', 'evaporatorFan'];
      const [faultKey = '', component = ''] = mode;
      const at = T0 + n * 60_000;
      if (random() < 0.3) {
        findings.push({
          kind: 'prediction',
          id: `p${n}`,
          tenant,
          device,
          model: 'refrigerator',
          at,
          position: n,
          prediction: predictionOf({ median: 300, lower: 200, upper: 400, unit: 'h' }, { faultKey, component }),
        });
        continue;
      }
      const kind =
        (['alertRaised', 'alertUpdated', 'alertUpdated', 'alertCleared'] as const)[Math.floor(random() * 4)] ??
        'alertRaised';
      findings.push(
        alertOf({
          kind,
          tenant,
          device,
          faultKey,
          component,
          at,
          position: n,
          episode: `${tenant}-${device}-${faultKey}-${Math.floor(n / 40)}`,
          severity: random() < 0.5 ? 'major' : 'minor',
          confirmed: random() < 0.5,
        }),
      );
    }
    return findings;
  }

  it('opens one ticket for an alert, with all that belongs to it', async () => {
    const findings = memoryFindings();
    findings.add(alertOf());
    await followToEnd(findings);
    const { tickets: opened, attached, events, outbox: messages } = await picture(database());
    expect(opened).toMatchObject([
      { key: 'SC-26-000001', state: 'new', centre: 'north', component: 'compressor', observedAt: T0, version: 1 },
    ]);
    expect(attached).toEqual(['ep-1 → SC-26-000001']);
    expect(events).toEqual(['SC-26-000001 1 opened']);
    expect(messages).toBe(1);
  });

  it('attaches later alerts of the component, opens another ticket for another component', async () => {
    const findings = memoryFindings();
    findings.add(
      alertOf(),
      alertOf({ kind: 'alertCleared', at: T0 + 1 }),
      alertOf({ episode: 'ep-2', at: T0 + 2, faultKey: 'unexplained', severity: 'minor', confirmed: false }),
      alertOf({ episode: 'ep-3', at: T0 + 3, faultKey: 'evaporatorFanWear', component: 'evaporatorFan' }),
    );
    await followToEnd(findings);
    const { attached, events, tickets: opened } = await picture(database());
    expect(attached).toEqual(['ep-1 → SC-26-000001', 'ep-2 → SC-26-000001', 'ep-3 → SC-26-000002']);
    expect(events).toContain('SC-26-000001 2 alertCleared');
    expect(events).toContain('SC-26-000001 3 alertAttached');
    expect(opened.map((ticket) => ticket.severity)).toEqual(['major', 'major']);
  });

  it('closes an episode whose clearing was lost when the next one is raised', async () => {
    const findings = memoryFindings();
    findings.add(alertOf(), alertOf({ episode: 'ep-2', at: T0 + 9 }));
    await followToEnd(findings);
    const { alerts: kept } = await picture(database());
    expect(kept.map((alert) => [alert.id, alert.state])).toEqual([
      ['ep-1', 'cleared'],
      ['ep-2', 'open'],
    ]);
  });

  it('reopens a ticket whose repair was reported when the fault shows again', async () => {
    const findings = memoryFindings();
    findings.add(alertOf(), alertOf({ kind: 'alertCleared', at: T0 + 1 }));
    await followToEnd(findings);
    await database().withSystem((tx) => tx.update(tickets).set({ state: 'resolved' }));
    findings.add(alertOf({ episode: 'ep-2', at: T0 + 5 }));
    await followToEnd(findings);
    const { tickets: kept, events } = await picture(database());
    expect(kept).toMatchObject([{ state: 'reopened' }]);
    expect(events.at(-1)).toBe('SC-26-000001 4 transition');
  });

  it('does not open a second ticket for an episode whose ticket was cancelled', async () => {
    const findings = memoryFindings();
    findings.add(alertOf());
    await followToEnd(findings);
    await database().withSystem((tx) => tx.update(tickets).set({ state: 'cancelled' }));
    findings.add(alertOf({ kind: 'alertUpdated', at: T0 + 1, severity: 'critical' }));
    await followToEnd(findings);
    expect((await picture(database())).tickets).toMatchObject([{ state: 'cancelled', severity: 'major' }]);
  });

  it.each([1, 2, 3])('gives the same desk when the findings are read again from the start (seed %i)', async (seed) => {
    const findings = memoryFindings();
    findings.add(...manyFindings(seed));
    await followToEnd(findings);
    const once = await picture(database());
    expect(once.tickets.length).toBeGreaterThan(2);
    await database().withSystem((tx) => tx.update(consumerPositions).set({ position: 0 }));
    await followToEnd(findings);
    expect(await picture(database())).toEqual(once);
    // Appended again by an analytics that had not yet saved its checkpoint.
    findings.add(...manyFindings(seed).slice(-60));
    await followToEnd(findings);
    expect(await picture(database())).toEqual(once);
  });

  it.each([4, 5])('gives the same desk when the process dies before or after any commit (seed %i)', async (seed) => {
    const findings = memoryFindings();
    findings.add(...manyFindings(seed));
    await followToEnd(findings);
    const calm = await picture(database());
    await emptyDesk(database());
    const random = seededRandom(seed);
    /** Dies sometimes before the transaction commits, sometimes after, when nobody hears that it did. */
    const dying: Database = {
      ...database(),
      async withSystem(work) {
        const dice = random();
        const result = await database().withSystem(async (tx) => {
          const done = await work(tx);
          if (dice < 0.3) throw Object.assign(new Error('died before the commit'), { code: '57014' });
          return done;
        });
        if (dice > 0.7) throw Object.assign(new Error('died after the commit'), { code: '57014' });
        return result;
      },
    };
    for (let run = 0; run < 500; run++) {
      const follower = followerOf(findings, dying);
      const started = await follower.start().then(
        () => true,
        () => false,
      );
      if (started)
        await waitFor('a batch', () => follower.position() >= Math.min(findings.end(), (run + 1) * 70), 200).catch(
          () => undefined,
        );
      await follower.stop();
      if (started && follower.position() === findings.end()) break;
    }
    const after = await picture(database());
    expect({ ...after, tickets: after.tickets.length }).toMatchObject({ ...calm, tickets: calm.tickets.length });
  });

  it('leaves out a finding that cannot be read or stored, and goes on', async () => {
    const findings = memoryFindings();
    findings.addRaw('{"kind":"alertRaised"');
    findings.addRaw('{"kind":"nonsense"}');
    findings.add(alertOf({ episode: 'nul-\u0000', device: 'fridge-2' }), alertOf({ tenant: 'nobody' }), alertOf());
    await followToEnd(findings);
    expect((await picture(database())).tickets).toMatchObject([{ device: 'fridge-1' }]);
  });

  it('reads a new findings log from its start although the old one had come further', async () => {
    const old = memoryFindings();
    old.add(alertOf(), alertOf({ kind: 'alertUpdated', at: T0 + 1 }), alertOf({ kind: 'alertUpdated', at: T0 + 2 }));
    await followToEnd(old);
    const fresh = memoryFindings();
    fresh.add(alertOf({ episode: 'ep-new', device: 'fridge-3' }));
    await followToEnd(fresh);
    expect((await picture(database())).tickets).toHaveLength(2);
    const [row] = await database().withSystem((tx) => tx.select().from(consumerPositions));
    expect(row).toMatchObject({ consumer: DESK_CONSUMER, position: fresh.end() });
  });

  it('keeps the newest prediction and a ledger that is thinned by device time', async () => {
    const findings = memoryFindings();
    for (let n = 0; n < 180; n++) {
      findings.add({
        kind: 'prediction',
        id: `p${n}`,
        tenant: 'acme',
        device: 'fridge-1',
        model: 'refrigerator',
        at: T0 + n * 60_000,
        position: n,
        prediction: predictionOf({ median: 300 - n, lower: 200 - n, upper: 400 - n, unit: 'h' }),
      });
    }
    await followToEnd(findings);
    const { predictions: newest, history } = await picture(database());
    expect(newest).toMatchObject([{ at: T0 + 179 * 60_000, prediction: { remainingLife: { median: 121 } } }]);
    expect(history).toBe(3);
  });

  describe('evidence', () => {
    const samples = Array.from({ length: 30 }, (_, n) =>
      storedSample({
        seq: n,
        observedAt: T0 - (29 - n) * 300_000,
        signals: { compressorVibrationMmPerS: 2 + n / 10, compressorCurrentA: 1 },
      }),
    );
    const readEvidence = async () => (await database().withSystem((tx) => tx.select().from(ticketEvidence)))[0];

    it('is pinned with a hash that anybody can check once the store has the sample', async () => {
      const findings = memoryFindings();
      findings.add(alertOf({ position: 777 }));
      await followToEnd(findings);
      const early = evidenceSnapshot.parse({ ...JSON.parse((await readEvidence())?.canonical ?? ''), sha256: '' });
      expect(early).toMatchObject({ complete: false, series: [], onset: T0 - 3_600_000 });

      let pass: () => void = () => undefined;
      const asked: number[] = [];
      const worker = createEvidenceWorker({
        ...deps,
        database: database(),
        reader: memoryTelemetry(samples),
        storePassed(position) {
          asked.push(position);
          return new Promise((done) => {
            pass = done;
          });
        },
        onPinned: () => undefined,
      });
      await worker.start();
      await waitFor('the question to the store', () => asked.length > 0);
      expect(asked).toEqual([777]);
      expect((await readEvidence())?.complete).toBe(false);
      pass();
      const pinned = await waitFor('the evidence', async () => {
        const row = await readEvidence();
        return row?.complete ? row : undefined;
      });
      await worker.stop();
      expect(pinned.sha256).toBe(createHash('sha256').update(pinned.canonical).digest('hex'));
      const snapshot = evidenceSnapshot.parse({ ...JSON.parse(pinned.canonical), sha256: pinned.sha256 });
      const { sha256, ...rest } = snapshot;
      expect(createHash('sha256').update(canonicalJson(rest)).digest('hex')).toBe(sha256);
      expect(snapshot.series.map((one) => [one.signal, one.unit, one.points.length])).toEqual([
        ['compressorVibrationMmPerS', 'mm/s', 30],
        ['compressorCurrentA', 'A', 30],
      ]);
      expect((await picture(database())).events).toEqual(['SC-26-000001 1 opened', 'SC-26-000001 2 evidencePinned']);
    });

    it('outlives the samples that it shows, when retention deletes them from the store', async () => {
      const directory = mkdtempSync(join(tmpdir(), 'presage-evidence-'));
      const store = createEmbeddedStore({ directory, logger: silentLogger, metrics: noMetrics });
      await store.start();
      const messages = samples.map(({ tenant, device, boot, seq, receivedAt, ...sample }) => {
        return {
          identity: { tenant, device, boot, seq },
          model: 'refrigerator',
          receivedAt,
          backfill: false,
          samples: [sample],
        };
      });
      await store.write(messages, 1);
      const findings = memoryFindings();
      findings.add(alertOf());
      await followToEnd(findings);
      const onPinned = (): void => undefined;
      const storePassed = async (): Promise<void> => undefined;
      const worker = createEvidenceWorker({ ...deps, database: database(), reader: store, storePassed, onPinned });
      await worker.start();
      const pinned = await waitFor('the evidence', async () => {
        const row = await readEvidence();
        return row?.complete ? row : undefined;
      });
      const cut = { rawBefore: T0 + 1_000 * DAY_MS, minutesBefore: T0 + 1_000 * DAY_MS };
      while ((await store.retain(cut)) !== undefined);
      const all = { tenant: 'acme', device: 'fridge-1', model: 'refrigerator', from: 0, to: T0 * 2 };
      for await (const left of store.export(all)) expect(left).toBeUndefined();
      worker.wake();
      await worker.stop();
      const after = await readEvidence();
      expect(after).toEqual(pinned);
      const snapshot = evidenceSnapshot.parse({ ...JSON.parse(after?.canonical ?? ''), sha256: after?.sha256 });
      expect(snapshot.series.map((one) => one.points.length)).toEqual([30, 30]);
      await store.stop();
      rmSync(directory, { recursive: true });
    });

    it('does not hold up a stop while the store is behind', async () => {
      const findings = memoryFindings();
      findings.add(alertOf());
      await followToEnd(findings);
      let asked = false;
      const worker = createEvidenceWorker({
        ...deps,
        database: database(),
        reader: memoryTelemetry(),
        storePassed() {
          asked = true;
          return new Promise(() => undefined);
        },
        onPinned: () => undefined,
      });
      await worker.start();
      await waitFor('the question to the store', () => asked);
      const startedAt = performance.now();
      await worker.stop();
      expect(performance.now() - startedAt).toBeLessThan(5_000);
      expect((await readEvidence())?.attempts).toBe(0);
    });

    it('is completed later when the store was away', async () => {
      const findings = memoryFindings();
      findings.add(alertOf());
      await followToEnd(findings);
      let tries = 0;
      const worker = createEvidenceWorker(
        {
          ...deps,
          database: database(),
          reader: memoryTelemetry(samples),
          async storePassed() {
            tries += 1;
            if (tries === 1) throw new Error('store away');
            if (tries === 2) await new Promise(() => undefined);
          },
          onPinned: () => undefined,
        },
        { storeWaitMs: 50 },
      );
      await worker.start();
      await waitFor('the evidence', async () => {
        clock.advance(60_000); // Past the pause between two tries.
        worker.wake();
        return (await readEvidence())?.complete;
      });
      await worker.stop();
      expect(tries).toBe(3);
    });
  });

  describe('webhooks', () => {
    const openTicket = async () => {
      const findings = memoryFindings();
      findings.add(alertOf());
      await followToEnd(findings);
    };
    const runWebhooks = async (allowPrivate: boolean, done: () => Promise<boolean>) => {
      const worker = createWebhookWorker(
        { ...deps, ...TEST_KEYS, database: database() },
        { allowPrivate, retry: { firstDelayMs: 1, maxDelayMs: 1, factor: 1 } },
      );
      await worker.start();
      await waitFor('the delivery', async () => {
        clock.advance(20_000);
        worker.wake();
        return done();
      });
      await worker.stop();
    };
    const stateOf = async () => (await database().withSystem((tx) => tx.select().from(outbox)))[0]?.state;
    const tries = async () =>
      (await database().withSystem((tx) => tx.select().from(deliveries))).map((row) => [row.attempt, row.status]);

    it('arrive signed, are tried again with the same id, and are recorded', async () => {
      const receiver = await startReceiver([503, 429]);
      await setWebhook(receiver.url);
      await openTicket();
      await runWebhooks(true, async () => (await stateOf()) === 'delivered');
      await receiver.close();
      expect(await tries()).toEqual([
        [1, 503],
        [2, 429],
        [3, 204],
      ]);
      expect(new Set(receiver.received.map((one) => one.headers['webhook-id'])).size).toBe(1);
      expect(new Set(receiver.received.map((one) => one.body)).size).toBe(1);
      const last = receiver.received.at(-1);
      const headers = Object.fromEntries(
        Object.entries(last?.headers ?? {}).map(([name, value]) => [name, String(value)]),
      );
      // The receiver checks the time too; ours stands still in the future of this test.
      const signed = new Webhook(SECRET).sign(
        headers['webhook-id'] ?? '',
        new Date(Number(headers['webhook-timestamp']) * 1000),
        last?.body ?? '',
      );
      expect(headers['webhook-signature']).toBe(signed);
      const body = webhookBody.parse(JSON.parse(last?.body ?? ''));
      expect(body.data).toMatchObject({
        tenant: 'acme',
        ticket: { key: 'SC-26-000001', remainingLife: { lower: 120 } },
        evidenceUrl: 'http://console/api/v1/tickets/SC-26-000001',
      });
      expect((await picture(database())).events).toContain('SC-26-000001 2 webhook');
    });

    it.each([302, 400, 410])('are given up when the receiver answers %i', async (status) => {
      const receiver = await startReceiver([status]);
      await setWebhook(receiver.url);
      await openTicket();
      await runWebhooks(true, async () => (await stateOf()) === 'failed');
      await receiver.close();
      expect(await tries()).toEqual([[1, status]]);
    });

    it('never leave for a private address unless the operator allows it', async () => {
      const receiver = await startReceiver();
      await setWebhook(receiver.url.replace('http:', 'https:'));
      await openTicket();
      await runWebhooks(false, async () => (await stateOf()) === 'failed');
      await receiver.close();
      expect(receiver.received).toEqual([]);
    });

    it('wait for the evidence, but not for ever', async () => {
      await setWebhook('http://127.0.0.1:9/hook');
      await openTicket();
      const [message] = await database().withSystem((tx) => tx.select().from(outbox));
      expect(message?.nextAt).toBe(clock.now() + 15_000);
    });
  });
});
