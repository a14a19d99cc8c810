/** Loader hook: gives the whole program the planted module instead of the real one; only planted ones get the real. */
const REPLACED = {
  'log-disk': 'ingest/log/log-disk.ts',
  'ack-first': 'ingest/log/segment-log.ts',
  'no-dedupe': 'ingest/accept.ts',
  'time-as-key': 'app/store.ts',
  'tenant-ignored': 'app/store.ts',
};
const root = new URL('../../../', import.meta.url);
const here = new URL('./', import.meta.url).href;

/** planted module by the address of the real one */
const replacements = new Map();

/** @param {string[]} names */
export function initialize(names) {
  for (const name of names) {
    if (!(name in REPLACED)) throw new Error(`nothing to plant is called ${name}`);
    replacements.set(new URL(REPLACED[name], root).href, new URL(`./${name}.ts`, import.meta.url).href);
  }
}

export async function resolve(specifier, context, nextResolve) {
  const resolved = await nextResolve(specifier, context);
  const planted = replacements.get(resolved.url.split('?')[0]);
  if (!planted || context.parentURL?.startsWith(here)) return resolved;
  return nextResolve(planted, context);
}
