/** What was found: shown on a ticket once it is known, asked for when the work is done. Filled in by keyboard in seconds. */
import { h } from '../dom.js';
import { formatTime, sentence, words } from '../format.js';

const RESULTS = [
  ['confirmed', 'Yes, that fault', 'The fault that this ticket names was there.'],
  ['other_cause', 'Another fault', 'There was a fault, but not this one.'],
  ['no_fault_found', 'No fault', 'Somebody looked and found none.'],
  ['not_visited', 'Nobody looked', 'The ticket ended without a visit.'],
];
const ENDED = new Set(['resolved', 'confirmed', 'closed', 'cancelled']);

/**
 * @param {{ mayReport: boolean, report(ticket: object, outcome: object): Promise<string | undefined> }} door
 * @returns the card, or nothing while the work goes on
 */
export function outcomeCard(ticket, model, { mayReport, report }) {
  if (!ENDED.has(ticket.state)) return undefined;
  if (!ticket.outcome && !mayReport) return undefined;
  const form = () => outcomeForm(ticket, model, report);
  if (!ticket.outcome) return h('section', { class: 'card' }, h('h2', {}, 'What was found?'), form());
  const correct = h('button', { type: 'button', onclick: () => correct.replaceWith(form()) }, 'Correct it');
  return h('section', { class: 'card' }, h('h2', {}, 'What was found'), summary(ticket, model), mayReport && correct);
}

function summary({ outcome, faultKey }, model) {
  const named = (code) => model?.failureModes.find((mode) => mode.code === code)?.name ?? words(code);
  const found = {
    confirmed: `Confirmed: ${named(faultKey)}`,
    other_cause: `Another fault: ${outcome.faultKey ? named(outcome.faultKey) : outcome.cause}`,
    no_fault_found: 'No fault found',
    not_visited: 'Nobody looked',
  }[outcome.result];
  return [
    h('p', {}, h('strong', {}, found)),
    outcome.parts.length > 0 && h('p', {}, 'Parts: ', outcome.parts.map(partWords).join(', ')),
    outcome.note && h('p', {}, outcome.note),
    h('p', { class: 'soft small' }, `${outcome.by}, ${formatTime(outcome.at)}`),
  ];
}

function partWords({ quantity, number, oldSerial, newSerial }) {
  const swap = oldSerial || newSerial ? ` (${oldSerial ?? '?'} → ${newSerial ?? '?'})` : '';
  return `${quantity} × ${number}${swap}`;
}

function outcomeForm(ticket, model, report) {
  const problem = h('span', { class: 'soft small', role: 'alert' });
  const other = otherFault(ticket, model);
  const part = partRow(ticket);
  const noticed = h('input', { type: 'checkbox' });
  const note = h('input', { type: 'text', maxlength: 1000, 'aria-label': 'Note', placeholder: 'Note (optional)' });
  let result;
  const choose = (value) => {
    result = value;
    other.element.hidden = value !== 'other_cause';
    part.element.hidden = value === 'not_visited';
  };
  const radios = RESULTS.map(([value, title, hint]) =>
    h(
      'label',
      { class: 'row', title: hint },
      h('input', { type: 'radio', name: 'result', value, required: true, onchange: () => choose(value) }),
      title,
    ),
  );
  choose(undefined);
  const send = async (event) => {
    event.preventDefault();
    problem.textContent =
      (await report(ticket, {
        result,
        ...(result === 'other_cause' ? other.read() : {}),
        parts: result === 'not_visited' ? [] : part.read(),
        noticedBefore: noticed.checked,
        ...(note.value.trim() ? { note: note.value.trim() } : {}),
      })) ?? '';
  };
  return h(
    'form',
    { class: 'form', onsubmit: send },
    h('fieldset', { class: 'row' }, h('legend', {}, `Was it ${faultName(ticket, model)}?`), radios),
    other.element,
    part.element,
    h(
      'div',
      { class: 'row' },
      h('label', { class: 'row' }, noticed, 'The customer had noticed it before'),
      note,
      h('button', { type: 'submit', class: 'main' }, 'Keep'),
    ),
    problem,
  );
}

function faultName({ faultKey }, model) {
  return (model?.failureModes.find((mode) => mode.code === faultKey)?.name ?? words(faultKey)).toLowerCase();
}

/** Which other fault: one of the catalogue, or words. */
function otherFault(ticket, model) {
  const modes = (model?.failureModes ?? []).filter((mode) => mode.code !== ticket.faultKey);
  const cause = h('input', { type: 'text', maxlength: 500, 'aria-label': 'Cause', placeholder: 'Cause, in words' });
  const select = h(
    'select',
    { 'aria-label': 'Fault' },
    modes.map((mode) => h('option', { value: mode.code }, sentence(mode.name))),
    h('option', { value: '' }, 'Something else'),
  );
  return {
    element: h('div', { class: 'row' }, h('span', { class: 'soft' }, 'What was it?'), select, cause),
    read: () => ({
      ...(select.value ? { faultKey: select.value } : {}),
      ...(cause.value.trim() ? { cause: cause.value.trim() } : {}),
    }),
  };
}

/** One part with its serials; the likely ones are suggested. */
function partRow(ticket) {
  const field = (name, attributes = {}) =>
    h('input', { type: 'text', maxlength: 64, size: 14, 'aria-label': name, placeholder: name, ...attributes });
  const [number, oldSerial, newSerial] = [
    field('Part number', { list: 'likely-parts' }),
    field('Old serial'),
    field('New serial'),
  ];
  const likely = (ticket.evidence?.evidence.likelyCauses ?? []).flatMap((cause) => cause.parts);
  return {
    element: h(
      'div',
      { class: 'row' },
      h('span', { class: 'soft' }, 'Part fitted'),
      number,
      oldSerial,
      newSerial,
      h(
        'datalist',
        { id: 'likely-parts' },
        likely.map((part) => h('option', { value: part.number }, part.name)),
      ),
    ),
    read: () =>
      number.value.trim() === ''
        ? []
        : [
            {
              number: number.value.trim(),
              ...(oldSerial.value.trim() ? { oldSerial: oldSerial.value.trim() } : {}),
              ...(newSerial.value.trim() ? { newSerial: newSerial.value.trim() } : {}),
            },
          ],
  };
}
