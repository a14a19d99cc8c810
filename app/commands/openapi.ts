/** `presage openapi`: the HTTP API's OpenAPI 3.1 document, without a running server. */
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { createLogger, runCommand } from '../cli-support.ts';
import { describeApi } from '../compose.ts';

export function register(program: Command): void {
  program
    .command('openapi')
    .description('print the OpenAPI document of the HTTP API')
    .option('--out <file>', 'file to write; standard output when absent')
    .action(
      runCommand(async (options: { out?: string }) => {
        const text = `${JSON.stringify(await describeApi(createLogger('warn')), null, 2)}\n`;
        if (options.out) writeFileSync(options.out, text);
        else process.stdout.write(text);
      }),
    );
}
