/** One step of retention on the open file, and the memory of which hours hold samples. */
import { HOUR_MS } from '../../contract/kernel/time.ts';
import type { Rows } from './embedded-append.ts';
import { checkpoint, type OpenDatabase, restrictFiles } from './embedded-file.ts';
import { addCandidates, saveLatest } from './embedded-latest.ts';
import { findUnsealedHours, type SealedSlice, type SealRequest, sealOldestHour } from './embedded-seal.ts';
import type { ModelTable } from './embedded-tables.ts';
import { UnsealedHours } from './unsealed-hours.ts';

/**
 * Seals the oldest due hour, or some devices of it, in one transaction. Whoever catches what it throws gives the file up.
 * @returns the samples deleted, or `undefined` when nothing is due
 */
export async function sealStep(
  database: OpenDatabase,
  hours: UnsealedHours,
  request: SealRequest,
): Promise<number | undefined> {
  const { writer, tables, boots, path } = database;
  await writer.run('BEGIN');
  const sealed = await sealOldestHour(writer, tables, hours, request);
  if (sealed) {
    await boots.save(writer); // They outlive the samples that they could be worked out from.
    await forgetSamples(database, sealed);
  }
  await writer.run('COMMIT');
  if (sealed) {
    hours.remove(sealed.modelId, sealed.from, sealed.samples);
    boots.clear();
  }
  // Folds the deletion in: only then is the space free for what comes next.
  if (sealed && !sealed.last) await checkpoint(writer);
  restrictFiles(path);
  return sealed?.samples;
}

/** Commits are noted from now on; what was stored before is counted up to the position of now. */
export async function countHours(database: OpenDatabase): Promise<void> {
  const { readers, tables, position } = database;
  const hours = new UnsealedHours();
  database.hours = hours;
  await readers.use((connection) => findUnsealedHours(connection, tables, position, hours));
  hours.complete();
}

/** Takes in the rows of a batch that was committed. */
export function noteHours(hours: UnsealedHours, { id }: ModelTable, { messages, samples }: Rows): void {
  messages.forEach((message, row) => {
    hours.add(id, samples[row]?.observedAt ?? 0, message.receivedAt);
  });
}

/** The latest values after a seal: those of the slice are gone, and older samples that came late may take their place. */
async function forgetSamples(database: OpenDatabase, { model, from, last }: SealedSlice): Promise<void> {
  const { writer, tables, latest, position } = database;
  const table = tables.get(model);
  if (!table || !latest.forget(model, from, from + HOUR_MS, last)) return;
  await addCandidates(writer, model, table, `observed_at < ${from}`, latest);
  await saveLatest(writer, tables, latest, position);
  database.samplesSinceCopy = 0;
}
