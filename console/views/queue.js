/** The centre's queue: what waits, worst first, kept up to date while it is open. */
import { get, listen } from '../api.js';
import { fill, h } from '../dom.js';
import { formatAge, formatLife, formatTime, sentence, words } from '../format.js';
import { deviceLink, problemCard, severityBadge, stateChip, ticketLink } from '../parts.js';

const SEVERITY_ORDER = ['critical', 'major', 'minor', 'info'];
const FINISHED = new Set(['closed', 'cancelled']);
const MAX_ROWS = 500;

export function queueView({ announce, setLive }) {
  /** by ticket key */
  const tickets = new Map();
  let show = 'open';
  let stopped = false;
  const body = h('div');
  const count = h('span', { class: 'soft' });
  const filters = ['open', 'all'].map((name) =>
    h('button', { type: 'button', onclick: () => choose(name), 'aria-pressed': String(name === show) }, sentence(name)),
  );

  async function load() {
    try {
      const { items } = await get(`/api/v1/tickets?limit=${MAX_ROWS}${show === 'open' ? '&state=open' : ''}`);
      tickets.clear();
      for (const ticket of items) tickets.set(ticket.key, ticket);
      render();
    } catch (error) {
      if (!stopped) fill(body, problemCard(error, load));
    }
  }

  function choose(name) {
    show = name;
    for (const [index, button] of filters.entries())
      button.setAttribute('aria-pressed', String(['open', 'all'][index] === name));
    load();
  }

  function changed({ ticket }) {
    const known = tickets.has(ticket.key);
    if (show === 'open' && FINISHED.has(ticket.state)) tickets.delete(ticket.key);
    else tickets.set(ticket.key, ticket);
    if (!known) announce(`New ticket ${ticket.key}: ${ticket.title}`);
    render(ticket.key);
  }

  function render(freshKey) {
    const rows = [...tickets.values()].sort(byUrgency);
    count.textContent = `${rows.length} ${rows.length === 1 ? 'ticket' : 'tickets'}`;
    if (rows.length === 0) {
      return fill(
        body,
        h('div', { class: 'card empty' }, 'Nothing waiting. A ticket appears here when a failure is foreseen.'),
      );
    }
    return fill(
      body,
      h(
        'div',
        { class: 'card flush' },
        h(
          'table',
          { class: 'stack' },
          h(
            'thead',
            {},
            h(
              'tr',
              {},
              ['Severity', 'Ticket', 'What we expect', 'Device', 'Remaining life', 'State', 'Age'].map((name) =>
                h('th', { scope: 'col' }, name),
              ),
            ),
          ),
          h(
            'tbody',
            {},
            rows.map((ticket) => row(ticket, ticket.key === freshKey)),
          ),
        ),
      ),
    );
  }

  const stopListening = listen(undefined, {
    onOpen() {
      setLive(true);
      load();
    },
    onLost: () => setLive(false),
    on: { ticket: changed },
  });
  // Tickets tell of themselves; their remaining life is renewed by predictions, which do not.
  const timer = setInterval(load, 15_000);
  load();

  return {
    title: 'Queue',
    element: h(
      'div',
      {},
      h('div', { class: 'head' }, h('h1', {}, 'Queue'), count, h('span', { class: 'push row' }, filters)),
      body,
    ),
    stop() {
      stopped = true;
      clearInterval(timer);
      stopListening();
    },
  };
}

/** Worst severity first, then the shortest life, then the oldest. */
function byUrgency(a, b) {
  const bySeverity = SEVERITY_ORDER.indexOf(a.severity) - SEVERITY_ORDER.indexOf(b.severity);
  const life = (ticket) => ticket.remainingLife?.lower ?? Number.POSITIVE_INFINITY;
  return bySeverity || life(a) - life(b) || a.createdAt - b.createdAt;
}

function row(ticket, fresh) {
  return h(
    'tr',
    { class: fresh ? 'fresh' : undefined },
    h('td', {}, severityBadge(ticket.severity)),
    h('td', {}, ticketLink(ticket.key)),
    h('td', {}, ticket.title),
    h(
      'td',
      {},
      ticket.device ? deviceLink(ticket.device) : h('span', { class: 'soft' }, 'not registered'),
      h('div', { class: 'soft small' }, `${ticket.model} · ${words(ticket.component)}`),
    ),
    h('td', { class: 'nowrap', 'data-label': 'Remaining life' }, lifeOf(ticket)),
    h('td', {}, stateChip(ticket.state)),
    h(
      'td',
      { class: 'nowrap', 'data-label': 'Age', title: formatTime(ticket.createdAt) },
      formatAge(Date.now() - ticket.createdAt),
    ),
  );
}

function lifeOf({ remainingLife, source }) {
  if (remainingLife) return formatLife(remainingLife);
  return h('span', { class: 'soft' }, source === 'preemptive' ? 'cannot estimate' : `reported, ${words(source)}`);
}
