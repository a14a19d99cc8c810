/**
 * Real servers and clients that some tests run against (Debian packages, see `.ci/run`). On a machine without one its
 * tests are skipped and say so; under `CI=true` a missing one is an error, so that nothing is skipped where it counts.
 */
import { accessSync, constants, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // Not there or not ours to run: the same to a test.
  }
}

/** Debian keeps the PostgreSQL server outside PATH, one folder a version. */
function postgresFolders(): string[] {
  try {
    return readdirSync('/usr/lib/postgresql').map((version) => `/usr/lib/postgresql/${version}/bin`);
  } catch {
    return []; // Debian's PostgreSQL is not installed.
  }
}

/** Full path of a program, or `undefined` when it is missing (an error under `CI=true`). */
export function findBinary(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', ...postgresFolders()];
  const path = folders.map((folder) => join(folder, name)).find(executable);
  if (!path && process.env.CI === 'true') throw new Error(`${name} is not installed; .ci/run must install it`);
  return path;
}
