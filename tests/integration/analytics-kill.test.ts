/** kill -9 of analytics at random places of a replay: the alerts are those of a run that nobody disturbed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../contract/kernel/random.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import { orderEntry } from '../../contract/ports/orders.ts';
import { type LogEntry, TICK_NAME } from '../../contract/ports/telemetry-log.ts';
import { openSegmentLog } from '../../ingest/log/segment-log.ts';
import { analyse, findingsIn } from '../support/analytics-process.ts';
import { manualClock, noMetrics, silentLogger } from '../support/fake-services.ts';
import { refrigeratorStream } from '../support/refrigerator-stream.ts';

const KILLS = 20;
const LIMIT_MS = 300_000;
const SEED = 20_261_122;
const START_AT = Date.UTC(2026, 0, 5);
const DAYS = 8;
const TICK_MS = 55_000;
const ORDER_ID = '3f1c4a52-7a0e-4d9b-8a50-0f0c6b1d7c11';
const text = new TextEncoder();

/** Three refrigerators: one wears, one is silent for half a day, one is well. Ticks in between; at the end an order. */
function entries(episode?: string): LogEntry[] {
  const all: LogEntry[] = [];
  for (let d = 0; d < 3; d++) {
    const wear = d === 0 ? { fanWear: (day: number) => Math.max(0, Math.min(1.2, (day - 4) / 3)) } : {};
    let seq = 0;
    for (const { at, signals } of refrigeratorStream({ seed: 70 + d, days: DAYS, startAt: START_AT, ...wear })) {
      const day = (at - START_AT) / DAY_MS;
      if (d === 2 && day > 5 && day < 5.5) continue;
      const body = text.encode(JSON.stringify({ boot: 'b', seq: seq++, t: at, s: [[0, signals]] }));
      all.push({
        kind: 'telemetry',
        tenant: 'acme',
        device: `fridge-${d}`,
        model: 'refrigerator',
        receivedAt: at,
        body,
      });
    }
  }
  for (let at = START_AT; at < START_AT + DAYS * DAY_MS; at += TICK_MS) {
    all.push({ kind: 'tick', tenant: TICK_NAME, device: TICK_NAME, model: '', receivedAt: at, body: text.encode('') });
  }
  if (episode !== undefined) {
    const at = START_AT + 7.5 * DAY_MS;
    const order = { id: ORDER_ID, tenant: 'acme', device: 'fridge-0', model: 'refrigerator', at, actor: 'erik' };
    all.push(orderEntry({ ...order, kind: 'acceptAsNormal', episode, why: 'a new fan' }, at));
  }
  return all.sort((a, b) => a.receivedAt - b.receivedAt);
}

/** Writes the log and answers its end. */
async function writeLog(directory: string, all: readonly LogEntry[]): Promise<number> {
  const segmentLog = openSegmentLog({ directory, clock: manualClock(0), logger: silentLogger, metrics: noMetrics });
  await segmentLog.start();
  let end = 0;
  await new Promise<void>((resolve, reject) => {
    for (const entry of all) {
      segmentLog.log.append(entry, (error, position) => {
        if (error) reject(error);
        end = position;
      });
    }
    segmentLog.log.barrier((error) => (error ? reject(error) : resolve()));
  });
  await segmentLog.stop();
  return end;
}

/** The program in one plain file: twenty starts through tsx would take longer than all the rest. */
function bundle(folder: string): string {
  const tsx = createRequire(import.meta.url).resolve('tsx/package.json');
  const esbuild = createRequire(tsx)('esbuild') as { buildSync(options: Readonly<Record<string, unknown>>): unknown };
  const outfile = join(folder, 'analytics-process.mjs');
  const entryPoints = [join(import.meta.dirname, '../support/analytics-process.ts')];
  esbuild.buildSync({ entryPoints, outfile, bundle: true, platform: 'node', format: 'esm', logLevel: 'error' });
  return outfile;
}

/** Runs analytics until it has saved `saves` times and `graceMs` are over, then kills it. True when it had finished before. */
async function runAndKill(
  program: string,
  folder: string,
  end: number,
  saves: number,
  graceMs: number,
): Promise<boolean> {
  const child = spawn(process.execPath, [program, folder, String(end)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  let killing: Promise<unknown> | undefined;
  child.stdout.setEncoding('utf8').on('data', (said: string) => {
    output += said;
    if (output.split('saved').length - 1 >= saves) killing ??= wait(graceMs).then(() => child.kill('SIGKILL'));
  });
  await once(child, 'close');
  await killing;
  return output.endsWith('done\n');
}

describe('analytics', () => {
  it(
    `killed ${KILLS} times raises the same alerts as undisturbed (seed ${SEED})`,
    async () => {
      const root = mkdtempSync(join(tmpdir(), 'presage-analytics-kill-'));
      const folderOf = (name: string) => {
        mkdirSync(join(root, name));
        return join(root, name);
      };
      const undisturbed = async (name: string, all: readonly LogEntry[]) => {
        const folder = folderOf(name);
        const end = await writeLog(join(folder, 'log'), all);
        await analyse(folder, end, () => undefined);
        return { folder, end, findings: findingsIn(folder) };
      };
      const before = await undisturbed('before', entries());
      const fan = before.findings.find(
        (one) => one.kind === 'alertRaised' && one.device === 'fridge-0',
      ) as AlertFinding;
      const whole = await undisturbed('whole', entries(fan.episode));
      const words = whole.findings.map((one) =>
        `${one.device} ${one.kind} ${(one as AlertFinding).reason ?? ''}`.trim(),
      );
      expect(words).toEqual(
        expect.arrayContaining([
          'fridge-0 alertCleared accepted',
          'fridge-2 alertRaised',
          'fridge-2 alertCleared dataReturned',
        ]),
      );

      const program = bundle(root);
      const killed = folderOf('killed');
      symlinkSync(join(whole.folder, 'log'), join(killed, 'log'));
      const random = seededRandom(SEED);
      let kills = 0;
      for (let finished = false; !finished && kills < KILLS; kills++) {
        finished = await runAndKill(program, killed, whole.end, 1 + Math.floor(random() * 2), random() * 60);
      }
      expect(kills).toBe(KILLS);
      await analyse(killed, whole.end, () => undefined);
      expect(findingsIn(killed)).toEqual(whole.findings);
      rmSync(root, { recursive: true });
    },
    LIMIT_MS,
  );
});
