/** How far two versions agree about the same samples: an alert of one meets one of the other about the same fault and time. */

export interface RaisedAlert {
  readonly device: string;
  readonly faultKey: string;
  readonly onset: number;
  /** `null` = open. */
  readonly clearedAt: number | null;
}

export interface Agreement {
  readonly both: number;
  readonly onlyShadow: number;
  readonly onlyActive: number;
  /** Of all alerts of either those that both raised; `undefined` when neither raised any. */
  readonly share: number | undefined;
}

/** Each alert meets one at most, the earliest first. */
export function agreementOf(shadow: readonly RaisedAlert[], active: readonly RaisedAlert[]): Agreement {
  /** by device and fault key, by onset */
  const open = new Map<string, RaisedAlert[]>();
  for (const one of [...active].sort(byOnset)) open.set(keyOf(one), [...(open.get(keyOf(one)) ?? []), one]);
  let both = 0;
  for (const one of [...shadow].sort(byOnset)) {
    const others = open.get(keyOf(one)) ?? [];
    const met = others.findIndex((other) => overlap(one, other));
    if (met < 0) continue;
    others.splice(met, 1);
    both++;
  }
  const all = shadow.length + active.length - both;
  return {
    both,
    onlyShadow: shadow.length - both,
    onlyActive: active.length - both,
    share: all === 0 ? undefined : both / all,
  };
}

const byOnset = (a: RaisedAlert, b: RaisedAlert): number => a.onset - b.onset;
const keyOf = ({ device, faultKey }: RaisedAlert): string => `${device}\n${faultKey}`;

function overlap(a: RaisedAlert, b: RaisedAlert): boolean {
  return a.onset <= (b.clearedAt ?? Number.POSITIVE_INFINITY) && b.onset <= (a.clearedAt ?? Number.POSITIVE_INFINITY);
}
