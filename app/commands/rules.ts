/** `presage rules`: the rules of a tenant on a running server: list, check, add, change, try, switch on and off. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { type RuleChecked, ruleChecked, ruleTried, ruleView } from '../../contract/http/rules.ts';
import { AppError, errorText } from '../../contract/kernel/errors.ts';
import { type ApiOptions, apiClientFor, nothing, withApiAccess } from '../api-client.ts';
import { runCommand } from '../cli-support.ts';
import { print } from '../table.ts';

const PATH = '/api/v1/rules';
const COLUMNS = ['id', 'name', 'enabled', 'version', 'changedBy', 'appliesFrom', 'canonical'] as const;
const ALERT_COLUMNS = ['severity', 'component', 'onset', 'raisedAt', 'clearedAt'] as const;

interface TextOptions extends ApiOptions {
  readonly text?: string;
  readonly file?: string;
}

export function register(program: Command): void {
  const group = program.command('rules').description('alerts by rules that people write: see docs/rules.md');
  withApiAccess(group.command('list').description('all rules')).action(
    runCommand(async (options: ApiOptions) => {
      print(await apiClientFor(options).all(PATH, ruleView), COLUMNS, options);
    }),
  );
  withText(withApiAccess(group.command('check').description('whether a text is a rule; nothing is stored'))).action(
    runCommand(async (options: TextOptions) => {
      report(
        await apiClientFor(options).send('POST', `${PATH}/check`, ruleChecked, { text: textOf(options) }),
        options,
      );
    }),
  );
  withText(withApiAccess(group.command('add').description('add one').argument('<id>')))
    .option('--name <name>', 'what people call it; the id when absent')
    .option('--disabled', 'it does not run yet')
    .action(
      runCommand(async (id: string, options: TextOptions & { name?: string; disabled?: true }) => {
        const body = { id, name: options.name ?? id, text: textOf(options), enabled: !options.disabled };
        print(await apiClientFor(options).send('POST', PATH, ruleView, body), COLUMNS, options);
      }),
    );
  withText(
    withApiAccess(
      group
        .command('try')
        .description('which alerts it would have made on the stored samples of a device; nothing is stored')
        .requiredOption('--device <id>', 'device')
        .requiredOption('--from <time>', 'ISO 8601')
        .requiredOption('--to <time>', 'ISO 8601'),
    ),
  ).action(runCommand(tryRule));
  for (const [act, description] of [
    ['enable', 'let it run'],
    ['disable', 'let it run no more; its open alerts are cleared'],
  ] as const) {
    withApiAccess(group.command(act).description(description).argument('<id>')).action(
      runCommand(async (id: string, options: ApiOptions) => {
        const path = `${PATH}/${encodeURIComponent(id)}/${act}`;
        print(await apiClientFor(options).send('POST', path, ruleView), COLUMNS, options);
      }),
    );
  }
  withApiAccess(group.command('delete').description('its open alerts are cleared').argument('<id>')).action(
    runCommand(async (id: string, options: ApiOptions) => {
      await apiClientFor(options).send('DELETE', `${PATH}/${encodeURIComponent(id)}`, nothing);
    }),
  );
}

function withText(command: Command): Command {
  return command.option('--text <rule>', 'the rule').option('--file <path>', 'file with the rule');
}

/** @throws AppError CONFIG_INVALID */
function textOf({ text, file }: TextOptions): string {
  if ((text === undefined) === (file === undefined)) throw new AppError('CONFIG_INVALID', 'give --text or --file');
  if (file === undefined) return text as string;
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', `--file ${file} cannot be read: ${errorText(cause)}`, { cause });
  }
}

/** The exit code is 1 when it is no rule. */
function report(checked: RuleChecked, options: ApiOptions): void {
  if (!checked.ok) process.exitCode = 1;
  if (options.json) print(checked, ['ok'], options);
  else if (checked.ok)
    process.stdout.write([checked.canonical, ...checked.notes.map((note) => `note: ${note}`), ''].join('\n'));
  else {
    for (const { line, column, message, expected, nearest } of checked.problems) {
      const hints = [
        ...(expected.length > 0 ? [`expected ${expected.join(', ')}`] : []),
        ...(nearest ? [`did you mean ${nearest}?`] : []),
      ];
      process.stdout.write(`${line}:${column} ${[message, ...hints].join('; ')}\n`);
    }
  }
}

async function tryRule(options: TextOptions & { device: string; from: string; to: string }): Promise<void> {
  const { device, from, to } = options;
  const tried = await apiClientFor(options).send('POST', `${PATH}/try`, ruleTried, {
    text: textOf(options),
    device,
    from,
    to,
  });
  if (options.json) print(tried, ['device'], options);
  else {
    if (!tried.applies) process.stderr.write(`the rule is not about ${device}\n`);
    if (tried.truncatedAt !== undefined) {
      process.stderr.write(`only up to ${new Date(tried.truncatedAt).toISOString()}: ${tried.samples} samples\n`);
    }
    print(tried.alerts, ALERT_COLUMNS, options);
  }
}
