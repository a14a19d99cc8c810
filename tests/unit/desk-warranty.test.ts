/** Warranty decisions: dates, usage, proof, law, history, and what only people may say. */
import { describe, expect, it } from 'vitest';
import { type ClaimFacts, decideWarranty, foldNotes, type WarrantySubject } from '../../api/desk/warranty/decide.ts';
import { SHIPPED_TERMS } from '../../api/desk/warranty/shipped-terms.ts';
import { DEVICE_MODELS } from '../../contract/devices/catalogue.ts';
import { type WarrantyNote, warrantyNote, warrantyTerms } from '../../contract/http/warranty.ts';

const subject = (facts: Partial<WarrantySubject> = {}): WarrantySubject => ({
  model: 'refrigerator',
  component: 'compressor',
  faultKey: 'compressorBearingWear',
  region: 'INT',
  on: '2026-06-15',
  history: { repairs: [], daysInRepair: 0, daysOfThisRepair: 0 },
  language: 'en',
  ...facts,
});
const claim = (...notes: Partial<WarrantyNote>[]): ClaimFacts =>
  foldNotes(
    notes.map((note) => warrantyNote.parse({ reason: 'seen', ...note })),
    undefined,
  );
const bought = (purchasedOn: string, more: Partial<WarrantyNote> = {}) =>
  claim({ purchasedOn, proof: 'invoice', ...more });
const decide = (facts: ClaimFacts, about: Partial<WarrantySubject> = {}) =>
  decideWarranty(SHIPPED_TERMS, subject(about), facts);

describe('a warranty claim', () => {
  it('is covered to the last day of the term, and not the day after', () => {
    expect(decide(bought('2025-06-15'))).toMatchObject({
      outcome: 'in_warranty',
      clause: 'unit-12-months',
      until: '2026-06-15',
    });
    const late = decide(bought('2025-06-14'));
    expect(late.outcome).toBe('out_of_warranty');
    expect(late.weighed.find((one) => one.clause === 'unit-12-months')?.reason).toBe('ended on 2026-06-14');
    // A month that has no such day ends with its last.
    expect(decide(bought('2024-02-29'), { on: '2025-02-28' }).until).toBe('2025-02-28');
  });

  it('needs the date of purchase, and a proof where the clause asks for one', () => {
    expect(decide(claim({ proof: 'invoice' })).outcome).toBe('needs_proof');
    expect(decide(claim({ purchasedOn: '2026-01-01' })).outcome).toBe('needs_proof');
    expect(decide(claim({ purchasedOn: '2026-01-01', proof: 'none' })).outcome).toBe('needs_proof');
    // With a date long past no proof would help.
    expect(decide(claim({ purchasedOn: '2020-01-01' })).outcome).toBe('out_of_warranty');
  });

  it('of an accessory is another one than of the machine', () => {
    expect(decide(bought('2026-04-01', { item: 'accessory' }))).toMatchObject({ clause: 'accessory-3-months' });
    expect(decide(bought('2026-01-01', { item: 'accessory' })).outcome).toBe('out_of_warranty');
    expect(decide(bought('2026-06-01', { item: 'consumable' })).outcome).toBe('out_of_warranty');
  });

  it('is covered by law where the law holds, longer than the contract', () => {
    expect(decide(bought('2025-01-01'), { region: 'EU' })).toMatchObject({
      outcome: 'in_warranty',
      clause: 'eu-conformity-24-months',
      until: '2027-01-01',
    });
    // In force from 2022: what was bought before is judged by what held then.
    const old = decide(bought('2021-12-31'), { region: 'EU', on: '2022-06-01' });
    expect(old.weighed.find((one) => one.statutory)?.reason).toBe('not in force on 2021-12-31');
    expect(old.outcome).toBe('in_warranty');
  });

  it('ends with time or usage, whichever comes first, and a reading that is missing is said', () => {
    const car = { model: 'combustionCar', component: 'engine', region: 'CN' };
    const at = (value: number) => decide(bought('2024-06-15', { usage: { counter: 'km', value } }), car);
    expect(at(60_000)).toMatchObject({ outcome: 'in_warranty', clause: 'cn-car-36-months' });
    expect(at(60_001).outcome).toBe('out_of_warranty');
    const unread = decide(bought('2024-06-15'), car).weighed.find((one) => one.clause === 'cn-car-36-months');
    expect(unread?.reason).toContain('km reading is not known');
  });

  it('covers a fitted part from its repair, with our own records for proof', () => {
    const repair = { on: '2026-05-01', component: 'compressor', faultKey: 'compressorBearingWear', fittedPart: true };
    const history = { repairs: [repair], daysInRepair: 2, daysOfThisRepair: 1 };
    const old = claim({ purchasedOn: '2020-01-01' });
    expect(decide(old, { history })).toMatchObject({
      outcome: 'in_warranty',
      clause: 'repair-3-months',
      until: '2026-08-01',
    });
    expect(decide(old, { history, component: 'door' }).outcome).toBe('out_of_warranty');
    expect(decide(claim(), { history }).outcome).toBe('in_warranty');
  });

  it('is excluded by what a person found, until an appeal was judged', () => {
    const base: Partial<WarrantyNote> = { purchasedOn: '2026-01-01', proof: 'invoice' };
    expect(decide(claim(base, { finding: 'liquid' }))).toMatchObject({
      outcome: 'excluded',
      exclusion: 'liquid',
      underAppeal: false,
    });
    expect(decide(claim(base, { finding: 'liquid' }, { appeal: true }))).toMatchObject({
      outcome: 'excluded',
      underAppeal: true,
    });
    const judged = decide(claim(base, { finding: 'liquid' }, { appeal: true }, { finding: 'none' }));
    expect(judged).toMatchObject({ outcome: 'in_warranty', underAppeal: false });
    const upheld = decide(claim(base, { finding: 'liquid' }, { appeal: true }, { finding: 'liquid' }));
    expect(upheld).toMatchObject({ outcome: 'excluded', underAppeal: false });
    expect(decide(claim({ ...base, purchasedOn: '2020-01-01' }, { goodwillShare: 0.5 }))).toMatchObject({
      outcome: 'out_of_warranty',
      goodwillShare: 0.5,
    });
  });

  it('speaks the language that was asked for', () => {
    const names = decide(bought('2026-01-01'), { language: 'zh-CN' }).weighed.map((one) => one.name);
    expect(names).toContain('整机及核心部件，12 个月');
  });
});

describe('rights of the customer', () => {
  const repairs = (n: number) =>
    Array.from({ length: n }, () => ({ on: '2026-02-01', component: 'engine', faultKey: 'misfire', fittedPart: true }));
  const rightOf = (id: string, before: number, days: number, model = 'combustionCar') =>
    decide(bought('2025-06-15', { usage: { counter: 'km', value: 20_000 } }), {
      model,
      component: 'engine',
      faultKey: 'misfire',
      region: 'CN',
      history: { repairs: repairs(before), daysInRepair: days, daysOfThisRepair: Math.min(days, 6) },
    }).rights.find((one) => one.right === id);

  it('are watched before they are reached: the next repair, the next days', () => {
    expect(rightOf('cn-car-same-fault', 2, 0)).toMatchObject({ count: 3, state: 'far' });
    expect(rightOf('cn-car-same-fault', 3, 0)).toMatchObject({ count: 4, state: 'near' });
    expect(rightOf('cn-car-same-fault', 4, 0)).toMatchObject({
      count: 5,
      state: 'reached',
      grants: 'replacement_or_refund',
    });
    expect(rightOf('cn-car-days', 0, 24)?.state).toBe('far');
    expect(rightOf('cn-car-days', 0, 25)?.state).toBe('near');
    expect(rightOf('cn-car-days', 0, 31)?.state).toBe('reached');
    expect(rightOf('cn-car-loaner', 0, 6)?.state).toBe('reached');
  });

  it('are those of the model and the region, within their span', () => {
    expect(rightOf('cn-car-same-fault', 4, 0, 'refrigerator')).toBeUndefined();
    expect(rightOf('cn-appliance-two-repairs', 1, 0, 'refrigerator')).toMatchObject({ count: 2, state: 'near' });
    expect(decide(bought('2025-06-15')).rights).toEqual([]);
  });
});

describe('terms', () => {
  it('that are shipped name models that exist', () => {
    const known = new Set(DEVICE_MODELS.map((model) => model.id));
    const named = [...SHIPPED_TERMS.clauses, ...SHIPPED_TERMS.rights].flatMap((one) => one.models ?? []);
    expect(named.filter((model) => !known.has(model))).toEqual([]);
  });

  it('that came into force later rewrite nothing', () => {
    const stricter = warrantyTerms.parse({
      ...SHIPPED_TERMS,
      clauses: SHIPPED_TERMS.clauses.flatMap((clause) =>
        clause.id === 'unit-12-months'
          ? [
              { ...clause, effectiveUntil: '2026-02-28' },
              { ...clause, id: 'unit-6-months', months: 6, effectiveFrom: '2026-03-01' },
            ]
          : [clause],
      ),
    });
    expect(decideWarranty(stricter, subject(), bought('2025-10-01'))).toMatchObject({ clause: 'unit-12-months' });
    expect(decideWarranty(stricter, subject({ on: '2026-10-01' }), bought('2026-03-01')).outcome).toBe(
      'out_of_warranty',
    );
  });

  it.each([
    ['clauses', { clauses: [SHIPPED_TERMS.clauses[0], SHIPPED_TERMS.clauses[0]] }],
    ['clauses.0.months', { clauses: [{ ...SHIPPED_TERMS.clauses[0], months: 0 }] }],
    ['clauses.0.effectiveUntil', { clauses: [{ ...SHIPPED_TERMS.clauses[0], effectiveUntil: '1999-01-01' }] }],
  ])('are refused at %s', (path, change) => {
    const parsed = warrantyTerms.safeParse({ ...SHIPPED_TERMS, ...change });
    expect(parsed.error?.issues[0]?.path.join('.')).toBe(path);
  });

  it('a note without a fact is none', () => {
    expect(warrantyNote.safeParse({ reason: 'just so' }).success).toBe(false);
  });
});
