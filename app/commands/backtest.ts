/** `presage backtest …`: what the detectors would have said about recorded data. */
import { type Command, Option } from 'commander';
import { backtestScore } from '../../analytics/evaluate/backtest-score.ts';
import { PROFILES, type Profile } from '../../analytics/evaluate/row-scorer.ts';
import { runCommand } from '../cli-support.ts';
import { registerReplay } from './backtest-replay.ts';

interface ScoreFlags {
  readonly in: string;
  readonly out: string;
  readonly learn?: string;
  readonly profile: Profile;
  readonly json?: boolean;
}

export function register(program: Command): void {
  const backtest = program.command('backtest').description('run the detectors over recorded data');
  backtest
    .command('score')
    .description('score every .csv and .csv.gz of a folder row by row, as production would')
    .requiredOption('--in <dir>', 'recordings: timestamp,value or timestamp,signal1,signal2,…')
    .requiredOption('--out <dir>', 'where the scored rows go, under the same relative paths')
    .option('--learn <dir>', 'healthy recordings to learn first')
    .addOption(
      new Option('--profile <name>', 'operating point: how many false alerts may be raised')
        .choices(Object.keys(PROFILES))
        .default('standard'),
    )
    .option('--json', 'print the summary as JSON')
    .action(runCommand(score));
  registerReplay(backtest);
}

async function score(flags: ScoreFlags): Promise<void> {
  const summaries = await backtestScore({
    inDir: flags.in,
    outDir: flags.out,
    profile: flags.profile,
    ...(flags.learn === undefined ? {} : { learnDir: flags.learn }),
  });
  if (flags.json) {
    console.log(JSON.stringify({ files: summaries }));
    return;
  }
  const rows = summaries.reduce((sum, file) => sum + file.rows, 0);
  const alerts = summaries.reduce((sum, file) => sum + file.alerts, 0);
  console.log(`${summaries.length} recordings, ${rows} rows scored, ${alerts} alerts`);
}
