/**
 * Sums of a quote, and whether an answer counts. Tax is rounded half up a line, so that a customer who adds the printed lines finds
 * the printed sum.
 */
import type { QuoteAnswer, QuoteLine, QuoteState, QuoteTotals } from '../../contract/http/quotes.ts';
import type { WarrantyDecision } from '../../contract/http/warranty.ts';

/** Price of one line in minor units. */
export function lineTotals({ quantity, unitPrice, taxBasisPoints }: QuoteLine): QuoteTotals {
  const net = Math.round(quantity * unitPrice);
  const tax = Math.round((net * taxBasisPoints) / 10_000);
  return { net, tax, gross: net + tax };
}

export function totalsOf(lines: readonly QuoteLine[]): QuoteTotals {
  return lines
    .map(lineTotals)
    .reduce((sum, one) => ({ net: sum.net + one.net, tax: sum.tax + one.tax, gross: sum.gross + one.gross }), {
      net: 0,
      tax: 0,
      gross: 0,
    });
}

export interface QuoteSubject {
  readonly state: QuoteState;
  readonly validUntil: number;
  readonly lines: readonly QuoteLine[];
}

export type AnswerDecision =
  | { readonly kind: 'taken'; readonly state: 'authorised' | 'declined'; readonly lines: readonly QuoteLine[] }
  | { readonly kind: 'tooLate'; readonly reason: string }
  | { readonly kind: 'contradiction'; readonly field: string; readonly reason: string };

export function decideAnswer(answer: QuoteAnswer, quote: QuoteSubject, now: number): AnswerDecision {
  const state = stateOf(quote, now);
  if (state !== 'sent') return { kind: 'tooLate', reason: `the quote is ${state}` };
  if (answer.decision === 'decline') return { kind: 'taken', state: 'declined', lines: [] };
  const optional = new Set(quote.lines.filter((line) => line.optional).map((line) => line.id));
  const wanted = new Set(answer.optionalLines ?? optional);
  const unknown = [...wanted].find((id) => !optional.has(id));
  if (unknown !== undefined) {
    const reason = `${unknown} is no optional line of this quote`;
    return { kind: 'contradiction', field: 'optionalLines', reason };
  }
  const lines = quote.lines.filter((line) => !line.optional || wanted.has(line.id));
  if (lines.length === 0) {
    return {
      kind: 'contradiction',
      field: 'optionalLines',
      reason: 'nothing is left to authorise: that is to decline',
    };
  }
  return { kind: 'taken', state: 'authorised', lines };
}

/** A quote that nobody answered ends by itself. */
export function stateOf({ state, validUntil }: Pick<QuoteSubject, 'state' | 'validUntil'>, now: number): QuoteState {
  return state === 'sent' && now > validUntil ? 'expired' : state;
}

/**
 * Why nobody may begin to repair yet; `undefined` when nothing is in the way. No billable work without the customer's word: what
 * is known to be outside the warranty needs an authorised quote, unless the house takes the whole cost.
 */
export function billingObstacle(
  { outcome, goodwillShare }: Pick<WarrantyDecision, 'outcome' | 'goodwillShare'>,
  hasAuthorisedQuote: boolean,
): string | undefined {
  const billable = (outcome === 'out_of_warranty' || outcome === 'excluded') && goodwillShare < 1;
  if (!billable || hasAuthorisedQuote) return undefined;
  return `the repair is ${outcome.replaceAll('_', ' ')}: it takes a quote that the customer has authorised`;
}
