/** Programs beside the benches: started, waited for by what they print, ended with us. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** What is kept of a program's output to explain its end. */
const KEPT_CHARS = 8_192;

export interface ChildProgram {
  readonly pid: number;
  /** The match of the awaited line. */
  readonly ready: RegExpExecArray;
  readonly process: ChildProcess;
  output(): string;
  stop(): Promise<void>;
}

export interface ProgramOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly limitMs?: number;
  /** Whether we write to its stdin. */
  readonly stdin?: true;
}

/** Starts a program and resolves once it printed what `ready` matches, on stdout or stderr. */
export async function startProgram(
  command: string,
  args: readonly string[],
  ready: RegExp,
  { env = process.env, limitMs = 30_000, stdin }: ProgramOptions = {},
): Promise<ChildProgram> {
  const child = spawn(command, args, { env, stdio: [stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'] });
  running.add(child);
  child.once('exit', () => running.delete(child));
  let said = '';
  const matched = await new Promise<RegExpExecArray>((resolve, reject) => {
    const fail = (why: string): void => reject(new Error(`${command} ${args.join(' ')}: ${why}\n${said}`));
    const limit = setTimeout(() => {
      child.kill('SIGKILL');
      fail(`not ready after ${limitMs} ms`);
    }, limitMs);
    const listen = (chunk: Buffer): void => {
      said = (said + chunk.toString()).slice(-KEPT_CHARS);
      const match = ready.exec(said);
      if (!match) return;
      clearTimeout(limit);
      resolve(match);
    };
    child.stdout?.on('data', listen);
    child.stderr?.on('data', listen);
    child.once('error', (error) => fail(error.message));
    child.once('exit', (code) => {
      clearTimeout(limit);
      fail(`ended with ${code}`);
    });
  });
  return {
    pid: child.pid ?? 0,
    ready: matched,
    process: child,
    output: () => said,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** A TypeScript program of ours, by its URL. */
export function startOwnProgram(
  file: URL,
  args: readonly string[],
  ready: RegExp,
  options?: ProgramOptions,
): Promise<ChildProgram> {
  return startProgram(process.execPath, ['--import', 'tsx', file.pathname, ...args], ready, options);
}
