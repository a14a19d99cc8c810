/** Starts a worker thread beside the calling module, from TypeScript sources (through tsx) or from compiled JavaScript. */
import { Worker, type WorkerOptions } from 'node:worker_threads';

/**
 * @param name file name without extension, in the folder of `moduleUrl`
 * @param moduleUrl `import.meta.url` of the caller; its extension says which of the two runs
 */
export function spawnWorker(name: string, moduleUrl: string, options: WorkerOptions = {}): Worker {
  if (!moduleUrl.endsWith('.ts')) return new Worker(new URL(`./${name}.js`, moduleUrl), options);
  const entry = new URL(`./${name}.ts`, moduleUrl);
  return new Worker(new URL('./worker-from-sources.js', import.meta.url), { ...options, argv: [entry.href] });
}
