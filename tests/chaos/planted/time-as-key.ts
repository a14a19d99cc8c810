/** Planted bug: two samples of a device with the same time are one. */
import { forgetfulStore } from './forgetful-store.ts';

export const createStore = forgetfulStore(
  ({ identity: { tenant, device } }, { observedAt }) => `${tenant}/${device}/${observedAt}`,
);
