/**
 * What a language is: one sentence for each key, with `{placeholders}`. Where a sentence depends on a number, the number
 * is `{count}` and the forms are those of Intl.PluralRules.
 */
export interface Plural {
  readonly one?: string;
  readonly other: string;
}
export type Message = string | Plural;

/** English; its keys are the list that every language is held to. */
export const EN = {
  'summary.confirmed': '{fault} ({component}): the signs are strong and lasting enough to act on.',
  'summary.watched': '{fault} ({component}): there are signs of it. They are watched, not yet acted on.',
  'summary.foreseen': '{fault} ({component}): foreseen from its trend, before a single sample is odd enough.',
  'summary.unexplained.confirmed':
    'The device behaves unusually and no known failure mode explains it. It has lasted long enough to act on.',
  'summary.unexplained.watched':
    'The device behaves unusually and no known failure mode explains it. It is watched, not yet acted on.',
  'summary.noData': 'No data comes from the device. Whatever else was open is as it was: silence says nothing of it.',
  'summary.rule': 'The rule “{rule}” holds.',
  'summary.ruleEnded': 'The rule “{rule}” held.',

  'because.above': '{signal} was {value}, above the expected {low} to {high}; {share} of the evidence.',
  'because.below': '{signal} was {value}, below the expected {low} to {high}; {share} of the evidence.',
  'because.inside': '{signal} was {value}, inside the expected {low} to {high}; it is where this fault shows.',
  'because.none': 'No signal left its expected band; the prediction alone raised the alert.',
  'because.noData': 'Nothing came for {silent}; this device is missed after {allowed}.',
  'because.held': 'It asks for: {condition}. That was so.',
  'because.heldBy': 'It asks for: {condition}. It was {value}.',
  'because.lateData': 'Data that came late changed what was known.',
  'because.ruleChanged': 'The rule was changed.',
  'because.ruleRemoved': 'The rule was removed.',

  'since.before': 'It began on {onset}, {lead} before the alert was raised.',
  'since.atOnce': 'It began on {onset}.',
  'since.drifting': '{signal} has been drifting since {since}.',

  'cause.likely': 'Likely cause ({share}): {cause}.',
  'cause.named': 'The rule names the cause: {cause}.',
  'cause.other': 'Also possible ({share}): {fault}.',
  'cause.none': 'No failure mode of the catalogue explains it.',
  'cause.effect': 'If nothing is done: {effect}.',

  'reported.fault': {
    one: 'The device itself reported {code} once, on {last}.',
    other: 'The device itself reported {code} {count} times, last on {last}.',
  },

  'outlook.life': 'Remaining life: {median}; with 90 % certainty between {lower} and {upper}.',
  'outlook.within': 'Chance of failure within {span}: {p} ({lower} to {upper}).',
  'outlook.none': 'No model foresees when this fault would end in a failure.',
  'outlook.warmingUp': 'Remaining life cannot be estimated yet: {have} of {need} records are there.',
  'outlook.noTrend': 'Remaining life cannot be estimated: there is no trend towards the limit.',
  'outlook.beyond': 'Remaining life cannot be estimated: the signal was beyond its limit from the start.',
  'outlook.lateStart': 'Remaining life cannot be estimated: the history does not reach back to the beginning of life.',
  'outlook.missing': 'Remaining life cannot be estimated: {missing} of {total} inputs are missing.',
  'outlook.byAge':
    'No trend tells when; by age, {failures} of {units} such units have failed. The chances below come from them.',
  'outlook.unknown': 'Remaining life cannot be estimated: {reason}.',

  'sure.rare': 'A healthy device shows this in 1 of {n} samples; an alert is raised from 1 of {m}.',
  'sure.rarest': 'A healthy device shows this in fewer than 1 of {n} samples; an alert is raised from 1 of {m}.',
  'sure.foreseen': 'This sample alone would not raise an alert (that takes 1 of {m}); the prediction did.',
  'sure.fading': 'The newest sample alone would not raise an alert (that takes 1 of {m}); earlier ones did.',
  'sure.rule': 'A person has decided that this is worth acting on.',
  'sure.confirmed': 'Confirmed by the alert policy.',
  'sure.unconfirmed': 'Not confirmed: it has not lasted long enough, or a prediction leaves enough time.',

  'similar.device.none': 'This fault was not seen on this device before.',
  'similar.device': {
    one: 'This fault was seen on this device once before, on {last}.',
    other: 'This fault was seen on this device {count} times before, last on {last}.',
  },
  'similar.model.none': 'It was not seen on other devices of this model before.',
  'similar.model': 'Earlier on other devices of this model: episodes {count}, devices {devices}.',
  'similar.outcome':
    'What was found is known for n = {count} of these: this fault {confirmed}, another cause {otherCause}, no fault {noFault}.',
  'similar.noOutcome': 'For none of these it is known what was found, so how many were right is not known.',

  'clears.below': 'It clears when {signal} is back below {limit}, the edge of its expected band then.',
  'clears.above': 'It clears when {signal} is back above {limit}, the edge of its expected band then.',
  'clears.noData': 'The first message that comes clears it.',
  'clears.usual': 'It clears when all its signals stay near their expected bands.',
  'clears.lasting': {
    one: 'That must last for {count} sample and at least {span}.',
    other: 'That must last for {count} samples in a row and at least {span}.',
  },
  'clears.policy': 'That must last as long as the alert policy asks.',
  'clears.life': 'The lower bound of remaining life must also be more than {horizon}.',
  'clears.rule': 'It clears when this no longer holds: {condition}.',
  'clears.cleared': 'It was cleared on {at}.',

  'source.detector': 'Found by {method}, version {version}.',
  'source.rule': 'Rule “{rule}”, version {version}.',
  'source.prediction': 'Foreseen by {method}, version {version}.',

  'method.seasonal-residual': 'the seasonal residual (what is odd now)',
  'method.drift': 'the drift detector (slow wear)',
  'method.relations': 'the relations detector (what no longer fits together)',
  'method.novelty': 'the novelty detector (rare values)',
  'method.trend-to-threshold': 'the trend to its limit',
  'method.survival-by-age': 'survival by age',
  'method.boosted-trees': 'the model fitted to the fleet',

  'name.unexplained': 'Unusual behaviour',
  'name.wholeDevice': 'whole device',
  'name.otherCause': 'something that the catalogue does not describe',
  'name.faultCode': '{code} “{text}”',

  'unit.cycles': { one: '{count} cycle', other: '{count} cycles' },
} as const satisfies Readonly<Record<string, Message>>;

export type MessageKey = keyof typeof EN;
export type Messages = Readonly<Record<MessageKey, Message>>;
