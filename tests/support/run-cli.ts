/** Runs `presage …` to its end as a user would. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const LAUNCHER = new URL('../../bin/presage.js', import.meta.url).pathname;

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export async function runCli(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CliResult> {
  const child = spawn(process.execPath, [LAUNCHER, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

/** As runCli, but an exit code other than 0 is an error that shows what the command said. */
export async function runCliOk(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  const result = await runCli(args, env);
  if (result.code !== 0)
    throw new Error(`presage ${args.join(' ')} ended with ${result.code}:\n${result.stderr}\n${result.stdout}`);
  return result.stdout;
}
