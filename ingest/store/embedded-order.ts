/**
 * Total order of a device's samples in SQL, equal to the nanoseconds of `timestampNs`: floating-point sums depend on the
 * order of their terms, and both stores must give the same ones.
 */

/** 32-bit FNV-1a of `boot` modulo 2,000, as `fnv1a` gives it for ids, which are ASCII. */
const BOOT_SLOT = `list_reduce(
  list_prepend(2166136261::BIGINT, list_transform(string_split(boot, ''), lambda c: ord(c)::BIGINT)),
  lambda h, c: (xor(h, c) * 16777619) % 4294967296) % 2000`;

/** CTE `boots` (boot, slot) for the rows of a condition; computed once a boot, not once a row. */
export function bootSlots(table: string, condition: string): string {
  return `boots AS MATERIALIZED
    (SELECT boot, ${BOOT_SLOT} AS slot FROM (SELECT DISTINCT boot FROM ${table} WHERE ${condition}))`;
}

/** Place of a row that is joined with `boots`. */
export const PLACE = 'floor(observed_at)::BIGINT * 1000000 + ((seq % 2000 + slot) % 2000) * 500 + idx';
