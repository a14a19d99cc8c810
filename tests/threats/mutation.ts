/** A defence that is taken out, and the tests that must notice. */

export interface Mutation {
  /** Number of the threat in docs/threats.md. */
  readonly threat: number;
  /** What is taken out. */
  readonly without: string;
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  /** At least one of them must fail. Names as they stand in the file, placeholders included. */
  readonly tests: readonly { readonly file: string; readonly name: string }[];
}

type Tests = Mutation['tests'];
/** The tests of one file, by their names. */
export const inFile =
  (file: string) =>
  (...names: string[]): Tests =>
    names.map((name) => ({ file, name }));
