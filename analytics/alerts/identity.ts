/** Ids of episodes and findings: the same evidence gives the same id after any restart, on any machine. */

/** Four lanes start apart, so that together they behave like one hash of 128 bit. */
const LANES = [0x811c9dc5, 0x9e3779b9, 0x85ebca6b, 0xc2b2ae35] as const;

/**
 * 128-bit hash of `parts` as 32 hex digits. Not for secrets. Parts are joined by a unit separator, which no id may hold.
 * @example stableId('a', 'b') === stableId('ab') // => false
 */
export function stableId(...parts: readonly (string | number)[]): string {
  const text = parts.join('\u001f');
  return LANES.map((start) => lane(text, start).toString(16).padStart(8, '0')).join('');
}

/** FNV-1a with another start, then Murmur's finaliser so that every bit of the text reaches every bit of the result. */
function lane(text: string, start: number): number {
  let hash = start;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i) ^ (hash >>> 15), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
