/** An API with everything around it in memory, except SQL, which is real. */

import { createRuleTools } from '../../analytics/rules/rule-tools.ts';
import { singleKey } from '../../api/accounts/key-ring.ts';
import { type Api, type ApiOptions, createApi } from '../../api/create-api.ts';
import type { Database } from '../../api/db/database.ts';
import { applySeed } from '../../api/db/seed.ts';
import { createDeviceDirectory } from '../../api/devices/directory.ts';
import type { FindingsLog } from '../../api/findings-follower.ts';
import { DEVICE_MODELS } from '../../contract/devices/catalogue.ts';
import type { DeviceRef } from '../../contract/kernel/ids.ts';
import { type SeedFile, seedFile } from '../../contract/kernel/seed.ts';
import type { DeviceDirectory, PresenceChange } from '../../contract/ports/broker.ts';
import type { AlertFinding, Finding, Prediction, RemainingLife } from '../../contract/ports/findings.ts';
import type { Clock, Readiness } from '../../contract/ports/services.ts';
import type { LoggedEntry, Position } from '../../contract/ports/telemetry-log.ts';
import type { ApiReader, StoredSample } from '../../contract/ports/telemetry-store.ts';
import type { SignalValue } from '../../contract/wire/payloads.ts';
import type { TelemetryMessage } from '../../contract/wire/sample.ts';
import { noMetrics, silentLogger } from './fake-services.ts';

export const TEST_KEYS = { hmacKeys: singleKey(Buffer.alloc(32, 3)), webhookKeys: singleKey(Buffer.alloc(32, 4)) };
export const T0 = 1_795_392_000_000;

export const token = (tenant: string, user: string) => `token-of-${tenant}-${user}-0123456789-0123456789`;

/** Two tenants, two centres each, one user of each role; `nora` and `stan` belong to a centre. */
export function testSeed(change: (seed: SeedFile) => void = () => undefined): SeedFile {
  const user = (tenant: string, id: string, role: string, centre?: string) => ({
    id,
    role,
    tokens: [token(tenant, id)],
    ...(centre ? { centre } : {}),
  });
  const seed = seedFile.parse({
    tenants: ['acme', 'globex'].map((tenant) => ({
      id: tenant,
      name: tenant,
      centres: [
        { id: 'north', name: 'North' },
        { id: 'south', name: 'South' },
      ],
      users: [
        user(tenant, 'vera', 'viewer'),
        user(tenant, 'alan', 'agent'),
        user(tenant, 'anna', 'admin'),
        user(tenant, 'nora', 'agent', 'north'),
        user(tenant, 'stan', 'manager', 'south'),
      ],
      devices: ['fridge-1', 'fridge-2', 'fridge-3'].map((id, index) => ({
        id,
        model: 'refrigerator',
        secret: `secret-of-${tenant}-${id}-0123456789`,
        centre: index === 1 ? 'south' : 'north',
      })),
    })),
  });
  change(seed);
  return seed;
}

/** A findings log in memory. Positions rise by 10 an entry. */
export function memoryFindings(): FindingsLog & { add(...findings: Finding[]): void; addRaw(body: string): void } {
  const entries: LoggedEntry[] = [];
  const committed = new Map<string, Position>();
  const listeners = new Set<(end: Position) => void>();
  const end = () => entries.at(-1)?.position ?? 0;
  const push = (body: string) => {
    entries.push({
      kind: 'finding',
      tenant: 'acme',
      device: 'fridge-1',
      model: 'refrigerator',
      receivedAt: T0,
      body: Buffer.from(body),
      position: end() + 10,
    });
    for (const listener of listeners) listener(end());
  };
  return {
    add: (...findings) => {
      for (const finding of findings) push(JSON.stringify(finding));
    },
    addRaw: push,
    async read(from, { maxEntries }) {
      const found = entries.filter((entry) => entry.position > from).slice(0, maxEntries);
      return { entries: found, next: found.at(-1)?.position ?? from };
    },
    end,
    start: () => 0,
    committed: (consumer) => committed.get(consumer) ?? 0,
    async commit(consumer, position) {
      committed.set(consumer, position);
    },
    lagBytes: () => 0,
    onDurable(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** A telemetry store in memory. */
export function memoryTelemetry(samples: StoredSample[] = []): ApiReader & { samples: StoredSample[] } {
  const of = (ref: DeviceRef) => samples.filter((one) => one.tenant === ref.tenant && one.device === ref.device);
  return {
    samples,
    async series({ signals, from, to, ...ref }) {
      const inRange = of(ref).filter((one) => one.observedAt >= from && one.observedAt < to);
      return signals.map((signal) => ({
        signal,
        points: inRange.flatMap((one): [number, SignalValue][] => {
          const value = one.signals[signal];
          return value === undefined ? [] : [[one.observedAt, value]];
        }),
      }));
    },
    async latest(ref) {
      const latest = new Map<string, { observedAt: number; value: SignalValue }>();
      for (const one of of(ref)) {
        for (const [signal, value] of Object.entries(one.signals))
          latest.set(signal, { observedAt: one.observedAt, value });
      }
      return latest;
    },
    async *export({ from, to, ...ref }) {
      for (const one of of(ref)) if (one.observedAt >= from && one.observedAt < to) yield one;
    },
    hasMessage: async () => false,
    async aggregateModel({ tenant, signal, from, to, bucketMs }) {
      const start = Math.floor(from / bucketMs) * bucketMs;
      const values = samples
        .filter((one) => one.tenant === tenant && one.observedAt >= start && one.observedAt < to)
        .flatMap((one) => (typeof one.signals[signal] === 'number' ? [one.signals[signal]] : []));
      if (values.length === 0) return [];
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      return [{ from: start, devices: 1, count: values.length, p50: mean, p95: mean, mean }];
    },
  };
}

export const storedSample = (facts: Partial<StoredSample> = {}): StoredSample => ({
  tenant: 'acme',
  device: 'fridge-1',
  boot: 'b1',
  seq: 1,
  index: 0,
  observedAt: T0,
  receivedAt: T0 + 50,
  signals: { compressorVibrationMmPerS: 2 },
  ...facts,
});

export const predictionOf = (life: RemainingLife | undefined, facts: Partial<Prediction> = {}): Prediction => ({
  faultKey: 'compressorBearingWear',
  component: 'compressor',
  ...(life ? { remainingLife: life } : { reason: 'the trend is flat' }),
  probabilityWithin: [],
  method: { name: 'trend', version: '1.0.0' },
  ...facts,
});

/** An alert of bearing wear on acme's fridge-1, confirmed, major. */
export const alertOf = (facts: Partial<AlertFinding> = {}): AlertFinding => ({
  id: `${facts.episode ?? 'ep-1'}-${facts.kind ?? 'alertRaised'}-${facts.at ?? T0}`,
  tenant: 'acme',
  device: 'fridge-1',
  model: 'refrigerator',
  at: T0,
  position: 100,
  kind: 'alertRaised',
  episode: 'ep-1',
  faultKey: 'compressorBearingWear',
  component: 'compressor',
  severity: 'major',
  confirmed: true,
  onset: T0 - 3_600_000,
  evidence: {
    detector: { name: 'cusum', version: '1.2.0' },
    score: 0.999,
    threshold: 0.99,
    because: [
      {
        signal: 'compressorVibrationMmPerS',
        value: 4.2,
        expected: 2,
        low: 1.5,
        high: 2.5,
        unit: 'mm/s',
        contribution: 0.8,
      },
    ],
    likelyCauses: [
      {
        faultKey: 'compressorBearingWear',
        cause: 'Worn bearing',
        probability: 0.9,
        parts: [{ number: 'CMP-4420', name: 'Compressor assembly', quantity: 1 }],
      },
    ],
    prediction: predictionOf({ median: 200, lower: 120, upper: 300, unit: 'h' }),
    bands: { compressorVibrationMmPerS: [{ at: T0, expected: 2, low: 1.5, high: 2.5 }] },
  },
  ...facts,
});

export interface ApiHarness {
  readonly api: Api;
  /** As the broker asks it. */
  readonly directory: DeviceDirectory;
  readonly findings: ReturnType<typeof memoryFindings>;
  readonly telemetry: ReturnType<typeof memoryTelemetry>;
  readonly disconnected: DeviceRef[];
  readonly presence: (change: PresenceChange) => void;
  readonly live: (message: TelemetryMessage) => void;
  /** Stand-in for the store's progress; resolves at once by default. */
  storePassed: (position: Position) => Promise<void>;
  readiness: Record<string, Readiness>;
  /** Sends a request as a user; `undefined` = without credentials. */
  request(
    as: { tenant?: string; user: string } | undefined,
    method: 'GET' | 'POST' | 'DELETE' | 'PUT' | 'PATCH',
    url: string,
    more?: { body?: unknown; headers?: Record<string, string> },
  ): Promise<{ status: number; body: never; headers: Record<string, unknown>; text: string }>;
}

export async function startHarness(
  database: Database,
  clock: Clock,
  { seed = testSeed(), options = {} }: { seed?: SeedFile; options?: ApiOptions } = {},
): Promise<ApiHarness> {
  await applySeed(database, seed, TEST_KEYS, clock);
  const findings = memoryFindings();
  const telemetry = memoryTelemetry();
  const presence = new Set<(change: PresenceChange) => void>();
  const live = new Set<(message: TelemetryMessage) => void>();
  const disconnected: DeviceRef[] = [];
  const directory = createDeviceDirectory(database, { ...TEST_KEYS, clock });
  const api = createApi(
    {
      database,
      directory,
      ...TEST_KEYS,
      reader: telemetry,
      rules: createRuleTools(DEVICE_MODELS),
      findings,
      storePassed: (position) => harness.storePassed(position),
      live(listener) {
        live.add(listener);
        return () => live.delete(listener);
      },
      broker: {
        onPresence(listener) {
          presence.add(listener);
          return () => presence.delete(listener);
        },
        disconnect: (ref) => disconnected.push(ref),
        disconnectIntegration: () => 0,
      },
      readiness: async () => harness.readiness,
      renderMetrics: async () => '# HELP presage_up 1\n',
      version: '0.1.0-test',
      clock,
      logger: silentLogger,
      metrics: noMetrics,
    },
    { port: 0, ...options },
  );
  const harness: ApiHarness = {
    api,
    directory,
    findings,
    telemetry,
    disconnected,
    presence(change) {
      for (const listener of presence) listener(change);
    },
    live(message) {
      for (const listener of live) listener(message);
    },
    storePassed: async () => undefined,
    readiness: { sql: { ok: true } },
    async request(as, method, url, more = {}) {
      const app = await api.app();
      const answer = await app.inject({
        method,
        url,
        headers: {
          ...(as ? { authorization: `Bearer ${token(as.tenant ?? 'acme', as.user)}` } : {}),
          ...more.headers,
        },
        ...(more.body === undefined ? {} : { payload: more.body as object }),
      });
      const text = answer.body;
      const isJson =
        String(answer.headers['content-type']).includes('json') &&
        !String(answer.headers['content-type']).includes('ndjson');
      return {
        status: answer.statusCode,
        text,
        headers: answer.headers,
        body: (isJson ? JSON.parse(text) : text) as never,
      };
    },
  };
  await api.start();
  return harness;
}
