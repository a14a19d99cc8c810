/** One line of `presage doctor`: what was looked at, how it is, and what to do when it is not well. */
import { errorText } from '../../contract/kernel/errors.ts';

export type Condition = 'ok' | 'warn' | 'fail';

export interface Finding {
  readonly check: string;
  readonly condition: Condition;
  readonly detail: string;
  /** What to do; absent when all is well. */
  readonly advice?: string;
}

export const ok = (check: string, detail: string): Finding => ({ check, condition: 'ok', detail });
export const warn = (check: string, detail: string, advice: string): Finding => ({
  ...{ check, condition: 'warn', detail, advice },
});
export const fail = (check: string, detail: string, advice: string): Finding => ({
  ...{ check, condition: 'fail', detail, advice },
});

/** Runs one examination; whatever it throws is a failed check, never the end of the others. */
export async function examined(check: string, advice: string, work: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await work();
  } catch (error) {
    return [fail(check, errorText(error), advice)];
  }
}
