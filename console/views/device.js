/** One device: its signals over time with bands and alerts, live while it sends, its predictions, alerts and tickets. */
import { get, listen, loadModels } from '../api.js';
import { fill, h } from '../dom.js';
import { formatAge, formatLife, formatNumber, formatTime, sentence, words, zone } from '../format.js';
import { plotKey, problemCard, severityBadge, stateChip, ticketLink } from '../parts.js';
import { createPlot } from '../plot.js';
import { connection } from './devices.js';

const HOUR_MS = 3_600_000;
const RANGES = [
  ['6 h', 6 * HOUR_MS],
  ['24 h', 24 * HOUR_MS],
  ['7 d', 7 * 24 * HOUR_MS],
  ['30 d', 30 * 24 * HOUR_MS],
  ['90 d', 90 * 24 * HOUR_MS],
  ['1 y', 365 * 24 * HOUR_MS],
];
const POINTS = 1_000;
const MAX_SIGNALS = 8;
const FIRST_SIGNALS = 3;

export function deviceView(id, { setLive }) {
  const path = `/api/v1/devices/${encodeURIComponent(id)}`;
  const head = h('div', { class: 'head' }, h('h1', {}, id));
  const controls = h('div');
  const plotsHost = h('div');
  const lists = h('div');
  const body = h('div', {}, head, h('section', { class: 'card' }, controls, plotsHost), lists);
  /** by signal name */
  let plots = new Map();
  let chosen = [];
  let rangeMs = 7 * 24 * HOUR_MS;
  let model;
  let latest = [];
  let alerts = [];
  let request;
  let stopped = false;

  async function load() {
    try {
      const [device, models, values, foundAlerts, predictions, tickets] = await Promise.all([
        get(path),
        loadModels(),
        get(`${path}/latest`),
        get(`/api/v1/alerts?device=${encodeURIComponent(id)}&limit=50`),
        get(`/api/v1/predictions?device=${encodeURIComponent(id)}`),
        get(`/api/v1/tickets?device=${encodeURIComponent(id)}&limit=50`),
      ]);
      if (stopped) return;
      model = models.get(device.model);
      latest = values.values;
      alerts = foundAlerts.items;
      if (chosen.length === 0) chosen = firstSignals();
      fill(
        head,
        h('h1', {}, device.name ?? id),
        h(
          'span',
          { class: 'soft' },
          [model?.name ?? device.model, device.serial, device.firmware && `firmware ${device.firmware}`]
            .filter(Boolean)
            .join(' · '),
        ),
        connection(device),
        device.lastSeenAt && h('span', { class: 'soft' }, `last seen ${formatTime(device.lastSeenAt)}`),
      );
      renderControls();
      fill(
        lists,
        predictionsCard(predictions.items),
        alertsCard(alerts),
        ticketsCard(tickets.items),
        latestCard(latest, label),
      );
      await drawPlots();
    } catch (error) {
      if (!stopped && error.name !== 'AbortError') fill(lists, problemCard(error, load));
    }
  }

  const spec = (name) => model?.signals.find((signal) => signal.name === name);
  const label = (name) => spec(name)?.label ?? name;

  /** Everything with a number that the device has sent, in the model's order. */
  function plottable() {
    const seen = new Set(latest.filter((one) => typeof one.value !== 'string').map((one) => one.signal));
    const known = (model?.signals ?? []).map((signal) => signal.name).filter((name) => seen.has(name));
    return [...known, ...[...seen].filter((name) => !known.includes(name))];
  }

  /** What the alerts are about comes first. */
  function firstSignals() {
    const suspicious = alerts.flatMap((alert) => alert.evidence.because.map((line) => line.signal));
    const all = plottable();
    return [...new Set([...suspicious.filter((name) => all.includes(name)), ...all])].slice(0, FIRST_SIGNALS);
  }

  function renderControls() {
    const boxes = plottable().map((name) =>
      h(
        'label',
        {},
        h('input', {
          type: 'checkbox',
          checked: chosen.includes(name),
          onchange: (event) => toggle(name, event.target),
        }),
        label(name),
      ),
    );
    const ranges = RANGES.map(([text, ms]) =>
      h('button', { type: 'button', 'aria-pressed': String(ms === rangeMs), onclick: () => setRange(ms) }, text),
    );
    fill(
      controls,
      h(
        'div',
        { class: 'row' },
        h('h2', {}, 'Signals'),
        h('span', { class: 'push row' }, ranges),
        h('span', { class: 'soft small' }, `Times in ${zone}`),
      ),
      h('fieldset', { class: 'signals' }, h('legend', { class: 'visually-hidden' }, 'Signals to plot'), boxes),
      plotKey(),
    );
  }

  function toggle(name, box) {
    if (box.checked && chosen.length >= MAX_SIGNALS) box.checked = false;
    else chosen = box.checked ? [...chosen, name] : chosen.filter((one) => one !== name);
    drawPlots();
  }

  function setRange(ms) {
    rangeMs = ms;
    renderControls();
    drawPlots();
  }

  async function drawPlots() {
    request?.abort();
    request = new AbortController();
    const { signal } = request;
    const to = Math.max(Date.now(), ...latest.map((one) => one.at)) + 1;
    const from = to - rangeMs;
    try {
      const query = new URLSearchParams({
        signals: chosen.join(','),
        from: new Date(from).toISOString(),
        to: new Date(to).toISOString(),
        points: String(POINTS),
      });
      const series = chosen.length === 0 ? [] : (await get(`${path}/telemetry?${query}`, signal)).series;
      if (stopped || signal.aborted) return;
      for (const plot of plots.values()) plot.destroy();
      plots = new Map(series.map((one) => [one.signal, plotOf(one, from, to)]));
      fill(
        plotsHost,
        series.length === 0
          ? h('p', { class: 'empty' }, 'Choose a signal.')
          : [...plots.values()].map((plot) => plot.element),
      );
    } catch (error) {
      if (error.name !== 'AbortError' && !stopped) fill(plotsHost, problemCard(error, drawPlots));
    }
  }

  function plotOf({ signal, unit, points }, from, to) {
    const about = alerts.filter(
      (alert) => alert.evidence.because.length === 0 || alert.evidence.because.some((line) => line.signal === signal),
    );
    return createPlot({
      label: label(signal),
      unit,
      points,
      intervalMs: Math.max(model?.intervalMs ?? 0, points.length >= POINTS / 2 ? (to - from) / points.length : 0),
      range: [from, to],
      band: alerts.flatMap((alert) => alert.evidence.bands[signal] ?? []).sort((a, b) => a.at - b.at),
      shades: about.map((alert) => ({ from: alert.onset, to: alert.clearedAt ?? to, label: words(alert.faultKey) })),
    });
  }

  function sampled({ time, signals }) {
    for (const [name, value] of Object.entries(signals)) plots.get(name)?.add(time, value);
  }

  const stopListening = listen(id, {
    onOpen() {
      setLive(true);
      load();
    },
    onLost: () => setLive(false),
    on: { sample: sampled, alert: () => load(), ticket: () => load() },
  });

  return {
    title: id,
    element: body,
    stop() {
      stopped = true;
      request?.abort();
      stopListening();
      for (const plot of plots.values()) plot.destroy();
    },
  };
}

const list = (title, names, rows, empty) =>
  h(
    'section',
    { class: 'card' },
    h('h2', {}, title),
    rows.length === 0
      ? h('p', { class: 'soft' }, empty)
      : h(
          'table',
          {},
          h(
            'thead',
            {},
            h(
              'tr',
              {},
              names.map((name) => h('th', { scope: 'col' }, name)),
            ),
          ),
          h(
            'tbody',
            {},
            rows.map((cells) =>
              h(
                'tr',
                {},
                cells.map((cell) => h('td', {}, cell)),
              ),
            ),
          ),
        ),
  );

const predictionsCard = (predictions) =>
  list(
    'Predictions',
    ['Failure', 'Remaining life', 'Model', 'As of'],
    predictions.map((one) => [
      sentence(words(one.faultKey)),
      one.remainingLife
        ? formatLife(one.remainingLife)
        : h('span', {}, 'Cannot estimate', one.reason && h('div', { class: 'soft small' }, one.reason)),
      `${one.method.name} ${one.method.version}`,
      formatTime(one.at),
    ]),
    'No model has judged this device yet.',
  );

const alertsCard = (alerts) =>
  list(
    'Alerts',
    ['Severity', 'Fault', 'State', 'Onset', 'Raised', 'Ticket'],
    alerts.map((alert) => [
      severityBadge(alert.severity),
      [
        sentence(words(alert.faultKey)),
        h('div', { class: 'soft small' }, `${words(alert.component)}${alert.confirmed ? '' : ' · not confirmed'}`),
      ],
      stateChip(alert.state),
      formatTime(alert.onset),
      formatTime(alert.raisedAt),
      alert.ticketKey ? ticketLink(alert.ticketKey) : '–',
    ]),
    'No alerts.',
  );

const ticketsCard = (tickets) =>
  list(
    'Tickets',
    ['Ticket', 'What we expect', 'State', 'Age'],
    tickets.map((ticket) => [
      ticketLink(ticket.key),
      ticket.title,
      stateChip(ticket.state),
      formatAge(Date.now() - ticket.createdAt),
    ]),
    'No tickets.',
  );

const latestCard = (latest, label) =>
  list(
    'Latest values',
    ['Signal', 'Value', 'Measured'],
    latest.map((one) => [label(one.signal), `${formatNumber(one.value)} ${one.unit}`, formatTime(one.at)]),
    'The device has not sent anything yet.',
  );
