/**
 * Presage ÷ what people assemble today, all into the same InfluxDB on the same two cores. "Loss-free rate" is the same
 * for all: the highest rate of an open loop at which every message has reached the database shortly after the last one
 * was published. Presage also has the rate that it acknowledges as durable: what does not reach the store at once waits
 * in its log, so nothing is lost above the rate at which the store keeps up; every one of these arrives too.
 */
import { median } from 'simple-statistics';
import { findBinary } from '../../support/binaries.ts';
import { waitFor } from '../../support/wait-for.ts';
import { benchDevices, startBenchServer } from '../bench-server.ts';
import { type ChildProgram, startOwnProgram } from '../child-program.ts';
import { findRate } from '../find-rate.ts';
import { type InfluxTarget, startInfluxTarget } from '../peers/influx-target.ts';
import { startMosquitto } from '../peers/mosquitto.ts';
import { installNodeRed, startNodeRed } from '../peers/node-red.ts';
import type { SwarmDevice } from '../swarm.ts';
import type { BenchOptions, Figure, Part } from './figures.ts';
import { publishFailure, runOpenLoop } from './open-loop.ts';
import { durableLoop } from './throughput.ts';

/** Something that takes messages over MQTT and brings them into a database. */
interface Pipeline {
  readonly name: string;
  /** Where the search begins: near what such a thing can do. */
  readonly startPerS: number;
  port(): number;
  devices(count: number): readonly SwarmDevice[];
  /** Messages published since this moment that the database holds. */
  arrived(sinceMs: number): Promise<number>;
  /** Before a trial: everything at rest. */
  rest(): Promise<void>;
  /** After a trial that failed. */
  recover(): Promise<void>;
  /** Closed loop with acknowledgements that mean durable; only Presage has them. */
  durable?(options: BenchOptions): Promise<{ readonly ratePerS: number; readonly catchUpSeconds: number }>;
  stop(): Promise<void>;
}

const DURABLE_WINDOW = 10;
/** Bytes and messages that wait in Mosquitto without limit: the queue of "unlimited". */
const UNLIMITED_QUEUE = ['max_queued_messages 0', 'max_queued_bytes 0', 'max_inflight_messages 0'];
const CATCH_UP_LIMIT_MS = 120_000;

export const peers: Part = async (options) => {
  const [influxd, mosquitto] = [findBinary('influxd'), findBinary('mosquitto')];
  if (!influxd || !mosquitto) {
    options.say(`  skipped: ${influxd ? 'mosquitto' : 'influxd'} is not installed`);
    return [];
  }
  const influx = await startInfluxTarget(influxd);
  const pipelines: Pipeline[] = [];
  try {
    pipelines.push(await writeApiPipeline(mosquitto, influx));
    const missing = await installNodeRed(options.peersFolder);
    if (missing === undefined) pipelines.push(await nodeRedPipeline(mosquitto, influx, options.peersFolder));
    else options.say(`  Node-RED is left out, it could not be installed: ${missing}`);
    pipelines.push(
      await presagePipeline('influx', influx, options),
      await presagePipeline('embedded', influx, options),
    );
    return compare(await measureAll(pipelines, options));
  } finally {
    for (const pipeline of pipelines) await pipeline.stop();
    await influx.server.stop();
  }
};

interface Rates {
  /** by pipeline, one a round */
  readonly lossFree: Map<string, number[]>;
  readonly durable: Map<string, { ratePerS: number; catchUpSeconds: number }[]>;
}

async function measureAll(pipelines: readonly Pipeline[], options: BenchOptions): Promise<Rates> {
  const rates: Rates = { lossFree: new Map(), durable: new Map() };
  for (let round = 0; round < options.rounds; round++) {
    for (const pipeline of pipelines) {
      const { name } = pipeline;
      const earlier = rates.lossFree.get(name) ?? [];
      earlier.push(await lossFreeRate(pipeline, options, earlier.at(-1)));
      rates.lossFree.set(name, earlier);
      options.say(`  ${name}: loss-free ${earlier.at(-1)?.toLocaleString('en')} msg/s`);
      const durable = await pipeline.durable?.(options);
      if (!durable) continue;
      rates.durable.set(name, [...(rates.durable.get(name) ?? []), durable]);
      const { ratePerS, catchUpSeconds } = durable;
      options.say(
        `  ${name}: durable ${Math.round(ratePerS).toLocaleString('en')} msg/s, all stored ${catchUpSeconds.toFixed(1)} s later`,
      );
    }
  }
  return rates;
}

/** @throws Error when nothing arrived at any rate: that is no comparison */
async function lossFreeRate(pipeline: Pipeline, options: BenchOptions, near: number | undefined): Promise<number> {
  const start = near || Math.min(pipeline.startPerS, options.searchToPerS);
  if (!near) await warmUp(pipeline, start / 4, options);
  const found = await findRate({
    start,
    ...(near ? { step: 1.15 } : {}),
    max: options.searchToPerS,
    async holds(ratePerS) {
      await pipeline.rest();
      const trouble = await trial(pipeline, ratePerS, options);
      options.say(`    ${pipeline.name} at ${ratePerS}/s: ${trouble ?? 'all arrived'}`);
      if (trouble !== undefined) await pipeline.recover();
      return trouble === undefined;
    },
  });
  if (found === 0) throw new Error(`${pipeline.name} lost messages at every rate`);
  if (found >= options.searchToPerS) options.say(`  ${pipeline.name}: held all that was tried; raise --search-to`);
  return found;
}

/** The first messages of a new process are compiled, not measured. */
async function warmUp(pipeline: Pipeline, ratePerS: number, { connections, seconds }: BenchOptions): Promise<void> {
  await runOpenLoop({ port: pipeline.port(), devices: pipeline.devices(connections), ratePerS, seconds });
}

/** Nothing when every message reached the database in time. */
async function trial(pipeline: Pipeline, ratePerS: number, options: BenchOptions): Promise<string | undefined> {
  const { seconds, connections } = options;
  const sinceMs = Date.now();
  const result = await runOpenLoop({
    port: pipeline.port(),
    devices: pipeline.devices(connections),
    ratePerS,
    seconds,
  });
  const failure = publishFailure(result);
  if (failure !== undefined) return failure;
  // Half of the time again: for batches that wait, and for a queue that is a queue and not a store.
  const graceMs = Math.max(2_000, seconds * 500);
  let count = 0;
  const isThere = async (): Promise<boolean> => {
    count = await pipeline.arrived(sinceMs);
    return count >= result.sent;
  };
  const arrived = await waitFor('all to arrive', isThere, graceMs).catch(() => false);
  return arrived ? undefined : `${result.sent - count} of ${result.sent} had not arrived after ${graceMs} ms`;
}

async function writeApiPipeline(mosquitto: string, influx: InfluxTarget): Promise<Pipeline> {
  const database = 'write_api';
  await influx.createDatabase(database);
  return assembled('Mosquitto + mqtt.js + WriteApi', database, influx, 16_000, {
    broker: () => startMosquitto(mosquitto, UNLIMITED_QUEUE),
    writer: (port) => {
      const { url, username, password } = influx.server;
      const args = [`mqtt://127.0.0.1:${port}`, url, database, username, password];
      return startOwnProgram(new URL('../peers/write-api.ts', import.meta.url), args, /subscribed/);
    },
  });
}

async function nodeRedPipeline(mosquitto: string, influx: InfluxTarget, folder: string): Promise<Pipeline> {
  const database = 'node_red';
  await influx.createDatabase(database);
  const { url: influxUrl, username, password } = influx.server;
  return assembled('Mosquitto + Node-RED', database, influx, 2_000, {
    broker: () => startMosquitto(mosquitto),
    writer: (mqttPort) => startNodeRed(folder, { mqttPort, influxUrl, database, username, password }),
  });
}

interface Assembly {
  broker(): Promise<{ readonly port: number; stop(): Promise<void> }>;
  /** A program that takes from the broker on this port and writes to the database. */
  writer(port: number): Promise<ChildProgram>;
}

async function assembled(
  name: string,
  database: string,
  influx: InfluxTarget,
  startPerS: number,
  assembly: Assembly,
): Promise<Pipeline> {
  let broker = await assembly.broker();
  let writer = await assembly.writer(broker.port);
  const stop = async (): Promise<void> => {
    await writer.stop();
    await broker.stop();
  };
  return {
    name,
    startPerS,
    port: () => broker.port,
    devices: benchDevices,
    arrived: (sinceMs) => influx.arrived(database, sinceMs),
    rest: async () => {},
    // What it still has queued belongs to the trial that failed.
    async recover() {
      await stop();
      broker = await assembly.broker();
      writer = await assembly.writer(broker.port);
    },
    stop,
  };
}

async function presagePipeline(
  store: 'influx' | 'embedded',
  influx: InfluxTarget,
  { connections }: BenchOptions,
): Promise<Pipeline> {
  const { url, username, password } = influx.server;
  const intoInflux = { PRESAGE_STORE: 'influx', INFLUX_URL: url, INFLUX_USER: username, INFLUX_PASSWORD: password };
  const server = await startBenchServer({ devices: connections * 24, env: store === 'influx' ? intoInflux : {} });
  let storedBefore = 0;
  const arrived = async (sinceMs: number): Promise<number> =>
    store === 'influx' ? influx.arrived('presage', sinceMs) : (await server.stored()) - storedBefore;
  const rest = async (): Promise<void> => {
    await server.caughtUp();
    storedBefore = await server.settledStored();
  };
  return {
    name: `Presage (${store})`,
    startPerS: 16_000,
    port: () => server.port,
    devices: (count) => server.nextDevices(count),
    arrived,
    rest,
    recover: async () => {},
    async durable(options) {
      await rest();
      const sinceMs = Date.now();
      const result = await durableLoop(server, options, DURABLE_WINDOW);
      const endedAt = performance.now();
      const isThere = async (): Promise<boolean> => (await arrived(sinceMs)) === result.sent;
      await waitFor('every acknowledged message in the store', isThere, CATCH_UP_LIMIT_MS);
      return { ratePerS: result.perSecond, catchUpSeconds: (performance.now() - endedAt) / 1_000 };
    },
    stop: () => server.dispose(),
  };
}

const AIMS = [
  {
    peer: 'Mosquitto + mqtt.js + WriteApi',
    what: 'Mosquitto + mqtt.js + WriteApi (unlimited queue)',
    aim: 3,
    floor: 2,
  },
  { peer: 'Mosquitto + Node-RED', what: 'default Node-RED', aim: 20, floor: 12 },
];

/** Four ratios for each peer: durable and keeping up, with the peer's own InfluxDB and with the embedded store. */
function compare({ lossFree, durable }: Rates): Figure[] {
  return AIMS.flatMap(({ peer, what, aim, floor }) => {
    const theirs = lossFree.get(peer);
    if (!theirs) return [];
    return ['Presage (influx)', 'Presage (embedded)'].flatMap((ours): Figure[] => {
      const acknowledged = durable.get(ours)?.map(({ ratePerS }) => ratePerS) ?? [];
      const catchUp = median(durable.get(ours)?.map(({ catchUpSeconds }) => catchUpSeconds) ?? [0]);
      const kept = lossFree.get(ours) ?? [];
      return [
        {
          ...ratio(
            `${ours}: durably acknowledged ÷ ${what}`,
            acknowledged,
            theirs,
            `all stored ${catchUp.toFixed(1)} s after the last`,
          ),
          aim,
          floor,
        },
        ratio(
          `${ours}: store keeps up ÷ ${what}`,
          kept,
          theirs,
          'both: all in the database shortly after the last publish',
        ),
      ];
    });
  });
}

/** Median of the ratios of the rounds. */
function ratio(name: string, ours: readonly number[], theirs: readonly number[], note: string): Figure {
  const ratios = ours.map((rate, round) => rate / Math.max(1, theirs[round] ?? 0));
  const [our, their] = [ours, theirs].map((rates) => Math.round(median([...rates])).toLocaleString('en'));
  return { name, value: median(ratios), better: 'higher', detail: `${our} ÷ ${their} msg/s; ${note}` };
}
