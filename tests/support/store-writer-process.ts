/**
 * A process of its own that writes numbered batches into an embedded store until it is killed: `DIRECTORY COUNT`. It goes
 * on from the stored position, tries a failed batch again, and says `stored N` or `failed CODE` a line.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { AppError } from '../../contract/kernel/errors.ts';
import type { TelemetryMessage } from '../../contract/wire/sample.ts';
import { createEmbeddedStore } from '../../ingest/store/embedded.ts';
import { BASE_TIME_MS, message, recordingMetrics, silentLogger } from './store-samples.ts';

export const MESSAGES_PER_BATCH = 20;
export const WRITER_DEVICE = 'writer';

/** The messages of the batch that ends at `position`: 1, 2, 3 … */
export function batchAt(position: number): TelemetryMessage[] {
  return Array.from({ length: MESSAGES_PER_BATCH }, (_, i) => {
    const seq = position * MESSAGES_PER_BATCH + i;
    const samples = Array.from(
      { length: 10 },
      (_unused, s) => [BASE_TIME_MS + seq * 10 + s, { level: seq / 7, s }] as const,
    );
    return message({ device: WRITER_DEVICE, model: 'written', seq, samples });
  });
}

async function run(directory: string, count: number): Promise<void> {
  const store = createEmbeddedStore({ directory, logger: silentLogger, metrics: recordingMetrics() });
  await store.start();
  for (let position = ((await store.storedPosition()) ?? 0) + 1; position <= count; ) {
    try {
      await store.write(batchAt(position), position);
      process.stdout.write(`stored ${position++}\n`);
    } catch (error) {
      process.stdout.write(`failed ${error instanceof AppError ? error.code : error}\n`);
      await wait(50);
    }
  }
  await store.stop();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await run(process.argv[2] ?? '', Number(process.argv[3]));
}
