/** Nobody is signed in: how to come in. */
import { h } from '../dom.js';

export function signInView(message) {
  return {
    title: 'Sign in',
    element: h(
      'section',
      { class: 'card' },
      h('h1', {}, 'Sign in'),
      message && h('p', { class: 'notice', role: 'alert' }, message),
      h('p', {}, 'Open the one-time link that Presage printed when it started. It works once, within a day.'),
      h('p', { class: 'soft' }, 'Need another one? Whoever runs Presage can make it on the command line.'),
    ),
    stop() {},
  };
}
