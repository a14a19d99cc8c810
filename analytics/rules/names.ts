/** The name that somebody probably meant. */

/** Longer names are not compared letter by letter. */
const MAX_CHARS = 64;

/**
 * The candidate that is closest to `word`, or `undefined` when none is close: at most a third of the letters differ, or one
 * begins with the other.
 * @example nearestName('compresorCurrent', ['compressorCurrentA', 'doorOpen']) // => 'compressorCurrentA'
 */
export function nearestName(word: string, candidates: Iterable<string>): string | undefined {
  const wanted = word.slice(0, MAX_CHARS).toLowerCase();
  let best: string | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const other = candidate.slice(0, MAX_CHARS).toLowerCase();
    const starts = wanted.length >= 3 && (other.startsWith(wanted) || wanted.startsWith(other));
    const distance = starts ? Math.abs(other.length - wanted.length) / 8 : lettersBetween(wanted, other);
    if (distance > Math.max(1, Math.ceil(Math.max(wanted.length, other.length) / 3))) continue;
    if (distance < least || (distance === least && best !== undefined && candidate < best)) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

/** Letters to add, drop, change or swap with their neighbour (Damerau 1964, each place touched once). */
function lettersBetween(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (above[j - 1] as number) + Number(a[i - 1] !== b[j - 1]);
      let least = Math.min(change, (above[j] as number) + 1, (row[j - 1] as number) + 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) least = Math.min(least, (before[j - 2] as number) + 1);
      row.push(least);
    }
    before = above;
    above = row;
  }
  return above[b.length] as number;
}
