/** What a part of the bench found out, and how it is printed. */

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit?: string;
  /** Whether larger is better; decides how aim and floor are read. */
  readonly better: 'higher' | 'lower';
  readonly aim?: number;
  readonly floor?: number;
  /** The absolute figures behind it. */
  readonly detail: string;
}

export interface BenchOptions {
  readonly rounds: number;
  /** Length of one measurement or trial. */
  readonly seconds: number;
  readonly connections: number;
  /** Of the open loop in which acknowledgement times are compared. */
  readonly ratePerS: number;
  /** Beside console queries. */
  readonly queryRatePerS: number;
  readonly frozenSeconds: number;
  readonly idleConnections: number;
  readonly tlsDevices: number;
  /** Where the searches for a rate begin. */
  readonly searchFromPerS: number;
  /** The highest rate that is tried. */
  readonly searchToPerS: number;
  /** Where programs to compare with are installed; outside the repository. */
  readonly peersFolder: string;
  say(line: string): void;
}

export type Part = (options: BenchOptions) => Promise<readonly Figure[]>;

const VERDICTS = ['aim', 'floor', 'MISSED'] as const;

/** `aim` = as good as the aim, `floor` = at least the floor, `MISSED` = below it; nothing when there is none. */
export function verdictOf({ value, better, aim, floor }: Figure): (typeof VERDICTS)[number] | '' {
  const reaches = (mark: number): boolean => (better === 'higher' ? value >= mark : value <= mark);
  if (aim !== undefined && reaches(aim)) return 'aim';
  if (floor !== undefined && reaches(floor)) return 'floor';
  return aim === undefined && floor === undefined ? '' : 'MISSED';
}

export function row(figure: Figure): string {
  const { name, value, unit = '', aim, floor, detail } = figure;
  const marks = [aim ?? '–', floor === undefined ? '' : `[${floor}]`].join(' ').trim();
  return `| ${name} | ${shown(value)}${unit && ` ${unit}`} | ${marks} | ${verdictOf(figure)} | ${detail} |`;
}

export const TABLE_HEAD = '| what | figure | aim [floor] | reaches | from |\n|---|---|---|---|---|';

/** Three digits are more than a measurement like these knows. */
export function shown(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en');
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}
