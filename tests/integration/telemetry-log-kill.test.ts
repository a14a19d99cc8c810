/** kill -9 while appending: every acknowledged entry is there afterwards, in order, and nothing that was not sent. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../contract/kernel/random.ts';
import { openSegmentLog } from '../../ingest/log/segment-log.ts';
import { manualClock, noMetrics, silentLogger } from '../support/fake-services.ts';
import { readAll, textOf } from '../support/log-entries.ts';

const KILLS = 8;
const SEED = 20_260_101;

/** Runs the writer until it has acknowledged `count` entries, kills it, and returns all that it acknowledged. */
async function writeAndKill(directory: string, from: number, count: number): Promise<number[]> {
  const program = join(import.meta.dirname, '../support/log-writer-process.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', program, directory, String(from)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    if (output.split('\n').length > count) child.kill('SIGKILL');
  });
  await once(child, 'close');
  // The kill may cut the last line short.
  return output
    .slice(0, output.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(Boolean)
    .map(Number);
}

describe('telemetry log killed while appending', () => {
  it(`loses nothing that it acknowledged, ${KILLS} times (seed ${SEED})`, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'presage-log-kill-'));
    const random = seededRandom(SEED);
    const acknowledged: number[] = [];
    let found: number[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const from = (found.at(-1) ?? -1) + 1;
      acknowledged.push(...(await writeAndKill(directory, from, 200 + Math.floor(random() * 3_000))));
      const segmentLog = openSegmentLog({ directory, clock: manualClock(0), logger: silentLogger, metrics: noMetrics });
      await segmentLog.start();
      expect(segmentLog.recovered().lostBytes).toBe(0);
      found = (await readAll(segmentLog.log, 0, 1_000)).map((entry) => Number(textOf(entry).split(' ')[0]));
      await segmentLog.stop();
      expect(found).toEqual(found.map((_, i) => i));
      expect(acknowledged.filter((number) => number >= found.length)).toEqual([]);
    }
    expect(acknowledged.length).toBeGreaterThan(KILLS * 200);
    await rm(directory, { recursive: true });
  });
});
