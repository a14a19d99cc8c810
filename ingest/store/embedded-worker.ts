/** Worker thread of the embedded store: answers calls until it is told to close. */
import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { AppError, errorText } from '../../contract/kernel/errors.ts';
import { EmbeddedDatabase } from './embedded-database.ts';
import type { WorkerAnswer, WorkerCall, WorkerSetup } from './worker-protocol.ts';

const port = parentPort;
if (!port) throw new Error('embedded-worker runs only as a worker thread');

const STORE_NICENESS = 10;
try {
  // Acknowledgements come first: on Linux this lowers the calling thread and those that DuckDB starts from it. The log
  // holds what is not stored yet.
  if (process.platform === 'linux') setPriority(STORE_NICENESS);
} catch {
  // Not allowed here: then storing competes on equal terms.
}

const database = new EmbeddedDatabase(workerData as WorkerSetup, (notice) => port.postMessage({ notice }));

async function answer({ id, operation, args }: WorkerCall): Promise<WorkerAnswer> {
  try {
    const run = database[operation] as (...args: readonly unknown[]) => Promise<unknown>;
    return { id, value: await run.apply(database, [...args]) };
  } catch (error) {
    const code = error instanceof AppError ? error.code : 'STORE_UNAVAILABLE';
    return { id, failure: { code, message: errorText(error) } };
  }
}

port.on('message', (call: WorkerCall) => {
  void answer(call).then((message) => {
    port.postMessage(message);
    if (call.operation === 'close') port.close();
  });
});
