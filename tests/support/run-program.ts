/** Runs a real program to its end, or to a time limit, and gives back what it said. */
import { spawn } from 'node:child_process';

export interface ProgramRun {
  /** `null` when it was ended at the limit. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param input what it reads on stdin */
export function runProgram(
  path: string,
  args: readonly string[],
  { input, limitMs = 10_000 }: { readonly input?: string | Buffer; readonly limitMs?: number } = {},
): Promise<ProgramRun> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, args, { stdio: ['pipe', 'pipe', 'pipe'] });
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
