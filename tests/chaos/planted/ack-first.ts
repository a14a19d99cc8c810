/** Planted bug: the log says "durable" at once, and writes a moment later. */
import { openSegmentLog as openRealLog } from '../../../ingest/log/segment-log.ts';
import { instead } from './instead.ts';

export type * from '../../../ingest/log/segment-log.ts';

const LATER_MS = 300;

export const openSegmentLog: typeof openRealLog = (needs, options) => {
  const real = openRealLog(needs, options);
  if (options?.name !== 'telemetry') return real;
  const append: typeof real.log.append = (entry, done) => {
    const copy = { ...entry, body: Uint8Array.from(entry.body) };
    queueMicrotask(() => done(undefined, real.log.end()));
    setTimeout(() => real.log.append(copy, () => undefined), LATER_MS);
  };
  const barrier: typeof real.log.barrier = (done) => queueMicrotask(() => done(undefined));
  return { ...real, log: instead(real.log, { append, barrier }) };
};
