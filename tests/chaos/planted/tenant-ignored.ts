/** Planted bug: devices of the same name are one, whoever owns them. */
import { forgetfulStore } from './forgetful-store.ts';

export const createStore = forgetfulStore(({ identity: { device, boot, seq } }, { index }) =>
  [device, boot, seq, index].join('/'),
);
