/** Ends byte streams so that what was written still arrives, and cuts those whose peer does not answer. */
import type { Duplex } from 'node:stream';

/** Resolves when all are closed, after `graceMs` at the latest. */
export async function closeStreams(streams: readonly Duplex[], graceMs: number): Promise<void> {
  const closed = streams.map((stream) => new Promise<void>((resolve) => stream.once('close', () => resolve())));
  for (const stream of streams) stream.end();
  const cut = setTimeout(() => {
    for (const stream of streams) stream.destroy();
  }, graceMs);
  await Promise.all(closed);
  clearTimeout(cut);
}
