/**
 * `npm run threats [-- TEXT]`: takes the defences of docs/threats.md out one by one, in a copy of the sources, and runs the
 * tests that should notice. Prints a table; ends with 1 when a test is missing or a mutation survives. TEXT: only those whose
 * threat number or file is it.
 */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { constants, setPriority, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { trackedFiles } from '../support/source-files.ts';
import type { Mutation } from './mutation.ts';
import { MUTATIONS } from './mutations.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
/** A defence whose absence makes tests wait instead of fail. */
const TEST_TIMEOUT_MS = 40_000;

const report = z.object({ numPassedTests: z.number(), numFailedTests: z.number() });
type Report = z.infer<typeof report>;

function copyTree(): string {
  const copy = mkdtempSync(join(tmpdir(), 'presage-threats-'));
  for (const path of trackedFiles()) {
    mkdirSync(dirname(join(copy, path)), { recursive: true });
    cpSync(join(ROOT, path), join(copy, path));
  }
  symlinkSync(realpathSync(join(ROOT, 'node_modules')), join(copy, 'node_modules'));
  // What lists tracked files asks git.
  spawnSync('git', ['init', '-q'], { cwd: copy });
  return copy;
}

/** Names as vitest shows them: what stands in for the values of a table may be anything. */
function patternOf(tests: Mutation['tests']): string {
  const patterns = tests.map(({ name }) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/%[a-z]/g, '.*'));
  return [...new Set(patterns)].join('|');
}

function runTests(copy: string, tests: Mutation['tests']): Report {
  const output = join(copy, 'report.json');
  rmSync(output, { force: true });
  const files = [...new Set(tests.map(({ file }) => file))];
  const options = ['--reporter=json', `--outputFile=${output}`, `--testTimeout=${TEST_TIMEOUT_MS}`];
  spawnSync(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...files, '-t', patternOf(tests), ...options], {
    cwd: copy,
    stdio: 'ignore',
    timeout: 10 * TEST_TIMEOUT_MS,
  });
  return report.parse(JSON.parse(readFileSync(output, 'utf8')));
}

/** What became of a mutation: `noticed`, or what is wrong. */
function tryMutation(copy: string, mutation: Mutation): string {
  const path = join(copy, mutation.file);
  const source = readFileSync(path, 'utf8');
  try {
    writeFileSync(
      path,
      source.replace(mutation.find, () => mutation.replace),
    );
    const { numFailedTests } = runTests(copy, mutation.tests);
    return numFailedTests > 0 ? `noticed (${numFailedTests} failed)` : 'SURVIVED';
  } catch {
    return 'BROKEN: the tests did not run';
  } finally {
    writeFileSync(path, source);
  }
}

function checkBaseline(copy: string, mutations: readonly Mutation[]): boolean {
  const { numPassedTests, numFailedTests } = runTests(
    copy,
    mutations.flatMap(({ tests }) => tests),
  );
  console.log(`with every defence: ${numPassedTests} passed, ${numFailedTests} failed`);
  return numPassedTests > 0 && numFailedTests === 0;
}

function main(): number {
  setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
  const [only] = process.argv.slice(2);
  const chosen = MUTATIONS.filter(({ threat, file }) => only === undefined || String(threat) === only || file === only);
  const copy = copyTree();
  try {
    if (!checkBaseline(copy, chosen)) return 1;
    let bad = 0;
    for (const mutation of chosen) {
      const outcome = tryMutation(copy, mutation);
      if (!outcome.startsWith('noticed')) bad += 1;
      console.log(`${String(mutation.threat).padStart(2)}  ${outcome.padEnd(20)}  without ${mutation.without}`);
    }
    console.log(`${chosen.length - bad} of ${chosen.length} noticed`);
    return bad === 0 ? 0 : 1;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

process.exitCode = main();
