/** A store that takes too little for the identity of a sample, before any of the real ones: the first of a kind stays. */
import { createStore as createRealStore } from '../../../app/store.ts';
import type { TelemetryMessage } from '../../../contract/wire/sample.ts';
import { instead } from './instead.ts';

type CreateStore = typeof createRealStore;
export type KeyOf = (message: TelemetryMessage, sample: TelemetryMessage['samples'][number]) => string;

export function forgetfulStore(keyOf: KeyOf): CreateStore {
  return (...arguments_) => {
    const real = createRealStore(...arguments_);
    /** by key, the whole identity that came first with it */
    const first = new Map<string, string>();
    const isFirst: (...of: Parameters<KeyOf>) => boolean = (message, sample) => {
      const { tenant, device, boot, seq } = message.identity;
      const key = keyOf(message, sample);
      const whole = [tenant, device, boot, seq, sample.index].join('/');
      if (!first.has(key)) first.set(key, whole);
      return first.get(key) === whole;
    };
    const write: typeof real.write = (messages, position) =>
      real.write(
        messages.map((message) => ({
          ...message,
          samples: message.samples.filter((sample) => isFirst(message, sample)),
        })),
        position,
      );
    // Without `takeFrom`, whoever follows the log decodes, and calls `write`.
    return instead(real, { write, takeFrom: undefined });
  };
}
