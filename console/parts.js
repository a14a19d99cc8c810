/** Small pieces that several views show. */
import { h, svg } from './dom.js';
import { lifeParts, sentence, words } from './format.js';

export const severityBadge = (severity) => h('span', { class: `severity ${severity}` }, sentence(severity));

export const stateChip = (state) => h('span', { class: 'chip' }, sentence(words(state)));

export const ticketLink = (key) => h('a', { href: `#/tickets/${encodeURIComponent(key)}`, class: 'nowrap' }, key);

export const deviceLink = (id) => h('a', { href: `#/devices/${encodeURIComponent(id)}` }, id);

/** Median, 90 % interval and what they come from; or the reason why there is no estimate. */
export function lifeCard(prediction, shownLife) {
  const life = shownLife ?? prediction?.remainingLife;
  const method =
    prediction && h('p', { class: 'soft small' }, `By ${prediction.method.name} ${prediction.method.version}.`);
  if (!life) {
    const reason = prediction?.reason ?? 'No model foresees this failure; the alert comes from an anomaly alone.';
    return h(
      'section',
      { class: 'card' },
      h('h2', {}, 'Remaining life'),
      h('p', { class: 'life' }, 'Cannot estimate'),
      h('p', {}, reason),
      method,
    );
  }
  const { median, lower, upper, unit } = lifeParts(life);
  return h(
    'section',
    { class: 'card' },
    h('h2', {}, 'Remaining life'),
    h('p', { class: 'life' }, `${median} ${unit}`),
    lifeBar(life),
    h('p', { class: 'small' }, `With 90 % certainty between ${lower} and ${upper} ${unit}.`),
    method,
  );
}

function lifeBar(life) {
  const { lower, upper, unit } = lifeParts(life);
  const end = life.upper * 1.15 || 1;
  const x = (value) => (value / end) * 100;
  return svg(
    'svg',
    { class: 'life-bar', role: 'img', 'aria-label': `From now: between ${lower} and ${upper} ${unit}` },
    svg('rect', { class: 'track', x: 0, y: 4, width: '100%', height: 10, rx: 5 }),
    svg('rect', {
      class: 'interval',
      x: `${x(life.lower)}%`,
      y: 4,
      width: `${x(life.upper - life.lower)}%`,
      height: 10,
    }),
    svg('rect', { class: 'median', x: `${x(life.median)}%`, y: 0, width: 3, height: 18, rx: 1.5 }),
    svg('text', { x: 0, y: 31 }, 'now'),
    svg('text', { x: `${x(life.lower)}%`, y: 31, 'text-anchor': 'middle' }, x(life.lower) > 8 ? lower : ''),
    svg('text', { x: `${x(life.upper)}%`, y: 31, 'text-anchor': 'middle' }, `${upper} ${unit}`),
  );
}

export const plotKey = () =>
  h(
    'p',
    { class: 'key' },
    h('span', { class: 'band' }, 'expected band'),
    h('span', { class: 'anomaly' }, 'anomaly from its onset'),
    h('span', { class: 'gap' }, 'no data'),
  );

/**
 * Why an alert is there, topic by topic, in the language that the server chose. What it set apart because it is written
 * from right to left becomes an element of its own, which keeps it apart.
 */
export function explanationCard({ language, lines }) {
  const of = (topic) => lines.filter((line) => line.topic === topic);
  return h(
    'section',
    { class: 'card', lang: language },
    h('h2', { lang: 'en' }, 'In words'),
    of('summary').map(({ text }) => h('p', {}, h('strong', {}, setApart(text)))),
    h(
      'dl',
      { class: 'facts' },
      Object.entries(TOPIC_WORDS)
        .filter(([topic]) => of(topic).length > 0)
        .map(([topic, title]) => [
          h('dt', { lang: 'en' }, title),
          h(
            'dd',
            {},
            of(topic).map(({ text }) => h('div', {}, setApart(text))),
          ),
        ]),
    ),
  );
}

/** In the order in which they are read; the summary stands above them. */
const TOPIC_WORDS = {
  because: 'What is unusual',
  since: 'Since',
  cause: 'Likely cause',
  reported: 'Reported by the device',
  outlook: 'Outlook',
  sure: 'How sure',
  similar: 'Seen before',
  clears: 'What would clear it',
  source: 'Found by',
};

const setApart = (text) =>
  text.split(/\u2068([^\u2068\u2069]*)\u2069/).map((part, index) => (index % 2 === 1 ? h('bdi', {}, part) : part));

/** What went wrong, and how to go on. */
export function problemCard(error, retry) {
  return h(
    'section',
    { class: 'card', role: 'alert' },
    h('h2', {}, error.message),
    error.hint && h('p', {}, error.hint),
    error.requestId && h('p', { class: 'soft small mono' }, `Request ${error.requestId}`),
    retry && h('button', { type: 'button', onclick: retry }, 'Try again'),
  );
}
