/** Why an alert is there, in words: complete in every language, right in every number, harmless whatever a device is called. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { englishWords } from '../../api/desk/explain/device-names.ts';
import { type ExplainedAlert, type ExplanationFacts, explainAlert } from '../../api/desk/explain/explain.ts';
import { chooseLanguage } from '../../api/desk/explain/language.ts';
import { EN, type Message, type MessageKey } from '../../api/desk/explain/messages.ts';
import { createRenderer, MESSAGES } from '../../api/desk/explain/render.ts';
import { isolated, safeText } from '../../api/desk/explain/safe-text.ts';
import { DEVICE_MODELS } from '../../contract/devices/catalogue.ts';
import {
  EXPLANATION_TOPICS,
  explanation as explanationSchema,
  LANGUAGES,
  type Language,
} from '../../contract/http/explanation.ts';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import type { Contribution, Evidence, RuleEvidence } from '../../contract/ports/findings.ts';
import { alertOf, predictionOf, T0 } from '../support/api-harness.ts';

const OTHER_LANGUAGES = LANGUAGES.filter((language) => language !== 'en');
const HAN = /\p{Script=Han}/u;

const line = (facts: Partial<Contribution> = {}): Contribution => ({
  signal: 'compressorVibrationMmPerS',
  value: 4.2,
  expected: 2,
  low: 1.5,
  high: 2.5,
  unit: 'mm/s',
  contribution: 0.8,
  ...facts,
});

function explained(
  facts: Partial<Omit<ExplainedAlert, 'evidence'>> = {},
  evidence: Partial<Evidence> = {},
): ExplainedAlert {
  const { model, component, faultKey, confirmed, onset, at, evidence: usual } = alertOf();
  const alert = { model, component, faultKey, confirmed, onset, raisedAt: at, state: 'open' as const };
  return {
    ...alert,
    ...facts,
    evidence: { ...usual, clears: { samples: 12, ms: HOUR_MS, warnHorizon: 336 }, ...evidence },
  };
}

function said(alert: ExplainedAlert, language: Language = 'en', facts: ExplanationFacts = {}, timeZone = 'UTC') {
  return createRenderer({ language, timeZone })(explainAlert(alert, facts), alert.model);
}

const textsOf = (alert: ExplainedAlert, language: Language = 'en', facts: ExplanationFacts = {}) =>
  said(alert, language, facts).lines.map((one) => one.text);

/** An alert of a rule: a threshold that held, and one for which nothing was seen. */
const ruled = (facts: Partial<RuleEvidence> = {}, alert: Partial<Omit<ExplainedAlert, 'evidence'>> = {}) =>
  explained(
    { faultKey: 'rule:warm', component: 'cabinet', ...alert },
    {
      detector: { name: 'rule:warm', version: '3' },
      score: 1,
      threshold: 1,
      likelyCauses: [{ faultKey: 'refrigerantLeak', cause: 'x', probability: 1, parts: [] }],
      rule: {
        id: 'warm',
        version: 3,
        name: 'Freezer too warm',
        text: 'freezerTempC > -12 for 30m and not doorOpen',
        from: T0 - HOUR_MS,
        to: T0,
        tests: [
          {
            test: 'freezerTempC > -12',
            holds: true,
            signal: 'freezerTempC',
            value: -9.5,
            limit: -12,
            unit: '°C',
            at: T0,
          },
          { test: 'not doorOpen', holds: true, signal: 'doorOpen', value: false, at: T0 },
          { test: 'missing evaporatorTempC', holds: null },
        ],
        ...facts,
      },
    },
  );

/** One alert for each thing that can be said. */
const CASES: readonly (readonly [ExplainedAlert, ExplanationFacts?])[] = [
  [
    explained({}, { because: [line({ since: T0 - DAY_MS })] }),
    {
      past: {
        onDevice: 2,
        lastOnDevice: T0 - 90 * DAY_MS,
        onModel: 11,
        devices: 7,
        confirmed: 5,
        otherCause: 1,
        noFault: 2,
      },
      reported: [{ code: 'E05', occurrences: 3, lastSeenAt: T0 - HOUR_MS }],
    },
  ],
  [
    explained({ confirmed: false, onset: T0 }, {
      because: [line({ value: 1, since: T0 })],
      clears: undefined,
    } as never),
    { past: { onDevice: 0, onModel: 0, devices: 0, confirmed: 0, otherCause: 0, noFault: 0 } },
  ],
  [
    explained({}, { score: 0.5, because: [line({ value: 2 })] }),
    { past: { onDevice: 1, lastOnDevice: T0, onModel: 0, devices: 0, confirmed: 0, otherCause: 0, noFault: 0 } },
  ],
  [
    explained({ faultKey: 'unexplained', component: 'device' }, {
      score: 0.5,
      because: [],
      likelyCauses: [],
      prediction: undefined,
    } as never),
  ],
  [explained({ faultKey: 'unexplained', confirmed: false }, { score: 1, likelyCauses: [] })],
  [explained({ state: 'cleared', clearedAt: T0 + HOUR_MS })],
  [
    explained(
      { faultKey: 'noData', component: 'device' },
      { because: [line({ signal: 'secondsWithoutData', value: 3_600, low: 0, high: 1_800, unit: 's' })] },
    ),
  ],
  [
    explained(
      {},
      {
        likelyCauses: [
          { faultKey: 'compressorBearingWear', cause: 'x', probability: 0.7, parts: [] },
          { faultKey: 'refrigerantLeak', cause: 'x', probability: 0.2, parts: [] },
        ],
        prediction: predictionOf(
          { median: 40, lower: 1, upper: 60, unit: 'cycle' },
          { probabilityWithin: [{ days: 7, p: 0.42, lower: 0.3, upper: 0.6 }] },
        ),
      },
    ),
  ],
  [ruled()],
  [ruled({}, { state: 'cleared', clearedAt: T0 })],
  ...(['lateData', 'ruleChanged', 'ruleRemoved'] as const).map(
    (correction) => [ruled({ correction, text: '' })] as const,
  ),
  ...[
    'warming up: have 3, need 12 blocks of 6 h',
    'no trend towards the limit',
    'cannot estimate: beyond the limit from the start',
    'history starts at cycle 90; the model needs it from the beginning of life',
    'missing inputs: 9 of 14 signals in the last cycle',
    'no trend: chances by age, from 31 failures among 300 units',
    'the moon is full',
  ].map((reason) => [explained({}, { prediction: predictionOf(undefined, { reason }) })] as const),
];

describe('languages', () => {
  const placeholdersOf = (message: Message) =>
    [
      ...new Set(
        Object.values(typeof message === 'string' ? [message] : message).flatMap(
          (form) => form.match(/\{\w+\}/g) ?? [],
        ),
      ),
    ].sort();

  it.each(OTHER_LANGUAGES)(
    '%s has every sentence of English, with the same placeholders, and none besides',
    (language) => {
      const there = MESSAGES[language];
      expect(Object.keys(there).sort()).toEqual(Object.keys(EN).sort());
      for (const key of Object.keys(EN) as MessageKey[]) {
        expect([key, placeholdersOf(there[key])]).toEqual([key, placeholdersOf(EN[key])]);
      }
    },
  );

  it.each(OTHER_LANGUAGES)('%s has no sentence left in English', (language) => {
    const untranslated = Object.entries(MESSAGES[language])
      .filter(([key]) => key !== 'name.faultCode')
      .filter(([, message]) => !HAN.test(typeof message === 'string' ? message : message.other));
    expect(untranslated).toEqual([]);
  });

  it('says every sentence somewhere, so none is dead', () => {
    const used = new Set(CASES.flatMap(([alert, facts]) => explainAlert(alert, facts).map((one) => one.key)));
    const sentences = (Object.keys(EN) as MessageKey[]).filter((key) => !/^(method|name|unit)\./.test(key));
    expect(sentences.filter((key) => !used.has(key))).toEqual([]);
  });

  it.each(DEVICE_MODELS.map((model) => [model.id, model] as const))(
    '%s has words for all its signals, modes, components, failure modes, codes and parts in every language',
    (_id, model) => {
      const english = englishWords(model);
      for (const language of OTHER_LANGUAGES) {
        const words = model.words?.[language as 'zh-CN'];
        expect(words && HAN.test(words.name)).toBe(true);
        for (const group of ['modes', 'signals', 'components', 'failureModes', 'faultCodes', 'parts'] as const) {
          expect([group, Object.keys(words?.[group] ?? {}).sort()]).toEqual([
            group,
            Object.keys(english[group]).sort(),
          ]);
          const texts = Object.values(words?.[group] ?? {}).flatMap((word) =>
            typeof word === 'string' ? [word] : Object.values(word as Record<string, string>),
          );
          expect(texts.filter((text) => !HAN.test(text))).toEqual([]);
        }
      }
    },
  );

  it.each([
    [undefined, undefined, 'en'],
    [undefined, 'zh-CN,zh;q=0.9,en;q=0.8', 'zh-CN'],
    [undefined, 'de, en;q=0.7, zh;q=0.6', 'en'],
    [undefined, 'fr, zh-Hant-TW;q=0.5', 'zh-CN'],
    [undefined, 'zh;q=0, en;q=0.1', 'en'],
    [undefined, 'zh;q=oops', 'en'],
    [undefined, '*', 'en'],
    ['zh', 'en', 'zh-CN'],
    ['ZH-cn', undefined, 'zh-CN'],
    ['fr', 'zh', 'en'],
    ['en-US', 'zh', 'en'],
  ])('lang %s and Accept-Language %s give %s', (lang, header, language) => {
    expect(chooseLanguage(lang, header)).toBe(language);
  });
});

describe('an explanation', () => {
  const [alert, facts] = CASES[0] as (typeof CASES)[0];

  it('says what, why, since when, the outlook, how sure, what happened before, what would clear it and who says so', () => {
    expect(textsOf(alert, 'en', facts)).toEqual([
      'Compressor bearing wear (compressor): the signs are strong and lasting enough to act on.',
      'Compressor vibration was 4.2\u00a0mm/s, above the expected 1.5\u00a0mm/s to 2.5\u00a0mm/s; 80% of the evidence.',
      'It began on 22 Nov 2026, 23:00 UTC, 60 minutes before the alert was raised.',
      'Compressor vibration has been drifting since 22 Nov 2026, 00:00 UTC.',
      'Likely cause (90%): Worn compressor bearing: friction and play rise until the motor stalls.',
      'If nothing is done: Compressor stalls; the cabinet warms within hours.',
      'The device itself reported E05 “Compressor did not start” 3 times, last on 22 Nov 2026, 23:00 UTC.',
      'Remaining life: 8.3 days; with 90 % certainty between 5 days and 13 days.',
      'A healthy device shows this in 1 of 1,000 samples; an alert is raised from 1 of 100.',
      'Confirmed by the alert policy.',
      'This fault was seen on this device 2 times before, last on 25 Aug 2026, 00:00 UTC.',
      'Earlier on other devices of this model: episodes 11, devices 7.',
      'What was found is known for n = 8 of these: this fault 5, another cause 1, no fault 2.',
      'It clears when Compressor vibration is back below 2.5\u00a0mm/s, the edge of its expected band then.',
      'That must last for 12 samples in a row and at least 60 minutes.',
      'The lower bound of remaining life must also be more than 14 days.',
      'Found by cusum, version 1.2.0.',
      'Foreseen by trend, version 1.0.0.',
    ]);
  });

  it('says the same in Chinese', () => {
    expect(textsOf(alert, 'zh-CN', facts)).toEqual([
      '压缩机轴承磨损（压缩机）：迹象明显且持续，应当处理。',
      '压缩机振动为 4.2\u00a0mm/s，高于预期范围 1.5\u00a0mm/s 至 2.5\u00a0mm/s；占证据的 80%。',
      '始于 2026年11月22日 23:00 UTC，比告警触发早 60分钟。',
      '压缩机振动自 2026年11月22日 00:00 UTC 起持续漂移。',
      '可能原因（90%）：压缩机轴承磨损：摩擦和间隙不断增大，直至电机堵转。',
      '若不处理：压缩机堵转，箱内温度在数小时内升高。',
      '设备自身上报 E05“压缩机未启动” 共 3 次，最近一次在 2026年11月22日 23:00 UTC。',
      '剩余寿命：8.3天；90% 置信区间为 5天 至 13天。',
      '健康设备每 1,000 个样本才出现 1 次；达到每 100 个样本 1 次即触发告警。',
      '已按告警策略确认。',
      '该设备此前出现过此故障 2 次，最近一次在 2026年8月25日 00:00 UTC。',
      '同型号其他设备此前：11 次，涉及 7 台设备。',
      '其中已知检修结果的 n = 8 例：确认此故障 5 例，其他原因 1 例，未发现故障 2 例。',
      '当压缩机振动回到 2.5\u00a0mm/s（当时预期范围的边界）以下时解除。',
      '须连续保持 12 个样本，且至少 60分钟。',
      '剩余寿命的下限还须大于 14天。',
      '发现者：cusum，版本 1.2.0。',
      '预测者：trend，版本 1.0.0。',
    ]);
  });

  it('names the zone with every time, and moves with it', () => {
    const [began] = said(alert, 'en', {}, 'Asia/Shanghai').lines.filter((one) => one.key === 'since.before');
    expect(began?.text).toContain('23 Nov 2026, 07:00 GMT+8');
  });

  it('has the same lines in every language, in the order of the topics, and meets its schema', () => {
    for (const [one, about] of CASES) {
      const [english, ...others] = LANGUAGES.map((language) => said(one, language, about));
      for (const other of others) {
        expect(other.lines.map(({ text: _, ...rest }) => rest)).toEqual(
          english?.lines.map(({ text: _, ...rest }) => rest),
        );
      }
      const topics = english?.lines.map((one) => EXPLANATION_TOPICS.indexOf(one.topic)) ?? [];
      expect(topics).toEqual([...topics].sort((a, b) => a - b));
      expect(explanationSchema.parse(english)).toEqual(english);
    }
  });

  it('counts in words that fit the number', () => {
    const cycles = (median: number) =>
      textsOf(explained({}, { prediction: predictionOf({ median, lower: 1, upper: 60, unit: 'cycle' }) })).find(
        (text) => text.startsWith('Remaining'),
      );
    expect(cycles(1)).toBe('Remaining life: 1 cycle; with 90 % certainty between 1 cycle and 60 cycles.');
    expect(textsOf(alert, 'en', { reported: [{ code: 'E05', occurrences: 1, lastSeenAt: T0 }] })).toContain(
      'The device itself reported E05 “Compressor did not start” once, on 23 Nov 2026, 00:00 UTC.',
    );
  });

  it('gives the rule as the reason, where a person wrote one', () => {
    const facts = { past: { onDevice: 0, onModel: 0, devices: 0, confirmed: 0, otherCause: 0, noFault: 0 } };
    expect(textsOf(ruled(), 'en', facts)).toEqual([
      'The rule “Freezer too warm” holds.',
      'It asks for: freezerTempC > -12. It was -9.5\u00a0°C.',
      'It asks for: not doorOpen. That was so.',
      'It began on 22 Nov 2026, 23:00 UTC, 60 minutes before the alert was raised.',
      'The rule names the cause: Slow leak at a joint: less charge, so the compressor runs longer and pulls less current for the same heat.',
      'If nothing is done: Cooling capacity is lost; food spoils.',
      'A person has decided that this is worth acting on.',
      'This fault was not seen on this device before.',
      'It was not seen on other devices of this model before.',
      'It clears when this no longer holds: freezerTempC > -12 for 30m and not doorOpen.',
      'Rule “Freezer too warm”, version 3.',
    ]);
  });

  it('does not claim to know tails beyond a million samples', () => {
    const texts = textsOf(explained({}, { score: 1 }));
    expect(texts).toContain(
      'A healthy device shows this in fewer than 1 of 1,000,000 samples; an alert is raised from 1 of 100.',
    );
  });

  it('gives the reason why remaining life is unknown, in the language of the reader where it is one of ours', () => {
    const of = (reason: string) =>
      textsOf(explained({}, { prediction: predictionOf(undefined, { reason }) }), 'zh-CN').find((text) =>
        text.includes('剩余寿命：'),
      );
    expect(of('warming up: have 3, need 12 blocks of 6 h')).toBe('暂时无法估计剩余寿命：需要 12 条记录，现有 3 条。');
    expect(of('the moon is full')).toBe('无法估计剩余寿命：the moon is full。');
  });
});

describe('what a device chose to be called', () => {
  it.each([
    ['temp\u202eC', 'tempC'],
    ['a\u0000\u001b[31mb\u007f', 'a[31mb'],
    ['line\none\u2028two', 'line one two'],
    ['z\u200be\u200dr\ufeffo\u{e0041}', 'zero'],
    ['lone \ud800 half', 'lone half'],
    [`z${'\u0301'.repeat(50)}`, `z${'\u0301'.repeat(3)}`],
    ['x'.repeat(500), `${'x'.repeat(63)}…`],
    ['😀'.repeat(100), `${'😀'.repeat(63)}…`],
    ['°C', '°C'],
    ['<img src=x onerror=alert(1)>', '<img src=x onerror=alert(1)>'],
  ])('is made harmless: %j', (hostile, safe) => {
    expect(safeText(hostile)).toBe(safe);
  });

  it('is set apart when it is written from right to left, so that the numbers around it keep their places', () => {
    expect(isolated('מהירות')).toBe('\u2068מהירות\u2069');
    expect(isolated('speed')).toBe('speed');
  });

  it('stays data in every sentence of every language', () => {
    const hostile = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.constantFrom('{signal}', '{{value}}', '$&$1', 'toString', '__proto__', '\u202e\u2066\u2069', 'constructor'),
    );
    const number = fc.double({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(
        fc.record({
          name: hostile,
          unit: hostile,
          fault: hostile,
          model: fc.oneof(hostile, fc.constant('refrigerator')),
        }),
        fc.array(number, { minLength: 3, maxLength: 3 }),
        fc.constantFrom(...LANGUAGES),
        ({ name, unit, fault, model }, [value = 0, low = 0, high = 0], language) => {
          const alert = explained(
            { model, faultKey: fault, component: name },
            {
              detector: { name, version: unit },
              because: [line({ signal: name, unit, value, low, high })],
              likelyCauses: [{ faultKey: fault, cause: name, probability: 0.5, parts: [] }],
              prediction: predictionOf(undefined, { reason: name }),
            },
          );
          const { lines } = said(alert, language, { reported: [{ code: unit, occurrences: 2, lastSeenAt: T0 }] });
          for (const { text } of lines) {
            const outside = text.replace(/\u2068[^\u2068\u2069]*\u2069/g, '');
            expect(outside).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/u);
            expect([...text].length).toBeLessThan(600);
            expect(text).not.toMatch(/undefined|NaN|\[object/);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
