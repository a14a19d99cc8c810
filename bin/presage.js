#!/usr/bin/env -S node --max-semi-space-size=32
// A young generation of 32 MiB: messages die young, and copying those that do not is a tenth of the work under load.
// Launcher: runs the TypeScript sources through tsx where they are, else the compiled program, as in the published package.
import { existsSync } from 'node:fs';

const sources = new URL('../app/cli.ts', import.meta.url);
if (existsSync(sources)) {
  const { register } = await import('tsx/esm/api');
  register();
  await import(sources.href);
} else {
  await import(new URL('../dist/app/cli.js', import.meta.url).href);
}
