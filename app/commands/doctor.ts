/** `presage doctor`: looks at an installation, running or stopped, and says what to do. Exit code 1 when something fails. */
import type { Command } from 'commander';
import { configFrom, createLogger, runCommand, withConfigFlags } from '../cli-support.ts';
import { systemClock } from '../compose.ts';
import { examine } from '../doctor/examine.ts';
import type { Finding } from '../doctor/finding.ts';

export function register(program: Command): void {
  withConfigFlags(program.command('doctor').description('look at an installation and say what to do'))
    .option('--json', 'as JSON')
    .action(
      runCommand(async (options: Record<string, unknown>) => {
        const { config } = configFrom(options);
        const tools = { logger: createLogger('error'), clock: systemClock };
        const findings = await examine(config, tools, process.versions.node);
        const failed = findings.some((finding) => finding.condition === 'fail');
        process.stdout.write(options.json ? `${JSON.stringify({ ok: !failed, findings })}\n` : shown(findings));
        process.exitCode = failed ? 1 : 0;
      }),
    );
}

function shown(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  return findings
    .map(({ condition, check, detail, advice }) => {
      const line = `${condition.padEnd(4)}  ${check.padEnd(width)}  ${detail}\n`;
      return advice ? `${line}${' '.repeat(width + 8)}→ ${advice}\n` : line;
    })
    .join('');
}
