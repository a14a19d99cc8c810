/** The page: who is signed in, which view the address names, and the frame around it. */
import { del, get, post } from './api.js';
import { fill, h } from './dom.js';
import { problemCard } from './parts.js';
import { deviceView } from './views/device.js';
import { devicesView } from './views/devices.js';
import { queueView } from './views/queue.js';
import { signInView } from './views/sign-in.js';
import { ticketView } from './views/ticket.js';

const bar = document.getElementById('bar');
const content = document.getElementById('content');
const announcer = document.getElementById('announce');
const liveMark = h('span', { class: 'dot', hidden: true });

/** Address to view; explicit, in order. */
const ROUTES = [
  [/^#\/tickets\/([^/?]+)$/, (match, context) => ticketView(decodeURIComponent(match[1]), context)],
  [/^#\/devices\/([^/?]+)$/, (match, context) => deviceView(decodeURIComponent(match[1]), context)],
  [/^#\/devices$/, (_, context) => devicesView(context)],
  [/^(#\/queue|#?\/?)$/, (_, context) => queueView(context)],
];

let me;
let view;

/** `undefined`: this view is not live. */
function setLive(live) {
  liveMark.hidden = live === undefined;
  liveMark.className = live ? 'dot on' : 'dot';
  liveMark.textContent = live ? 'Live' : 'Reconnecting…';
}

function show(next) {
  view?.stop();
  view = next;
  document.title = `${next.title} · Presage`;
  fill(content, next.element);
}

function renderBar() {
  const links = [
    ['#/queue', 'Queue'],
    ['#/devices', 'Devices'],
  ].map(([href, text]) =>
    h('a', { href, 'aria-current': (location.hash || '#/queue').startsWith(href) && 'page' }, text),
  );
  fill(
    bar,
    h('span', { class: 'brand' }, h('img', { src: '/icon.svg', alt: '' }), 'Presage'),
    me && h('nav', { 'aria-label': 'Main' }, links),
    me &&
      h(
        'span',
        { class: 'end' },
        liveMark,
        h('span', {}, `${me.user} · ${me.role}${me.centre ? ` · ${me.centre}` : ''} · ${me.tenant}`),
        h('button', { type: 'button', onclick: signOut }, 'Sign out'),
      ),
  );
}

async function signOut() {
  await del('/api/v1/sessions').catch(() => undefined); // Signed out here in any case.
  me = undefined;
  renderBar();
  show(signInView());
}

function route() {
  if (!me) return;
  renderBar();
  setLive(undefined);
  const context = {
    role: me.role,
    setLive,
    announce(text) {
      announcer.textContent = text;
    },
  };
  for (const [pattern, build] of ROUTES) {
    const match = pattern.exec(location.hash);
    if (match) {
      show(build(match, context));
      content.focus({ preventScroll: true });
      scrollTo(0, 0);
      return;
    }
  }
  show({ title: 'Not found', element: problemCard(new Error('There is no such page.')), stop() {} });
}

/** Uses an owner link up and takes it out of the address, so that it is in no history or screenshot. */
async function useLink() {
  const link = /^#link=([A-Za-z0-9_-]+)$/.exec(location.hash)?.[1];
  if (!link) return undefined;
  history.replaceState(null, '', '/#/queue');
  return post('/api/v1/sessions', { link });
}

async function begin() {
  let message;
  try {
    me = await useLink();
  } catch (error) {
    message = error.message;
  }
  me ??= await get('/api/v1/me').catch(() => undefined);
  if (me) route();
  else {
    renderBar();
    show(signInView(message));
  }
}

addEventListener('hashchange', () => {
  if (location.hash.startsWith('#link=')) begin();
  else route();
});
begin();
