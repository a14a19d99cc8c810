/**
 * `npm run chaos:plants`: does the verdict of a chaos run mean anything? Each bug of the list is planted in a whole server,
 * a short run is made, and its verdict must name what the bug breaks. Prints one JSON line a bug; ends with 1 when one of
 * them was not caught.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import type { Violation } from './verdict.ts';

/** What each bug must be caught by. */
const PLANTS: Readonly<Record<string, Violation>> = {
  'ack-first': 'missing',
  'no-dedupe': 'doubled',
  'time-as-key': 'missing',
  'tenant-ignored': 'missing',
};
const RUN = new URL('./run.ts', import.meta.url).pathname;
/** A bug shows within seconds; the kills are for the one that only a crash brings to light. */
const SHORT = ['--minutes', '0.4', '--kills', '3', '--adapter-only', '--sql', 'embedded'];
const report = z.object({ ok: z.boolean(), violations: z.record(z.string(), z.number()) });

let missed = 0;
for (const [plant, violation] of Object.entries(PLANTS)) {
  const child = spawn(process.execPath, ['--import', 'tsx', RUN, ...SHORT, '--plant', plant], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [out, log] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  const verdict = report.safeParse(parsed(out));
  const caught = verdict.success && !verdict.data.ok && (verdict.data.violations[violation] ?? 0) > 0;
  const violations = verdict.success ? verdict.data.violations : {};
  process.stdout.write(`${JSON.stringify({ plant, caught, expected: violation, violations })}\n`);
  if (caught) continue;
  missed++;
  process.stderr.write(log.slice(-3_000));
}
process.exit(missed > 0 ? 1 : 0);

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined; // The run itself failed; its log says why.
  }
}
