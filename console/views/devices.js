/** All devices one may see, with what is worst about each. */
import { get } from '../api.js';
import { fill, h } from '../dom.js';
import { formatAge } from '../format.js';
import { deviceLink, problemCard, severityBadge } from '../parts.js';

const PAGE = 200;

export function devicesView({ setLive }) {
  const rows = h('tbody');
  const more = h('div');
  const body = h('div');
  let stopped = false;
  setLive(undefined);

  async function load(cursor) {
    try {
      const page = await get(`/api/v1/devices?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
      if (stopped) return;
      rows.append(...page.items.map(row));
      fill(more, page.nextCursor && h('button', { type: 'button', onclick: () => load(page.nextCursor) }, 'Show more'));
      fill(
        body,
        rows.childElementCount === 0 ? h('div', { class: 'card empty' }, 'No devices yet.') : table(rows),
        more,
      );
    } catch (error) {
      if (!stopped)
        fill(
          body,
          problemCard(error, () => load(cursor)),
        );
    }
  }
  load();

  return {
    title: 'Devices',
    element: h('div', {}, h('div', { class: 'head' }, h('h1', {}, 'Devices')), body),
    stop() {
      stopped = true;
    },
  };
}

function table(rows) {
  const names = ['Device', 'Model', 'Connection', 'Last seen', 'Firmware', 'Centre', 'Worst open alert'];
  return h(
    'div',
    { class: 'card flush' },
    h(
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
      rows,
    ),
  );
}

function row(device) {
  return h(
    'tr',
    {},
    h('td', {}, deviceLink(device.id), device.name && h('div', { class: 'soft small' }, device.name)),
    h('td', {}, device.model),
    h('td', {}, connection(device)),
    h('td', { class: 'nowrap' }, device.lastSeenAt ? formatAge(Date.now() - device.lastSeenAt) : 'never'),
    h('td', {}, device.firmware ?? '–'),
    h('td', {}, device.centre),
    h('td', {}, device.worstAlert ? severityBadge(device.worstAlert) : h('span', { class: 'soft' }, 'none')),
  );
}

export function connection(device) {
  if (device.status === 'blocked') return h('span', { class: 'dot' }, 'Blocked');
  return h('span', { class: device.connected ? 'dot on' : 'dot' }, device.connected ? 'Connected' : 'Not connected');
}
