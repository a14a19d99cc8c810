/** Whether a rule, or an exception in it, is about a device. */
import type { Scope } from './ast.ts';

/** The device that a rule is compiled for. */
export interface RuleTarget {
  readonly device: string;
  readonly model: string;
  readonly firmware: string | undefined;
}

export function isAbout({ models, devices, firmwares }: Scope, { device, model, firmware }: RuleTarget): boolean {
  const has = (names: Scope['models'], value: string): boolean =>
    names.length === 0 || names.some(({ name }) => name === value);
  if (!has(models, model) || !has(devices, device)) return false;
  return (
    firmwares.length === 0 || (firmware !== undefined && firmwares.some(({ name }) => fitsPattern(firmware, name)))
  );
}

/** `*` stands for any characters. Linear: the last star takes back what the text after it needs. */
export function fitsPattern(text: string, pattern: string): boolean {
  let t = 0;
  let p = 0;
  let star = -1;
  let mark = 0;
  while (t < text.length) {
    if (p < pattern.length && pattern[p] === '*') {
      star = p++;
      mark = t;
    } else if (p < pattern.length && pattern[p] === text[t]) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++mark;
    } else return false;
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}
