/** A Mosquitto of our own on a free port, everything in a temporary folder. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../support/presage-process.ts';
import { startProgram } from '../child-program.ts';

export interface Mosquitto {
  readonly port: number;
  stop(): Promise<void>;
}

/** @param settings lines added to its configuration; without them it keeps its defaults */
export async function startMosquitto(binary: string, settings: readonly string[] = []): Promise<Mosquitto> {
  const folder = mkdtempSync(join(tmpdir(), 'presage-bench-mosquitto-'));
  const port = await freePort();
  const config = join(folder, 'mosquitto.conf');
  const lines = [`listener ${port} 127.0.0.1`, 'allow_anonymous true', `user ${userInfo().username}`, ...settings];
  writeFileSync(config, `${lines.join('\n')}\n`);
  const program = await startProgram(binary, ['-c', config, '-v'], /mosquitto version .* running/);
  return {
    port,
    async stop() {
      await program.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
