/** Runs `presage …` to its end as a user would. */
import { type ProgramRun, runProgram } from './run-program.ts';

const LAUNCHER = new URL('../../bin/presage.js', import.meta.url).pathname;
/** Training and replays take their time; a command that hangs must not outlive its test for long. */
const LIMIT_MS = 15 * 60_000;

export function runCli(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<ProgramRun> {
  return runProgram(process.execPath, [LAUNCHER, ...args], { env, limitMs: LIMIT_MS });
}

/** As runCli, but an exit code other than 0 is an error that shows what the command said. */
export async function runCliOk(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  const result = await runCli(args, env);
  if (result.code !== 0) {
    throw new Error(`presage ${args.join(' ')} ended with ${result.code}:\n${result.stderr}\n${result.stdout}`);
  }
  return result.stdout;
}
