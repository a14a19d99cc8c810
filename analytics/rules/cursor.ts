/** A place in the tokens of a rule, and the words in which anything that does not fit is refused. */
import type { RuleProblem } from '../../contract/ports/rules.ts';
import { nearestName } from './names.ts';
import { type Token, tokensOf } from './tokens.ts';

/** Ends the descent at the first thing that does not fit; never leaves `parseRule`. */
export class Stop {
  readonly problem: RuleProblem;

  constructor(problem: RuleProblem) {
    this.problem = problem;
  }
}

/** A problem at a place in the text. */
export function problemAt(
  text: string,
  at: number,
  length: number,
  message: string,
  expected: readonly string[],
  nearest?: string,
): RuleProblem {
  const before = text.slice(0, at);
  const line = before.split('\n').length;
  const column = at - (before.lastIndexOf('\n') + 1) + 1;
  return { line, column, length, message, expected: [...expected], ...(nearest === undefined ? {} : { nearest }) };
}

export class TokenCursor {
  readonly #text: string;
  readonly #tokens: readonly Token[];
  #next = 0;

  constructor(text: string) {
    this.#text = text;
    this.#tokens = tokensOf(text);
  }

  protected peek(ahead = 0): Token {
    return this.#tokens[Math.min(this.#next + ahead, this.#tokens.length - 1)] as Token;
  }

  protected is(word: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return (token.kind === 'word' || token.kind === 'sign') && token.text === word;
  }

  protected take(word: string): boolean {
    if (!this.is(word)) return false;
    this.#next++;
    return true;
  }

  protected expect(word: string): void {
    if (!this.take(word)) this.refuse([word]);
  }

  protected shift(): Token {
    const token = this.peek();
    this.#next++;
    return token;
  }

  protected refuse(expected: readonly string[], token = this.peek(), names: readonly string[] = expected): never {
    const found =
      token.kind === 'end' ? 'the end of the rule' : `“${this.#text.slice(token.at, token.at + token.length)}”`;
    const nearest = token.kind === 'word' ? nearestName(token.text, names) : undefined;
    throw new Stop(problemAt(this.#text, token.at, token.length, `${found} does not fit here`, expected, nearest));
  }

  protected fail(token: Pick<Token, 'at' | 'length'>, message: string, expected: readonly string[] = []): never {
    throw new Stop(problemAt(this.#text, token.at, token.length, message, expected));
  }
}
