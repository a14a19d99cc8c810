/** A process of its own that appends numbered entries to a log in `DIRECTORY` and prints each number once it is durable. */
import { writeSync } from 'node:fs';
import { openSegmentLog } from '../../ingest/log/segment-log.ts';
import { manualClock, noMetrics, silentLogger } from './fake-services.ts';
import { logEntry } from './log-entries.ts';

const WRITERS = 50;

async function run(directory: string, from: number): Promise<void> {
  const services = { clock: manualClock(0), logger: silentLogger, metrics: noMetrics };
  const segmentLog = openSegmentLog({ directory, ...services }, { segmentBytes: 200_000 });
  await segmentLog.start();
  let next = from;
  const write = (): void => {
    const number = next++;
    segmentLog.log.append(logEntry({ text: `${number} ${'x'.repeat(number % 300)}` }), (error) => {
      if (error) throw error;
      writeSync(1, `${number}\n`);
      write();
    });
  };
  for (let i = 0; i < WRITERS; i++) write();
}

await run(process.argv[2] ?? '', Number(process.argv[3] ?? 0));
