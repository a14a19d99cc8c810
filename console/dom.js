/** Builds elements. Text always becomes a text node, so nothing that a device sends can become markup. */

/** Bidirectional controls can make a text read as another one; they are shown as marks. */
const BIDI_CONTROLS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/**
 * @param {string} name
 * @param {Record<string, unknown>} [attributes] `on…` = listener, `class`, `data-…`; `false` and `undefined` are left out
 * @param {...unknown} children elements, texts, arrays; `false`, `null` and `undefined` are left out
 */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) setAttribute(element, key, value);
  append(element, children);
  return element;
}

/** The same for drawings. */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) setAttribute(element, key, value);
  append(element, children);
  return element;
}

/** Replaces what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

function setAttribute(element, key, value) {
  if (value === undefined || value === false || value === null) return;
  if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
  else element.setAttribute(key, value === true ? '' : String(value));
}

function append(element, children) {
  for (const child of children.flat(Number.POSITIVE_INFINITY)) {
    if (child === false || child === null || child === undefined) continue;
    element.append(child instanceof Node ? child : visible(String(child)));
  }
}

function visible(text) {
  return text.replace(
    BIDI_CONTROLS,
    (mark) => `⟨U+${mark.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`,
  );
}
