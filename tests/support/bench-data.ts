/** Where the big recordings of `npm run bench:*` lie: PRESAGE_BENCH_DIR, with a clear message when it is not set. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Full path of a file or folder of the bench data; ends the process with exit code 2 when it is not there. */
export function benchPath(...parts: string[]): string {
  const root = process.env.PRESAGE_BENCH_DIR;
  if (!root)
    fail(
      'Set PRESAGE_BENCH_DIR to the folder with the public recordings; docs/performance.md says where they come from.',
    );
  const path = join(root, ...parts);
  if (!existsSync(path)) fail(`${path} is missing; docs/performance.md says where the public recordings come from.`);
  return path;
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}
