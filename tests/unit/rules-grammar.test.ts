import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Condition, Rule, Scope } from '../../analytics/rules/ast.ts';
import { checkRule } from '../../analytics/rules/check.ts';
import { knownModelOf } from '../../analytics/rules/known-models.ts';
import { nearestName } from '../../analytics/rules/names.ts';
import { parseRule } from '../../analytics/rules/parse.ts';
import { printRule } from '../../analytics/rules/print.ts';
import { RESERVED } from '../../analytics/rules/tokens.ts';
import { convert, convertDifference } from '../../analytics/rules/units.ts';
import { DEVICE_MODELS } from '../../contract/devices/catalogue.ts';
import { SEVERITIES } from '../../contract/ports/findings.ts';
import type { RuleProblem } from '../../contract/ports/rules.ts';

const MODELS = DEVICE_MODELS.map(knownModelOf);

/** Places in the text mean nothing for what a rule says. */
function withoutPlaces<Tree>(tree: Tree): Tree {
  return JSON.parse(JSON.stringify(tree, (key, value: unknown) => (key === 'at' ? undefined : value))) as Tree;
}

function canonical(text: string): string {
  const checked = checkRule(text, MODELS);
  if (checked.kind === 'problems') throw new Error(JSON.stringify(checked.problems));
  return checked.canonical;
}

function problems(text: string): readonly RuleProblem[] {
  const checked = checkRule(text, MODELS);
  return checked.kind === 'problems' ? checked.problems : [];
}

function problem(text: string): RuleProblem {
  const [first] = problems(text);
  if (!first) throw new Error(`no problem in: ${text}`);
  return first;
}

describe('the text of a rule', () => {
  it.each([
    [
      'when compressorCurrentA > 8 A for 10 min and not doorOpen or rate(evaporatorTempC) > 2 degC per hour then major component=compressor',
      'when (compressorCurrentA > 8 A for 10 min and not doorOpen) or rate(evaporatorTempC) > 2 degC per hour over 1 h then major component=compressor',
    ],
    ['when freezerTempC>-12°C until<-15 then minor', 'when freezerTempC > -12 degC until < -15 degC then minor'],
    ['when not doorOpen for 1 h 30 min then info', 'when (not doorOpen) for 90 min then info'],
    ['when not (doorOpen for 1 d) then info', 'when not (doorOpen for 1 d) then info'],
    ['when doorOpen = false then info', 'when not doorOpen then info'],
    ['when mode = defrost then info', 'when mode = "defrost" then info'],
    ['when count(doorOpen) >= 20 within 60 min then minor', 'when count(doorOpen) >= 20 within 1 h then minor'],
    ['when fault E05 or fault "E-09.1" then critical', 'when fault "E05" or fault "E-09.1" then critical'],
    ['on model refrigerator when no data for 2 h then minor', 'on model refrigerator when no data for 2 h then minor'],
    ['when no freezerTempC for 30 min then minor', 'when no freezerTempC for 30 min then minor'],
    [
      'when doorOpen and during mon-fri, sun 22:00 - 06:00 in Europe/Berlin then minor',
      'when doorOpen and during mon-fri, sun 22:00-06:00 in Europe/Berlin then minor',
    ],
    ['when doorOpen and during daily in UTC then minor', 'when doorOpen and during daily in UTC then minor'],
    [
      'on model refrigerator and device fridge-1, "4711" and firmware "2.*" when doorOpen then minor, critical on device fridge-1, info on firmware "2.1" clear after 5 min hold 2 h failure doorGasketLeak',
      'on model refrigerator and device fridge-1, "4711" and firmware "2.*" when doorOpen then minor, critical on device fridge-1, info on firmware "2.1" failure=doorGasketLeak clear after 5 min hold 2 h',
    ],
    ['# why: see the manual\nwhen doorOpen # at once\nthen minor', 'when doorOpen then minor'],
    ['when ((doorOpen or (doorOpen))) then minor', 'when doorOpen or doorOpen then minor'],
  ])('has one canonical form: %s', (text, expected) => {
    expect(canonical(text)).toBe(expected);
    expect(canonical(expected)).toBe(expected);
  });

  it('says what is wrong with line, column and what was expected', () => {
    expect(problem('when doorOpen\n  and then minor')).toMatchObject({ line: 2, column: 7, length: 4 });
    expect(problem('when doorOpen\n  and then minor').expected).toContain('a signal');
    expect(problem('when doorOpen')).toMatchObject({
      line: 1,
      column: 14,
      length: 0,
      expected: ['and', 'or', 'for', 'then'],
    });
    expect(problem('when doorOpen thne minor')).toMatchObject({ column: 15, nearest: 'then' });
    expect(problem('when doorOpen then mayor')).toMatchObject({ column: 20, nearest: 'major' });
    expect(problem('when compressorCurrentA > 8 A for 10 minutse then major')).toMatchObject({
      column: 38,
      nearest: 'min',
    });
    expect(problem('when compressorCurrentA > 8 A for ten min then major')).toMatchObject({ column: 35 });
    expect(problem('when doorOpen then minor;')).toMatchObject({ column: 25 });
    expect(problem('when during mon-fry 08:00-18:00 in UTC then minor')).toMatchObject({ column: 13 });
    expect(problem('when during mon 25:00-26:00 in UTC then minor')).toMatchObject({ column: 17 });
  });

  it('refuses unknown signals, types, units, components, models and zones with the nearest name', () => {
    expect(problem('when compressorCurrent > 8 A then major')).toMatchObject({
      column: 6,
      length: 17,
      nearest: 'compressorCurrentA',
    });
    expect(problem('on model refrigerator when freezerTmpC > 8 degC then major')).toMatchObject({
      nearest: 'freezerTempC',
    });
    expect(problem('on model refridgerator when doorOpen then major')).toMatchObject({
      column: 10,
      nearest: 'refrigerator',
    });
    expect(problem('when doorOpen > 3 then major').message).toContain('boolean');
    expect(problem('when freezerTempC then major').message).toContain('is a number');
    expect(problem('when mode > 3 then major').message).toContain('is a text');
    expect(problem('when compressorCurrentA > 8 V then major')).toMatchObject({ column: 29, length: 1 });
    expect(problem('when compressorCurrentA > 8 V then major').expected).toEqual(['A', 'mA']);
    expect(problem('when compressorCurrentA > 8 Amp then major').message).toContain('no unit Amp');
    expect(problem('when freezerTempC > 255 K then major').message).toContain('cannot be turned');
    expect(problem('when doorOpen then major component=compresor')).toMatchObject({ nearest: 'compressor' });
    expect(problem('when doorOpen then major failure=doorGasketLeek')).toMatchObject({ nearest: 'doorGasketLeak' });
    expect(problem('when during daily in Europe/Berln then major')).toMatchObject({
      column: 22,
      nearest: 'Europe/Berlin',
    });
    expect(problem('when freezerTempC > 8 degC until > 9 degC then major').expected).toEqual(['<', '<=']);
    expect(problem('when freezerTempC > 8 degC until < 50 degF then major').message).toContain('end before it begins');
    expect(problem('when freezerTempC > 5 degC and coolantTempC > 5 degC then major').message).toContain(
      'no model has all',
    );
  });

  it('tells every problem of meaning at once', () => {
    const found = problems('on model refrigerator when freezerTemp > 1 degC or evaporatorTmpC > 1 degC then major');
    expect(found.map(({ nearest }) => nearest)).toEqual(['freezerTempC', 'evaporatorTempC']);
  });

  it('binds signals to every model that has them, and notes fault codes that no catalogue lists', () => {
    const checked = checkRule('when supplyVoltageV < 200 V then minor', MODELS);
    expect(checked.kind === 'rule' && Object.keys(checked.binding.models ?? {})).toEqual([
      'heatPump',
      'refrigerator',
      'washingMachine',
    ]);
    const noted = checkRule('on model refrigerator when fault E50 then minor', MODELS);
    expect(noted.kind === 'rule' && noted.notes).toEqual(['no catalogue lists the fault code E50; did you mean E05?']);
    const any = checkRule('when no data for 1 d then minor', MODELS);
    expect(any.kind === 'rule' && any.binding).toEqual({ models: null, component: 'device' });
  });

  it('is bounded in length, depth, tests and names', () => {
    expect(problem(`when ${'('.repeat(40)}doorOpen${')'.repeat(40)} then minor`).message).toContain('16 levels');
    expect(problem(`when ${'not '.repeat(40)}doorOpen then minor`).message).toContain('16 levels');
    expect(problem(`when ${'doorOpen and '.repeat(40)}doorOpen then minor`).message).toContain('32 tests');
    expect(problem(`when doorOpen then minor ${'#'.repeat(4_000)}`).message).toContain('4000');
    expect(problem('when doorOpen for 32 d then minor').message).toContain('31 d');
    expect(problem('when count(doorOpen) > 101 within 1 h then minor').expected[0]).toContain('100');
    const names = Array.from({ length: 101 }, (_, i) => `f${i}`).join(',');
    expect(problem(`on device ${names} when doorOpen then minor`).message).toContain('100 names');
  });
});

const name = fc.oneof(
  fc.stringMatching(/^[A-Za-z][A-Za-z0-9_]{0,20}$/),
  fc.stringMatching(/^[A-Za-z0-9_:-]{1,39}$/),
  fc.constantFrom(...RESERVED),
);
const named = name.map((one) => ({ name: one, at: 0 }));
const someText = fc.string({ minLength: 1, maxLength: 30 }).filter((text) => !/[\n\r\u2028\u2029]/.test(text));
const ms = fc.oneof(
  fc.integer({ min: 1_000, max: 31 * 86_400_000 }),
  fc.integer({ min: 1, max: 31 * 24 * 60 }).map((minutes) => minutes * 60_000),
);
const unit = fc.constantFrom(null, 'degC', 'A', 'mA', 'rpm', '%', 'mm/s', 'm3/h', 'K/min', 'furlong');
const value = fc
  .double({ noNaN: true, noDefaultInfinity: true, min: -1e12, max: 1e12 })
  .map((one) => (one === 0 ? 0 : one));
const quantity = fc.record({ value, unit, at: fc.constant(0) });
const comparison = fc.constantFrom('>', '>=', '<', '<=', '=', '!=') as fc.Arbitrary<'>'>;
const until = fc.option(fc.record({ comparison, limit: quantity }), { nil: null });
const zone = fc.constantFrom('UTC', 'Europe/Berlin', 'America/Argentina/Buenos_Aires', 'Etc/GMT+1');

/** A release without a unit takes that of the limit, as the text does. */
const completed = <Test extends { limit: { unit: string | null }; until: { limit: { unit: string | null } } | null }>(
  test: Test,
): Test =>
  test.until && test.until.limit.unit === null
    ? { ...test, until: { ...test.until, limit: { ...test.until.limit, unit: test.limit.unit } } }
    : test;

const { condition } = fc.letrec<{ condition: Condition }>((tie) => {
  const at = fc.constant(0);
  const leaf: fc.Arbitrary<Condition> = fc.oneof(
    fc
      .record({ kind: fc.constant('number' as const), signal: name, comparison, limit: quantity, until, at })
      .map(completed),
    fc
      .record({
        kind: fc.constant('rate' as const),
        signal: name,
        comparison,
        limit: quantity,
        perMs: fc.constantFrom(1_000, 60_000, 3_600_000, 86_400_000),
        overMs: ms,
        until,
        at,
      })
      .map(completed),
    fc.record({
      kind: fc.constant('text' as const),
      signal: name,
      comparison: fc.constantFrom('=' as const, '!=' as const),
      text: someText,
      at,
    }),
    fc.record({ kind: fc.constant('is' as const), signal: name, at }),
    fc.record({ kind: fc.constant('silent' as const), signal: fc.option(name, { nil: null }), ms, at }),
    fc.record({ kind: fc.constantFrom('fault' as const, 'event' as const), code: name, at }),
    fc.record({
      kind: fc.constant('during' as const),
      schedule: fc
        .record({
          days: fc
            .uniqueArray(fc.integer({ min: 1, max: 7 }), { minLength: 1 })
            .map((days) => days.sort((a, b) => a - b)),
          from: fc.integer({ min: 0, max: 1_439 }),
          to: fc.integer({ min: 0, max: 1_440 }),
          zone,
        })
        .filter(({ from, to }) => from !== to),
      at,
    }),
  );
  const inner = tie('condition');
  return {
    condition: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      leaf,
      fc
        .record({
          kind: fc.constantFrom('and' as const, 'or' as const),
          parts: fc.array(inner, { minLength: 2, maxLength: 3 }),
        })
        .map(flat),
      fc.record({ kind: fc.constant('not' as const), part: inner }),
      fc.record({ kind: fc.constant('for' as const), part: inner, ms, at }),
      fc.record({
        kind: fc.constant('count' as const),
        part: inner,
        comparison: fc.constantFrom('>', '>=', '<', '<=') as fc.Arbitrary<'>'>,
        times: fc.integer({ min: 1, max: 100 }),
        withinMs: ms,
        at,
      }),
    ),
  };
});

/** `a and (b and c)` is `a and b and c`. */
function flat(joined: { kind: 'and' | 'or'; parts: Condition[] }): Condition {
  return { ...joined, parts: joined.parts.flatMap((part) => (part.kind === joined.kind ? part.parts : [part])) };
}

const names = fc.array(named, { maxLength: 3 });
const scope: fc.Arbitrary<Scope> = fc.record({ models: names, devices: names, firmwares: names });
const severity = fc.constantFrom(...SEVERITIES);
const rule: fc.Arbitrary<Rule> = fc.record({
  on: scope,
  when: condition,
  outcome: fc.record({
    severity,
    exceptions: fc.array(
      fc.record({
        severity,
        on: scope.filter((one) => one.models.length + one.devices.length + one.firmwares.length > 0),
      }),
      { maxLength: 3 },
    ),
    component: fc.option(named, { nil: null }),
    failure: fc.option(named, { nil: null }),
    clearAfterMs: fc.oneof(fc.constant(0), ms),
    holdMs: fc.option(ms, { nil: null }),
  }),
});

describe('any rule', () => {
  it('says the same after it was printed and read again', () => {
    fc.assert(
      fc.property(rule, (given) => {
        const text = printRule(given);
        fc.pre(text.length <= 4_000 && (text.match(/ (and|or) |count\(/g)?.length ?? 0) < 25);
        const again = parseRule(text);
        if (again.kind === 'problems') throw new Error(`${text}\n${JSON.stringify(again.problems)}`);
        expect(withoutPlaces(again.rule)).toEqual(withoutPlaces(given));
        expect(printRule(again.rule)).toBe(text);
      }),
      { numRuns: 400 },
    );
  });
});

const WORDS = [
  ...RESERVED,
  ...[
    'doorOpen',
    'compressorCurrentA',
    'mode',
    '(',
    ')',
    ',',
    '=',
    '>',
    '<=',
    '8',
    '-3.5',
    'A',
    'degC',
    '10',
    'min',
    '08:00-18:00',
  ],
  ...[
    'mon-fri',
    'Europe/Berlin',
    '"x"',
    '"',
    '\\',
    '#',
    '\n',
    '1/min',
    '°',
    '%',
    'refrigerator',
    '\u{1F600}',
    '\ud800',
    '1e999',
    '00:00',
  ],
];

describe('any text', () => {
  const valid =
    'on model refrigerator when compressorCurrentA > 8 A until < 7 A for 10 min and not doorOpen then major';
  const texts = fc.oneof(
    fc.string({ maxLength: 300 }),
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.array(fc.constantFrom(...WORDS), { maxLength: 80 }).map((words) => words.join(' ')),
    fc
      .tuple(fc.nat(valid.length), fc.nat(20), fc.string({ maxLength: 10 }))
      .map(([at, cut, put]) => valid.slice(0, at) + put + valid.slice(at + cut)),
  );

  it('gives a rule or problems that lie in it, and never throws', () => {
    fc.assert(
      fc.property(texts, (text) => {
        const checked = checkRule(text, MODELS);
        if (checked.kind === 'rule') {
          expect(checkRule(checked.canonical, MODELS)).toMatchObject({ kind: 'rule', canonical: checked.canonical });
          return;
        }
        expect(checked.problems.length).toBeGreaterThan(0);
        for (const { line, column, length } of checked.problems) {
          const found = text.split('\n')[line - 1];
          expect(found).toBeDefined();
          expect(column - 1 + length).toBeLessThanOrEqual((found ?? '').length + (length > 0 ? 0 : 1));
        }
      }),
      { numRuns: 1_500 },
    );
  });

  it('is answered at once, however long and however deep', () => {
    const long = [
      '('.repeat(1e6),
      '"'.repeat(1e6),
      'not '.repeat(1_000),
      '9'.repeat(3_999),
      `when ${'a'.repeat(3_900)} then x`,
      '# '.repeat(1_999),
    ];
    for (const text of long) expect(checkRule(text, MODELS).kind).toBe('problems');
  });
});

describe('units', () => {
  it.each([
    [8_000, 'mA', 'A', 8],
    [14, 'degF', 'degC', -10],
    [50, '%', '', 0.5],
    [1_500, 'rpm', '1/min', 1_500],
    [25, 'Hz', 'rpm', 1_500],
    [2, 'bar', 'kPa', 200],
    [36, 'km/h', 'm/s', 10],
    [3, 'furlong', 'furlong', 3],
    [3, 'A', 'V', undefined],
    [3, 'K', 'degC', undefined],
    [3, '°C', 'degC', 3],
  ])('turn %d %s into %s', (amount, from, to, expected) => {
    expect(convert(amount, from, to)).toBe(expected);
  });

  it.each([
    [9, 'degF', '°C', 5],
    [2, 'K', '°C', 2],
    [2, 'degC', 'K', 2],
    [2, 'K/min', '°C', undefined],
    [2, 'A', 'mA', 2_000],
  ])('turn a difference of %d %s into %s', (amount, from, to, expected) => {
    expect(convertDifference(amount, from, to)).toBe(expected);
  });
});

describe('the nearest name', () => {
  it('is close, or there is none', () => {
    expect(nearestName('compresorCurrent', ['compressorCurrentA', 'doorOpen'])).toBe('compressorCurrentA');
    expect(nearestName('dooropen', ['compressorCurrentA', 'doorOpen'])).toBe('doorOpen');
    expect(nearestName('xyz', ['compressorCurrentA', 'doorOpen'])).toBeUndefined();
  });
});
