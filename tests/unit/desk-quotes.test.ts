/** Sums that a customer can check with a pencil, and answers that count once. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { billingObstacle, decideAnswer, lineTotals, stateOf, totalsOf } from '../../api/desk/quotes.ts';
import { type QuoteLine, quoteAnswer, quoteDraft, quoteLine } from '../../contract/http/quotes.ts';

const line = (facts: Partial<QuoteLine> = {}): QuoteLine =>
  quoteLine.parse({
    id: 'a',
    kind: 'part',
    text: 'Compressor',
    quantity: 1,
    unitPrice: 10_000,
    taxBasisPoints: 1900,
    ...facts,
  });
const quote = (...lines: QuoteLine[]) => ({ state: 'sent' as const, validUntil: 1_000, lines });
const answer = (facts: object) => quoteAnswer.parse({ decision: 'authorise', name: 'Li Wei', ...facts });

describe('sums', () => {
  it('round the tax half up on each line', () => {
    expect(lineTotals(line({ unitPrice: 50, taxBasisPoints: 1900 }))).toEqual({ net: 50, tax: 10, gross: 60 });
    expect(lineTotals(line({ quantity: 1.25, unitPrice: 333 }))).toEqual({ net: 416, tax: 79, gross: 495 });
    // Two lines of 9.5 cents of tax are 20, not 19: what is printed adds up.
    const twice = [line({ unitPrice: 50 }), line({ id: 'b', unitPrice: 50 })];
    expect(totalsOf(twice)).toEqual({ net: 100, tax: 20, gross: 120 });
  });

  it('are exact integers that do not depend on the order', () => {
    const anyLine = fc.record({
      quantity: fc.integer({ min: 1, max: 400 }).map((quarters) => quarters / 4),
      unitPrice: fc.integer({ min: 0, max: 100_000_000 }),
      taxBasisPoints: fc.integer({ min: 0, max: 10_000 }),
    });
    fc.assert(
      fc.property(fc.array(anyLine, { minLength: 1, maxLength: 30 }), (facts) => {
        const lines = facts.map((one, index) => line({ ...one, id: `l${index}` }));
        const totals = totalsOf(lines);
        expect(Object.values(totals).every(Number.isSafeInteger)).toBe(true);
        expect(totals.gross).toBe(totals.net + totals.tax);
        expect(totalsOf([...lines].reverse())).toEqual(totals);
      }),
    );
  });
});

describe('an answer', () => {
  const both = quote(line(), line({ id: 'b', optional: true }));

  it('authorises all lines, or without optional ones that are not wanted', () => {
    const taken = (facts: object) => {
      const decision = decideAnswer(answer(facts), both, 0);
      return decision.kind === 'taken' && decision.lines.map((one) => one.id);
    };
    expect(taken({})).toEqual(['a', 'b']);
    expect(taken({ optionalLines: [] })).toEqual(['a']);
    expect(taken({ optionalLines: ['b'] })).toEqual(['a', 'b']);
  });

  it('cannot leave out what is needed, or want what is not offered', () => {
    expect(decideAnswer(answer({ optionalLines: ['a'] }), both, 0)).toMatchObject({
      kind: 'contradiction',
      field: 'optionalLines',
    });
    const onlyOptional = quote(line({ optional: true }));
    expect(decideAnswer(answer({ optionalLines: [] }), onlyOptional, 0)).toMatchObject({ kind: 'contradiction' });
  });

  it('counts until the last moment of validity, and once', () => {
    expect(decideAnswer(answer({}), both, 1_000).kind).toBe('taken');
    expect(decideAnswer(answer({}), both, 1_001)).toEqual({ kind: 'tooLate', reason: 'the quote is expired' });
    for (const state of ['authorised', 'declined', 'superseded'] as const) {
      expect(decideAnswer(answer({}), { ...both, state }, 0)).toMatchObject({ kind: 'tooLate' });
      expect(stateOf({ state, validUntil: 0 }, 1)).toBe(state);
    }
  });
});

describe('billable work', () => {
  it('waits for the customer exactly when it is billable', () => {
    const obstacle = (outcome: 'in_warranty' | 'out_of_warranty' | 'excluded' | 'needs_proof', goodwillShare = 0) =>
      billingObstacle({ outcome, goodwillShare }, false);
    expect(obstacle('in_warranty')).toBeUndefined();
    expect(obstacle('needs_proof')).toBeUndefined();
    expect(obstacle('out_of_warranty')).toContain('authorised');
    expect(obstacle('excluded', 0.5)).toContain('authorised');
    expect(obstacle('excluded', 1)).toBeUndefined();
    expect(billingObstacle({ outcome: 'out_of_warranty', goodwillShare: 0 }, true)).toBeUndefined();
  });
});

describe('a draft', () => {
  const draft = { currency: 'EUR', lines: [line()], durationHours: 4 };

  it.each([
    ['currency', { currency: 'euro' }],
    ['lines', { lines: [] }],
    ['lines', { lines: [line(), line()] }],
    ['lines.0.quantity', { lines: [{ ...line(), quantity: 0.1 }] }],
    ['lines.0.unitPrice', { lines: [{ ...line(), unitPrice: 1.5 }] }],
    ['durationHours', { durationHours: 0 }],
  ])('is refused at %s', (path, change) => {
    expect(quoteDraft.safeParse({ ...draft, ...change }).error?.issues[0]?.path.join('.')).toBe(path);
  });
});
