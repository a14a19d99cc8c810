/** One ticket: what is expected and why, the evidence as it was pinned, what happened since, and what may happen next. */
import { get, listen, loadModels, post, put } from '../api.js';
import { fill, h } from '../dom.js';
import { formatChance, formatNumber, formatTime, sentence, words, zone } from '../format.js';
import {
  deviceLink,
  explanationCard,
  lifeCard,
  plotKey,
  problemCard,
  severityBadge,
  stateChip,
  ticketLink,
} from '../parts.js';
import { createPlot } from '../plot.js';
import { outcomeCard } from './outcome.js';

const EVENT_WORDS = {
  opened: 'Opened',
  alertAttached: 'Alert attached',
  alertCleared: 'Alert cleared',
  severityRaised: 'Severity raised',
  evidencePinned: 'Evidence pinned',
  webhook: 'Centre notified',
  escalated: 'Escalated',
  outcome: 'Outcome reported',
  accepted: 'Customer accepted',
  answered: 'Customer reached',
  customerWrote: 'Customer wrote',
  arrived: 'Arrived',
  followedUp: 'Followed up',
  intakeCompleted: 'Report completed',
  contactRevealed: 'Contact looked up',
  warrantyNoted: 'Warranty noted',
  quoteSent: 'Quote sent',
  quoteAuthorised: 'Quote authorised',
  quoteDeclined: 'Quote declined',
  visitBooked: 'Visit booked',
};
const OPEN_REASONS = {
  horizon: 'the lower bound of remaining life came within the horizon',
  confirmed: 'the anomaly is confirmed',
};

// Some browsers do not know where they are; the server then writes times in UTC.
const zoneQuery = zone === 'Etc/Unknown' ? '' : `?timeZone=${encodeURIComponent(zone)}`;

export function ticketView(key, { announce, setLive, role }) {
  const body = h('div');
  let plots = [];
  let shownVersion = -1;
  let shownHash;
  let stopped = false;
  let draft = '';

  async function load(message) {
    try {
      const path = `/api/v1/tickets/${encodeURIComponent(key)}${zoneQuery}`;
      const [ticket, models] = await Promise.all([get(path), loadModels()]);
      if (stopped || (ticket.version === shownVersion && !message)) return;
      shownVersion = ticket.version;
      render(ticket, models.get(ticket.model), message);
    } catch (error) {
      if (!stopped)
        fill(
          body,
          problemCard(error, () => load()),
        );
    }
  }

  const evidenceHost = h('div');

  function render(ticket, model, message) {
    const evidence = ticket.evidence?.evidence;
    if (ticket.evidence?.sha256 !== shownHash) {
      shownHash = ticket.evidence?.sha256;
      for (const plot of plots) plot.destroy();
      plots = [];
      fill(evidenceHost, ticket.evidence && evidenceCard(ticket.evidence, model, plots));
    }
    fill(
      body,
      h(
        'div',
        { class: 'head' },
        h('div', {}, h('div', { class: 'soft' }, ticket.key), h('h1', {}, ticket.title)),
        severityBadge(ticket.severity),
        stateChip(ticket.state),
      ),
      message && h('p', { class: 'notice', role: 'alert' }, message),
      role !== 'viewer' && nextStep(ticket),
      outcomeCard(ticket, model, { mayReport: role !== 'viewer', report }),
      h(
        'div',
        { class: 'columns' },
        ticket.intake ? intakeCard(ticket.intake) : lifeCard(evidence?.prediction, ticket.remainingLife),
        factsCard(ticket, model),
      ),
      evidence && whyCard(evidence, model),
      ticket.explanation && explanationCard(ticket.explanation),
      evidenceHost,
      h(
        'section',
        { class: 'card' },
        h('h2', {}, 'History'),
        h('ul', { class: 'timeline' }, [...ticket.history].reverse().map(historyItem)),
      ),
    );
  }

  /** @returns the problem in words, or nothing when it was taken */
  async function report(ticket, outcome) {
    try {
      await put(`/api/v1/tickets/${encodeURIComponent(key)}/outcome`, outcome, { 'if-match': `"${ticket.version}"` });
      announce(`The outcome of ${key} is kept`);
      await load();
      return undefined;
    } catch (error) {
      if (error.code !== 'VERSION_STALE') return error.message;
      shownVersion = -1;
      await load('Somebody changed this ticket before you. This is how it stands now.');
      return undefined;
    }
  }

  function nextStep(ticket) {
    // Closing asks what was found: the form for it stands below.
    const next = ticket.next.filter((to) => to !== 'closed' || ticket.outcome);
    if (next.length === 0) return undefined;
    const reason = h('input', {
      type: 'text',
      maxlength: 500,
      required: true,
      'aria-label': 'Reason',
      placeholder: 'Reason, for whoever reads this next',
      // What was typed survives a live change of the ticket.
      value: draft,
      oninput: () => {
        draft = reason.value;
      },
    });
    const note = h('span', { class: 'soft small', role: 'alert' });
    const move = async (to) => {
      if (reason.value.trim() === '') {
        note.textContent = 'Write a reason first.';
        reason.focus();
        return;
      }
      try {
        await post(
          `/api/v1/tickets/${encodeURIComponent(key)}/transitions`,
          { to, reason: reason.value.trim() },
          { 'if-match': `"${ticket.version}"` },
        );
        draft = '';
        announce(`${key} is now ${words(to)}`);
        await load();
      } catch (error) {
        shownVersion = -1;
        await load(
          error.code === 'VERSION_STALE'
            ? 'Somebody changed this ticket before you. This is how it stands now.'
            : error.message,
        );
      }
    };
    return h(
      'section',
      { class: 'card' },
      h('h2', {}, 'Next step'),
      h(
        'div',
        { class: 'row' },
        reason,
        h('span', { class: 'soft' }, 'Move to'),
        next.map((to, index) =>
          h(
            'button',
            { type: 'button', class: index === 0 ? 'main' : undefined, onclick: () => move(to) },
            sentence(words(to)),
          ),
        ),
      ),
      note,
    );
  }

  const stopListening = listen(undefined, {
    onOpen() {
      setLive(true);
      load();
    },
    onLost: () => setLive(false),
    on: {
      ticket({ ticket }) {
        if (ticket.key === key) load();
      },
    },
  });
  load();

  return {
    title: key,
    element: body,
    stop() {
      stopped = true;
      stopListening();
      for (const plot of plots) plot.destroy();
    },
  };
}

const facts = (entries) =>
  h(
    'dl',
    { class: 'facts' },
    entries.filter(Boolean).map(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]),
  );

function factsCard(ticket, model) {
  const mode = model?.failureModes.find((one) => one.code === ticket.faultKey);
  return h(
    'section',
    { class: 'card' },
    h('h2', {}, 'What it is about'),
    facts([
      ['Device', [ticket.device ? deviceLink(ticket.device) : 'not registered', ` · ${model?.name ?? ticket.model}`]],
      ['Class', `${words(ticket.faultClass)}${ticket.repeatOf ? ', repeated' : ''}`],
      ticket.repeatOf && ['Repeat of', ticketLink(ticket.repeatOf)],
      ['Component', sentence(words(ticket.component))],
      mode && ['Cause', mode.cause],
      mode && ['If ignored', mode.effect],
      ['Centre', ticket.centre],
      ['Observed', formatTime(ticket.observedAt)],
      ['Opened', formatTime(ticket.createdAt)],
      ['Alerts', String(ticket.alerts.length)],
    ]),
  );
}

const ASK_WORDS = {
  modelOrSerial: 'the model, or the serial number',
  purchasedOn: 'the date of purchase',
  contact: 'whom to call',
};

function intakeCard({ symptom, serial, purchasedOn, asks }) {
  return h(
    'section',
    { class: 'card' },
    h('h2', {}, 'What the customer says'),
    h('p', {}, symptom),
    facts([serial && ['Serial number', serial], purchasedOn && ['Purchased', purchasedOn]]),
    asks.length > 0 &&
      h('p', {}, h('strong', {}, 'Still to ask: '), asks.map((ask) => ASK_WORDS[ask] ?? ask).join(', ')),
  );
}

function whyCard(evidence, model) {
  const label = (name) => model?.signals.find((signal) => signal.name === name)?.label ?? name;
  return h(
    'div',
    { class: 'columns' },
    h(
      'section',
      { class: 'card' },
      h('h2', {}, 'Why we think so'),
      evidence.because.length === 0
        ? h('p', { class: 'soft' }, 'The prediction alone; no signal left its expected band.')
        : h(
            'table',
            {},
            h(
              'thead',
              {},
              h(
                'tr',
                {},
                h('th', {}, 'Signal'),
                h('th', { class: 'number' }, 'Was'),
                h('th', { class: 'number' }, 'Expected'),
                h('th', {}, 'Share'),
              ),
            ),
            h(
              'tbody',
              {},
              evidence.because.map((line) =>
                h(
                  'tr',
                  {},
                  h('td', {}, label(line.signal)),
                  h('td', { class: 'number nowrap' }, `${formatNumber(line.value)} ${line.unit}`),
                  h('td', { class: 'number nowrap' }, `${formatNumber(line.low)} – ${formatNumber(line.high)}`),
                  h('td', { class: 'nowrap' }, shareBar(line.contribution), `${Math.round(line.contribution * 100)} %`),
                ),
              ),
            ),
          ),
      h(
        'p',
        { class: 'soft small' },
        `${formatChance(evidence)} Detector ${evidence.detector.name} ${evidence.detector.version}.`,
      ),
    ),
    h(
      'section',
      { class: 'card' },
      h('h2', {}, 'Likely causes and parts'),
      evidence.likelyCauses.length === 0
        ? h('p', { class: 'soft' }, 'No known failure mode explains this.')
        : evidence.likelyCauses.map((cause) =>
            h(
              'div',
              {},
              h('p', {}, h('strong', {}, `${Math.round(cause.probability * 100)} % `), cause.cause),
              h(
                'ul',
                {},
                cause.parts.map((part) =>
                  h('li', {}, `${part.quantity} × ${part.name} `, h('span', { class: 'mono' }, part.number)),
                ),
              ),
            ),
          ),
    ),
  );
}

function shareBar(share) {
  const bar = h('span', { class: 'share', 'aria-hidden': 'true' });
  bar.style.width = `${Math.round(Math.max(0, share) * 60)}px`;
  return bar;
}

function evidenceCard(snapshot, model, plots) {
  const spec = (name) => model?.signals.find((signal) => signal.name === name);
  const spanMs = snapshot.to - snapshot.from;
  for (const { signal, unit, points } of snapshot.series) {
    if (spec(signal)?.kind === 'text') continue;
    plots.push(
      createPlot({
        label: spec(signal)?.label ?? signal,
        unit,
        points,
        // Down-sampled points stand further apart than the device's interval.
        intervalMs: Math.max(model?.intervalMs ?? 0, spanMs / Math.max(1, points.length)),
        range: [snapshot.from, snapshot.to],
        band: snapshot.evidence.bands[signal],
        shades: [{ from: snapshot.onset, to: snapshot.to, label: 'onset' }],
      }),
    );
  }
  return h(
    'section',
    { class: 'card' },
    h('h2', {}, 'Evidence, as it stood when the ticket was opened'),
    snapshot.complete
      ? [
          plots.length > 0 ? plotKey() : h('p', { class: 'soft' }, 'No signals to plot.'),
          plots.map((plot) => plot.element),
        ]
      : h('p', { class: 'soft' }, 'The telemetry store is catching up; the signals appear here as soon as it has.'),
    h('p', { class: 'soft small' }, `Times in ${zone}. SHA-256 `, h('span', { class: 'mono' }, snapshot.sha256)),
  );
}

function historyItem(event) {
  const what =
    event.type === 'transition'
      ? `${sentence(words(event.from ?? ''))} → ${words(event.to ?? '')}`
      : (EVENT_WORDS[event.type] ?? event.type);
  const reason = event.type === 'opened' ? (OPEN_REASONS[event.reason] ?? event.reason) : event.reason;
  return h(
    'li',
    {},
    h('span', { class: 'soft' }, formatTime(event.at)),
    h('span', {}, h('strong', {}, what), ` · ${event.actor}`, reason && h('div', {}, reason)),
  );
}
