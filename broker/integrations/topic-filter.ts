/** Topic filters of MQTT 3.1.1, 4.7: what is one, and which topics it matches. Pure. */

/** A filter in its levels. */
export type Levels = readonly string[];

const MAX_LEVELS = 16;
const MAX_LENGTH = 512;

/** The levels of a filter, or `undefined` when it is none: `#` only as the last level, `+` only as a whole one. */
export function parseFilter(filter: string): Levels | undefined {
  const levels = filter.split('/');
  if (filter.length === 0 || filter.length > MAX_LENGTH || levels.length > MAX_LEVELS) return undefined;
  const isWell = (level: string, at: number): boolean =>
    level === '+' || (level === '#' && at === levels.length - 1) || !/[+#]/.test(level);
  return levels.every(isWell) ? levels : undefined;
}

/** Whether a publish may go to it: no wildcards, nothing that is not UTF-8. */
export function isTopicName(topic: string): boolean {
  return (
    topic.length > 0 &&
    topic.length <= MAX_LENGTH &&
    !/[+#\0\uFFFD]/.test(topic) &&
    topic.split('/').length <= MAX_LEVELS
  );
}

/** Topics that begin with `$` are for filters that begin so (4.7.2); here no filter begins with a wildcard anyway. */
export function matches(filter: Levels, topic: Levels): boolean {
  for (let at = 0; at < filter.length; at++) {
    const level = filter[at];
    // `a/#` matches `a` too.
    if (level === '#') return topic.length >= at;
    if (at >= topic.length || (level !== '+' && level !== topic[at])) return false;
  }
  return filter.length === topic.length;
}
