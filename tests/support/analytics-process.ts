/**
 * Analytics in a process of its own until it is killed: `FOLDER END`. It follows the log in FOLDER/log up to END, keeps its states
 * in a file that changes as a whole, adds its findings to another, and says `saved` a line, then `done`.
 */
import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createAnalytics } from '../../analytics/create-analytics.ts';
import { findModel } from '../../contract/devices/catalogue.ts';
import { clientIdOf } from '../../contract/kernel/ids.ts';
import type { CheckpointStore } from '../../contract/ports/analytics.ts';
import type { Finding } from '../../contract/ports/findings.ts';
import { openSegmentLogReader } from '../../ingest/log/segment-reader.ts';
import { NO_METRICS, QUIET_LOGGER } from './analytics-harness.ts';

const SAVE_EVERY_ENTRIES = 400;

interface Saved {
  position: number;
  states: Record<string, unknown>;
}

/** States and position in one file, replaced as a whole: what a transaction is for the real store. */
function fileCheckpoints(path: string, onSaved: () => void): CheckpointStore {
  const read = (): Saved =>
    existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Saved) : { position: 0, states: {} };
  const saved = read();
  return {
    position: async () => saved.position,
    load: async (ref) => structuredClone(saved.states[clientIdOf(ref)]),
    async save(changed, position) {
      for (const one of changed) saved.states[clientIdOf(one)] = structuredClone(one.state);
      saved.position = position;
      writeFileSync(`${path}.new`, JSON.stringify(saved));
      renameSync(`${path}.new`, path);
      onSaved();
    },
  };
}

/** Runs over all of the log in `folder`. */
export async function analyse(folder: string, end: number, say: (word: string) => void): Promise<void> {
  const log = openSegmentLogReader(join(folder, 'log'), { durableEnd: () => end });
  const analytics = createAnalytics(
    {
      log,
      checkpoints: fileCheckpoints(join(folder, 'checkpoints.json'), () => say('saved')),
      findings: {
        async append(findings) {
          for (const one of findings) appendFileSync(join(folder, 'findings'), `${JSON.stringify(one)}\n`);
        },
      },
      findModel,
      prognosersFor: () => [],
      clock: { now: () => Date.now() },
      logger: QUIET_LOGGER,
      metrics: NO_METRICS,
    },
    { saveEveryEntries: SAVE_EVERY_ENTRIES, batchEntries: 100 },
  );
  await analytics.start();
  await analytics.drain();
  await analytics.stop();
  await log.close();
}

/** What a consumer that upserts by id has in the end, by id. A kill may have cut a line short; it is written again. */
export function findingsIn(folder: string): readonly Finding[] {
  const path = join(folder, 'findings');
  const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : [];
  const whole = lines.flatMap((line): Finding[] => {
    try {
      return line === '' ? [] : [JSON.parse(line) as Finding];
    } catch {
      return []; // Cut short by a kill.
    }
  });
  const byId = new Map(whole.map((one) => [one.id, one]));
  return [...byId.values()].sort((a, b) => a.id.localeCompare(b.id));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const folder = process.argv[2] ?? '';
  const end = Number(process.argv[3]);
  await analyse(folder, end, (word) => process.stdout.write(`${word}\n`));
  process.stdout.write('done\n');
}
