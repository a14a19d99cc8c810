/** The version in package.json, wherever this file runs from (sources or dist/). */
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';

const manifest = z.object({ version: z.string() });

export const VERSION: string = readVersion();

function readVersion(): string {
  const paths = ['../package.json', '../../package.json'].map((path) => new URL(path, import.meta.url));
  const path = paths.find((candidate) => existsSync(candidate));
  if (!path) throw new Error('package.json is missing beside the program');
  return manifest.parse(JSON.parse(readFileSync(path, 'utf8'))).version;
}
