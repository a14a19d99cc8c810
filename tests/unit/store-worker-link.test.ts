/** The embedded store's link to its thread, with threads that misbehave. */
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { WorkerLink } from '../../ingest/store/worker-link.ts';
import type { WorkerNotice } from '../../ingest/store/worker-protocol.ts';

/** Opens and closes, answers `ping` with an error of the catalogue, and dies of `storedPosition`. */
const MORTAL = `
  const { parentPort } = require('node:worker_threads');
  parentPort.on('message', ({ id, operation }) => {
    if (operation === 'storedPosition') process.exit(3);
    if (operation === 'ping') {
      const failure = { code: 'DATA_DIR_LOCKED', message: 'Another Presage uses this data directory: held' };
      return parentPort.postMessage({ id, failure });
    }
    parentPort.postMessage({ id, value: undefined });
    if (operation === 'close') parentPort.close();
  });`;

describe('link to the store’s thread', () => {
  it('fails the calls that were under way when the thread dies, and starts another for the next call', async () => {
    let spawned = 0;
    const notices: WorkerNotice[] = [];
    const spawn = () => {
      spawned++;
      return new Worker(MORTAL, { eval: true });
    };
    const link = new WorkerLink(spawn, (notice) => notices.push(notice));
    await link.open();
    const lost = await Promise.allSettled([link.call('storedPosition', []), link.call('ping', [])]);
    expect(lost[0]).toMatchObject({ reason: { code: 'STORE_UNAVAILABLE', retriable: true } });
    expect(notices).toEqual([{ kind: 'reopened', reason: "the store's thread ended with code 3" }]);
    await expect(link.call('open', [])).resolves.toBeUndefined();
    expect(spawned).toBe(2);
    await link.close();
    await link.close();
  });

  it('hands on the worker’s errors with their code and without repeating their title', async () => {
    const link = new WorkerLink(
      () => new Worker(MORTAL, { eval: true }),
      () => {},
    );
    await link.open();
    await expect(link.call('ping', [])).rejects.toMatchObject({
      code: 'DATA_DIR_LOCKED',
      message: 'Another Presage uses this data directory: held',
    });
    await link.close();
  });
});
