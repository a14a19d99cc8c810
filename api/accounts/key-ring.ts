/**
 * Keys as the API sees them: one is current, older ones stay good until nothing needs them any more. Where they are kept
 * and how they are renewed is the caller's affair.
 */

export interface ServerKey {
  /** 1 for the first, one more for each rotation. Stands beside whatever was made with the key. */
  readonly version: number;
  /** 32 random bytes. */
  readonly bytes: Buffer;
}

export interface KeyRing {
  /** Everything new is made with it. Asked for at each use, because a rotation may come at any time. */
  current(): ServerKey;
  /** An older one, while it is kept. */
  find(version: number): ServerKey | undefined;
}

/** A ring of one key that never changes. */
export function singleKey(bytes: Buffer): KeyRing {
  const only: ServerKey = { version: 1, bytes };
  return { current: () => only, find: (version) => (version === 1 ? only : undefined) };
}
