/**
 * `presage demo`: everything in one process with a simulated fleet and four fault stories at accelerated time. Shows the
 * progress in the terminal, prints the console's address with a one-time owner link, and judges itself at the end.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { createOwnerLink } from '../../api/accounts/owner-links.ts';
import type { Ticket } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { DAY_MS, formatDuration, SECOND_MS } from '../../contract/kernel/time.ts';
import { createFleet, type Fleet } from '../../device-sim/fleet.ts';
import { DEMO_DAYS } from '../../device-sim/stories.ts';
import {
  configFrom,
  createLogger,
  hasInfluxUrl,
  onStopSignal,
  runCommand,
  searchPath,
  withConfigFlags,
} from '../cli-support.ts';
import { composeSystem, type System, systemClock } from '../compose.ts';
import type { Config } from '../config.ts';
import { createDemoClient, type DemoClient } from '../demo/demo-client.ts';
import { createDemoSeed, DEMO_CENTRE, DEMO_TENANT, type DemoSeed, newWebhookSecret } from '../demo/demo-seed.ts';
import { findInfluxd, type InfluxServer, startInfluxServer } from '../demo/influx-server.ts';
import { freePortOr } from '../demo/ports.ts';
import { createTerminal, type Terminal } from '../demo/terminal.ts';
import { FALSE_ALERTS_PER_1000_DEVICE_DAYS, isForeseen, judge, type Verdict } from '../demo/verdict.ts';
import { startWebhookReceiver, type WebhookReceiver } from '../demo/webhook-receiver.ts';

/** 30 days in about 85 seconds: slow enough to watch, fast enough for a first ticket within two minutes of the start. */
const DEFAULT_SPEED = 30_000;
const POLL_MS = 1_000;
const SETTLE_LIMIT_MS = 30 * SECOND_MS;

interface DemoOptions extends Record<string, unknown> {
  readonly speed: number;
  readonly randomSeed: number;
  readonly exit?: true;
  readonly json?: true;
}

export function register(program: Command): void {
  const positive = (text: string): number => {
    const value = Number(text);
    if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('expected a number above 0');
    return value;
  };
  withConfigFlags(
    program
      .command('demo')
      .description('run everything with a simulated fleet and watch failures being foreseen')
      .option('--speed <n>', 'simulated seconds a second', positive, DEFAULT_SPEED)
      .option('--random-seed <n>', 'another number makes another fleet', positive, 7)
      .option('--exit', 'end after the verdict; exit code 0 when it passed')
      .option('--json', 'print the verdict as one JSON line'),
  ).action(runCommand((options: DemoOptions) => runDemo(options)));
}

/** Everything that the demo has opened. */
interface Stage {
  readonly system: System;
  readonly fleet: Fleet;
  readonly receiver: WebhookReceiver;
  readonly demo: DemoSeed;
  readonly client: DemoClient;
  readonly close: () => Promise<void>;
}

async function runDemo(options: DemoOptions): Promise<void> {
  const terminal = createTerminal(options.json ? process.stderr : process.stdout);
  const stage = await openStage(options);
  let stopping = false;
  onStopSignal(async () => {
    stopping = true;
    terminal.note('Stopping…');
    await stage.close();
  });
  terminal.note(await welcome(stage));
  try {
    await watch(stage, terminal);
    const verdict = await settle(stage);
    if (options.json) process.stdout.write(`${JSON.stringify(verdict)}\n`);
    terminal.note(describe(verdict));
    if (!options.exit) return terminal.note('Still running: open the console, or press Ctrl-C to stop.');
    await stage.close();
    process.exit(verdict.passed ? 0 : 1);
  } catch (error) {
    // What fails while everything is being stopped is no news.
    if (!stopping) throw error;
  }
}

async function openStage(options: DemoOptions): Promise<Stage> {
  /** How to close what is open, oldest first. */
  const closers: (() => unknown)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    return await openParts(options, closers, close);
  } catch (error) {
    await close();
    throw error;
  }
}

async function openParts(options: DemoOptions, closers: (() => unknown)[], close: () => Promise<void>): Promise<Stage> {
  const directory = makeDirectory();
  closers.push(() => rmSync(directory, { recursive: true, force: true }));
  const ownInflux = options.store === 'influx' && !hasInfluxUrl(options);
  const influx = ownInflux ? await startInfluxServer(findInfluxd(searchPath())) : undefined;
  closers.push(() => influx?.stop());
  const config = await demoConfig(options, directory, influx);
  const logger = createLogger(config.logLevel);
  const secret = newWebhookSecret();
  const receiver = await startWebhookReceiver(secret);
  closers.push(() => receiver.close());
  const end = systemClock.now();
  const start = end - DEMO_DAYS * DAY_MS;
  const demo = createDemoSeed(options.randomSeed, start, { url: receiver.url, secret });
  const system = composeSystem(config, { logger, seed: demo.seed, onFatal: die });
  closers.push(() => system.stop());
  await system.start();
  const { ports } = system.ready();
  const brokerUrl = `mqtt://127.0.0.1:${ports.mqtt}`;
  const fleet = createFleet(
    { brokerUrl, devices: demo.devices, clock: systemClock, logger },
    { start, end, speed: options.speed },
  );
  closers.push(() => fleet.stop());
  await fleet.start();
  return {
    system,
    fleet,
    receiver,
    demo,
    client: createDemoClient(`http://127.0.0.1:${ports.http}`, demo.token),
    close,
  };
}

/** Run by root, the embedded PostgreSQL's own user must be able to pass through. */
function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'presage-demo-'));
  if (process.getuid?.() === 0) chmodSync(directory, 0o711);
  return directory;
}

/** The usual ports where they are free, so that the printed address is the documented one. */
async function demoConfig(options: DemoOptions, directory: string, influx: InfluxServer | undefined): Promise<Config> {
  const flags: Record<string, unknown> = {
    logLevel: 'warn',
    dataDir: join(directory, 'data'),
    httpPort: String(await freePortOr(8080)),
    mqttPort: String(await freePortOr(1883)),
    webhookAllowPrivate: 'true',
    ...(influx ? { influxUrl: influx.url, influxUser: influx.username, influxPassword: influx.password } : {}),
  };
  return configFrom({ ...flags, ...options }).config;
}

function die(error: Error): void {
  process.stderr.write(`A part of Presage died: ${error.message}\n`);
  process.exit(1);
}

async function welcome({ system, demo }: Stage): Promise<string> {
  const { ports } = system.ready();
  const base = `http://127.0.0.1:${ports.http}`;
  const link = await createOwnerLink(system.database, { tenant: DEMO_TENANT, user: 'owner' }, systemClock);
  return [
    '',
    `  Console   ${base}/#link=${link}   (works once)`,
    `  API       ${base}/docs   token ${demo.token}`,
    `  MQTT      127.0.0.1:${ports.mqtt}; be a device yourself:`,
    `            mosquitto_pub -p ${ports.mqtt} -q 1 -i ${demo.guest.clientId} -u ${demo.guest.clientId} -P ${demo.guest.password} \\`,
    `              -t ${demo.guest.topic} \\`,
    `              -m "{\\"v\\":1,\\"boot\\":\\"b1\\",\\"seq\\":1,\\"t\\":$(date +%s000),\\"s\\":[[0,{\\"freezerTempC\\":-18.2}]]}"`,
    '',
    `  ${demo.devices.length} devices, ${DEMO_DAYS} days; four of them will fail. The service centre is "${DEMO_CENTRE}".`,
    '',
  ].join('\n');
}

/** Tells of progress and of each new ticket until the simulated time is over. */
async function watch({ fleet, client }: Stage, terminal: Terminal): Promise<void> {
  const seen = new Set<string>();
  const startedAt = performance.now();
  let over = false;
  const done = fleet.done.finally(() => {
    over = true;
  });
  while (!over) {
    for (const ticket of await client.tickets()) {
      if (seen.has(ticket.key)) continue;
      seen.add(ticket.key);
      const { key, severity, device, title, remainingLife } = ticket;
      terminal.note(`  ▲ ${key}  ${severity}  ${device}: ${title}${lifeText(remainingLife)}`);
    }
    const { simulatedTime, samplesAcked } = fleet.progress();
    const day = Math.max(0, (simulatedTime - fleet.period.start) / DAY_MS);
    const elapsed = formatDuration(performance.now() - startedAt);
    terminal.progress(
      `  day ${day.toFixed(1).padStart(4)}  ${samplesAcked.toLocaleString('en')} samples on disk  ${seen.size} tickets  ${elapsed}`,
    );
    await Promise.race([done, new Promise((resolve) => setTimeout(resolve, POLL_MS))]);
  }
  const { complete } = await done;
  if (!complete) throw new AppError('NOT_READY', 'the simulated fleet was stopped');
}

function lifeText(life: Ticket['remainingLife']): string {
  if (!life) return '';
  const unit = life.unit === 'h' ? 'd' : 'cycles';
  const scale = life.unit === 'h' ? 24 : 1;
  const [median, lower, upper] = [life.median, life.lower, life.upper].map((value) => (value / scale).toFixed(0));
  return `; ${median} ${unit} left (${lower}–${upper})`;
}

/** Asks until every story's webhook and evidence are there, or the limit is reached. */
async function settle(stage: Stage): Promise<Verdict> {
  const until = performance.now() + SETTLE_LIMIT_MS;
  for (;;) {
    const verdict = await judgeNow(stage);
    const settled = verdict.stories.every((story) => story.ticketKey !== undefined && isForeseen(story));
    if (settled || performance.now() > until) return verdict;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function judgeNow({ fleet, client, receiver, demo }: Stage): Promise<Verdict> {
  const summaries = await client.tickets();
  const [alerts, tickets] = await Promise.all([
    client.alerts(),
    Promise.all(summaries.map(({ key }) => client.ticket(key))),
  ]);
  return judge({
    truth: fleet.truth(),
    devices: demo.devices.map((device) => device.ref.device),
    period: fleet.period,
    alerts,
    tickets,
    webhooks: receiver.received(),
  });
}

function describe(verdict: Verdict): string {
  const stories = verdict.stories.map((story) => {
    const lead =
      story.leadMs === undefined
        ? 'not foreseen'
        : `${formatDuration(Math.abs(story.leadMs))} ${story.leadMs > 0 ? 'before' : 'after'} its failure`;
    const facts = [
      story.causeNamed ? 'cause named' : 'cause not named',
      story.evidenceComplete ? 'evidence complete' : 'evidence incomplete',
      story.webhookReceived ? 'centre told' : 'centre not told',
    ];
    return `  ${isForeseen(story) ? '✔' : '✘'} ${story.device.padEnd(10)} ${story.faultKey.padEnd(22)} ${story.ticketKey ?? '–'}  ${lead}; ${facts.join(', ')}`;
  });
  return [
    '',
    ...stories,
    `  False alerts on healthy devices: ${verdict.falseAlerts} in ${verdict.healthyDeviceDays.toFixed(0)} device-days; the budget of ${FALSE_ALERTS_PER_1000_DEVICE_DAYS} a 1,000 allows ${verdict.allowedFalseAlerts.toFixed(1)}. False tickets: ${verdict.falseTickets}.`,
    '',
  ].join('\n');
}
