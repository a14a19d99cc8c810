/** The faults of a chaos run: what is done to the server and to what it needs, one after the other, drawn from the seed. */
import { join } from 'node:path';
import type { Random } from '../../contract/kernel/random.ts';
import type { RunningPostgres } from '../support/debian-postgres.ts';
import type { PresageProcess } from '../support/presage-process.ts';
import { waitFor } from '../support/wait-for.ts';
import type { DiskFaults } from './disk-faults.ts';
import type { InfluxProxy, ProxyMode } from './influx-proxy.ts';
import { lastSegment, leaveRest, loseLastCommit, postmasterPid, signalFamily, tearTail } from './processes.ts';
import { answersInTime, isReady, refusesTelemetry } from './server-view.ts';

export interface Surroundings {
  readonly server: PresageProcess;
  /** Absent = the server runs its own, embedded PostgreSQL. */
  readonly postgres?: RunningPostgres;
  readonly proxy?: InfluxProxy;
  readonly disk: DiskFaults;
  /** Begins to count how many of the messages made from now on are acknowledged. */
  readonly countAcked: () => () => number;
  /** Only these, beside the kills; all when absent. */
  readonly only?: readonly string[];
  readonly random: Random;
}

export interface FaultReport {
  /** How often each fault was made. */
  readonly made: Record<string, number>;
  /** Milliseconds from each start to its ready line, and how much of it the server says it needed itself. */
  readonly startsMs: number[];
  readonly recoveriesMs: number[];
  tornBytes: number;
  droppedBytes: number;
  /** fdatasync calls that failed, as far as they were counted, and bytes of their group commits that "the kernel" lost. */
  failedSyncs: number;
  lostBytes: number;
  /** Slowest way back to ready after the disk had room again. */
  slowestAfterFullMs: number;
  /** What the server did not do while it was hurt though it must. */
  readonly broken: string[];
}

/** A full disk must be noticed within this. */
const NOTICE_MS = 10_000;
const NEARLY_FULL_BYTES = 64 * 1024 ** 2;

type Fault = (around: Surroundings, report: FaultReport) => Promise<void>;

const dataOf = (server: PresageProcess): string => join(server.directory, 'data');
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function startAgain({ server }: Surroundings, report: FaultReport): Promise<void> {
  await server.restart();
  report.startsMs.push(server.startMs);
  report.recoveriesMs.push(server.ready.recovered.ms);
  report.droppedBytes += server.ready.recovered.log;
}

const kill: Fault = async (around, report) => {
  await around.server.kill();
  if (around.random() < 0.3) await pause(around.random() * 1_500);
  await startAgain(around, report);
};

/** As when the machine loses its power: the embedded database dies with us. */
const killBoth: Fault = async (around, report) => {
  const pid = postmasterPid(join(dataOf(around.server), 'postgres', 'pgdata'));
  await around.server.kill();
  if (pid && !around.postgres) signalFamily(pid, 'SIGKILL');
  await startAgain(around, report);
};

const killAndTear: Fault = async (around, report) => {
  await around.server.kill();
  report.tornBytes += tearTail(join(dataOf(around.server), 'log', 'telemetry'), around.random);
  report.tornBytes += tearTail(join(dataOf(around.server), 'log', 'findings'), around.random);
  await startAgain(around, report);
};

const stopInOrder: Fault = async (around, report) => {
  await around.server.stop();
  await startAgain(around, report);
};

const freeze: Fault = async ({ server, random }) => {
  process.kill(server.pid, 'SIGSTOP');
  await pause(500 + random() * 4_000);
  process.kill(server.pid, 'SIGCONT');
};

const freezePostgres: Fault = async ({ server, postgres, random }) => {
  const pid = postgres?.pid() ?? postmasterPid(join(dataOf(server), 'postgres', 'pgdata'));
  if (!pid) return;
  signalFamily(pid, 'SIGSTOP');
  await pause(500 + random() * 4_000);
  signalFamily(pid, 'SIGCONT');
};

/** The embedded server dies alone, as when the kernel takes back its memory. */
const embeddedDies: Fault = async ({ server, random }) => {
  const pid = postmasterPid(join(dataOf(server), 'postgres', 'pgdata'));
  if (pid) process.kill(pid, 'SIGKILL');
  await pause(random() * 3_000);
};

const restartPostgres: Fault = async ({ postgres, random }) => {
  await postgres?.restart(random() * 3_000);
};

function influxFault(mode: ProxyMode): Fault {
  return async ({ proxy, random }) => {
    proxy?.set(mode);
    await pause(1_000 + random() * 4_000);
    proxy?.set('pass');
  };
}

/** Nothing may be acknowledged, nothing may hang, and it must go on by itself when there is room. */
function fullDisk(leaveBytes: number): Fault {
  return async (around, report) => {
    const { server, disk, countAcked, random } = around;
    const broken = (what: string): void => void report.broken.push(`disk with ${leaveBytes} bytes left: ${what}`);
    disk.fillUp(leaveBytes);
    try {
      await waitFor('503', () => refusesTelemetry(server.api), NOTICE_MS).catch(() => broken('/readyz said 200'));
      const acked = countAcked();
      const until = performance.now() + 1_000 + random() * 7_000;
      while (performance.now() < until) {
        if (!(await answersInTime(server.api))) broken('/healthz did not answer');
        await pause(100);
      }
      if (acked() > 0) broken(`${acked()} messages acknowledged`);
    } finally {
      disk.makeRoom();
    }
    const roomAt = performance.now();
    if ((await server.ended(0)) !== undefined) {
      broken(`the process ended:\n${server.log().slice(-1_000)}`);
      await startAgain(around, report);
    }
    await waitFor('200', () => isReady(server.api), 6 * NOTICE_MS).catch(() => broken('/readyz stayed 503'));
    report.slowestAfterFullMs = Math.max(report.slowestAfterFullMs, Math.round(performance.now() - roomAt));
  };
}

/** A start on a full disk may end with an error or wait; with room again it must come up, and nothing may be lost. */
const killWhileDiskIsFull: Fault = async (around, report) => {
  const { server, disk, random } = around;
  disk.fillUp(0);
  try {
    await pause(random() * 1_500);
    if ((await server.ended(0)) === undefined) await server.kill();
    const starting = server.restart().then(
      () => true,
      () => false,
    );
    await Promise.race([starting, pause(3_000)]);
    disk.makeRoom();
    if (!(await starting)) await startAgain(around, report);
  } finally {
    disk.makeRoom();
  }
};

/**
 * The server must end by itself: it cannot know what is on the medium. A group commit whose sync failed may be gone, or
 * there in part, or zeros, or there; nothing of it may have been acknowledged.
 */
const eioOnFdatasync: Fault = async (around, report) => {
  const { server, disk, random } = around;
  const log = join(dataOf(server), 'log', 'telemetry');
  await disk.failSyncs(server.pid, lastSegment(log));
  const code = await server.ended(NOTICE_MS);
  const { calls, write } = await disk.healSyncs();
  report.failedSyncs += calls;
  if (code === undefined) {
    report.broken.push(calls > 0 ? 'a durable write failed, and the server went on' : 'nothing was written to the log');
    await server.kill();
  }
  if (write) report.lostBytes += leaveRest(lastSegment(log), write.offset, write.bytes, random);
  else if (calls > 0) report.lostBytes += await loseLastCommit(log, random);
  await startAgain(around, report);
};

/** A kill while InfluxDB is away: what waits in the log must survive both. */
const killWhileInfluxIsAway: Fault = async (around, report) => {
  around.proxy?.set('away');
  await pause(around.random() * 1_000);
  await kill(around, report);
  await pause(around.random() * 1_000);
  around.proxy?.set('pass');
};

const KILLS: Readonly<Record<string, Fault>> = { kill, killBoth, killAndTear };
const OTHERS: Readonly<Record<string, Fault>> = {
  stopInOrder,
  freeze,
  freezePostgres,
  diskFull: fullDisk(0),
  diskBelowItsWatermark: fullDisk(NEARLY_FULL_BYTES),
  killWhileDiskIsFull,
  eioOnFdatasync,
};
const INFLUX_FAULTS: Readonly<Record<string, Fault>> = {
  influxAway: influxFault('away'),
  influxSlow: influxFault('slow'),
  influx401: influxFault('status401'),
  influx429: influxFault('status429'),
  influxRefusesOneLineInTen: influxFault('refuseTenth'),
  killWhileInfluxIsAway,
};

/** Makes `kills` kills, and other faults between them, spread over the time until `endsAt` (of performance.now()). */
export async function makeFaults(around: Surroundings, kills: number, endsAt: number): Promise<FaultReport> {
  const possible: Readonly<Record<string, Fault>> = {
    ...OTHERS,
    ...(around.postgres ? { restartPostgres } : { embeddedDies }),
    ...(around.proxy ? INFLUX_FAULTS : {}),
  };
  const others = Object.fromEntries(
    Object.entries(possible).filter(([name]) => around.only === undefined || around.only.includes(name)),
  );
  const report: FaultReport = {
    // Each is named, also one that was never made.
    made: Object.fromEntries([...Object.keys(KILLS), ...Object.keys(others)].map((name) => [name, 0])),
    startsMs: [],
    recoveriesMs: [],
    tornBytes: 0,
    droppedBytes: 0,
    failedSyncs: 0,
    lostBytes: 0,
    slowestAfterFullMs: 0,
    broken: [],
  };
  // They come in turn, in an order of the seed, so that a short run has seen each of them too.
  const nextOf = (faults: Readonly<Record<string, Fault>>): (() => string) => {
    let turn: string[] = [];
    return () => {
      if (turn.length === 0) turn = shuffled(Object.keys(faults), around.random);
      return turn.pop() ?? 'kill';
    };
  };
  const nextOther = nextOf(others);
  const nextKill = nextOf(KILLS);
  const make = async (name: string, fault: Fault | undefined): Promise<void> => {
    report.made[name] = (report.made[name] ?? 0) + 1;
    await fault?.(around, report);
  };
  for (let left = kills; left > 0; left--) {
    const spare = (endsAt - performance.now()) / left - 2_000;
    await pause(Math.max(200, spare * (0.3 + around.random() * 0.4)));
    if (left % 3 !== 0 || spare > 3_000) {
      const name = nextOther();
      await make(name, others[name]);
      await pause(around.random() * 300);
    }
    const name = nextKill();
    await make(name, KILLS[name]);
  }
  await pause(Math.max(0, endsAt - performance.now()));
  return report;
}

function shuffled<Item>(items: readonly Item[], random: Random): Item[] {
  return items
    .map((item) => ({ item, rank: random() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}
