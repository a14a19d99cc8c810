#!/usr/bin/env node
// Launcher: runs the compiled program when `npm run build` made one, else the TypeScript sources through tsx.
import { existsSync } from 'node:fs';

const compiled = new URL('../dist/app/cli.js', import.meta.url);
if (existsSync(compiled)) {
  await import(compiled.href);
} else {
  const { register } = await import('tsx/esm/api');
  register();
  await import(new URL('../app/cli.ts', import.meta.url).href);
}
