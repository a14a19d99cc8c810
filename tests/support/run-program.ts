/** Runs a real program to its end, or to a time limit, and gives back what it said. */
import { spawn } from 'node:child_process';

export interface ProgramRun {
  /** `null` when it was ended at the limit. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** What it reads on stdin. */
  readonly input?: string | Buffer;
  /** Added to our own environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly limitMs?: number;
}

export function runProgram(
  path: string,
  args: readonly string[],
  { input, env = {}, limitMs = 10_000 }: RunOptions = {},
): Promise<ProgramRun> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    const said = { stdout: '', stderr: '' };
    child.stdout.on('data', (bytes) => (said.stdout += bytes));
    child.stderr.on('data', (bytes) => (said.stderr += bytes));
    child.on('error', reject);
    child.stdin.on('error', () => {}); // It may end before it has read everything.
    child.stdin.end(input);
    const limit = setTimeout(() => child.kill('SIGKILL'), limitMs);
    child.on('close', (code) => {
      clearTimeout(limit);
      resolve({ code, ...said });
    });
  });
}
