/** Answers of commands: for people as a table, for programs as JSON. */

/** Prints one object or a list; the columns are the fields named, in that order. */
export function print<Row extends object>(
  answer: Row | readonly Row[],
  columns: readonly (keyof Row & string)[],
  options: { readonly json?: true },
): void {
  if (options.json) process.stdout.write(`${JSON.stringify(answer)}\n`);
  else process.stdout.write(tableOf(isList(answer) ? answer : [answer], columns));
}

const isList = <Row>(answer: Row | readonly Row[]): answer is readonly Row[] => Array.isArray(answer);

function tableOf<Row extends object>(rows: readonly Row[], columns: readonly (keyof Row & string)[]): string {
  const cells = [columns, ...rows.map((row) => columns.map((column) => cellOf(column, row[column])))];
  const widths = columns.map((_, at) => Math.max(...cells.map((row) => row[at]?.length ?? 0)));
  return cells
    .map(
      (row) =>
        `${row
          .map((cell, at) => cell.padEnd(widths[at] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** Times are epoch ms in fields that end in `At`. Control characters would play tricks on the terminal. */
function cellOf(column: string, value: unknown): string {
  if (value === undefined || value === null) return '–';
  if (column.endsWith('At') && typeof value === 'number') return new Date(value).toISOString().replace('.000Z', 'Z');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return String(value).replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}

/** Prints what is shown only once: the secret alone on stdout, so that a script can take it; with `--json` the whole answer. */
export function printSecret(answer: object, secret: string, what: string, options: { readonly json?: true }): void {
  if (options.json) process.stdout.write(`${JSON.stringify(answer)}\n`);
  else {
    process.stderr.write(`This is ${what}; it is not shown again:\n`);
    process.stdout.write(`${secret}\n`);
  }
}
