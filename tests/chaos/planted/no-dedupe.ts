/** Planted bug: every copy of a message is taken for a new one. */
import type { accept as realAccept } from '../../../ingest/accept.ts';

export type { Acceptance } from '../../../ingest/accept.ts';

export const accept: typeof realAccept = () => ({ kind: 'accepted' });
