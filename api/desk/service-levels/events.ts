/** What happens to a ticket as far as its clocks are concerned: the events that they are folded from. */
import type { TicketState } from '../../../contract/http/resources.ts';

export type ServiceEvent = { readonly at: number } & (
  | { readonly kind: 'opened'; readonly preemptive: boolean }
  /** The customer wants what a preemptive ticket offers: the promises begin here. */
  | { readonly kind: 'accepted' }
  /** Somebody of the desk reached the customer. */
  | { readonly kind: 'answered' }
  /** The customer wrote or called: nothing waits for them any more. */
  | { readonly kind: 'customerWrote' }
  | { readonly kind: 'arrived' }
  | { readonly kind: 'followedUp' }
  /** @param durationMs promised for the repair */
  | { readonly kind: 'quoteAuthorised'; readonly durationMs: number }
  | { readonly kind: 'moved'; readonly to: TicketState }
);

export const CLOCK_IDS = [
  'offer',
  'firstResponse',
  'classification',
  'arrival',
  'resolution',
  'followUp',
  'quote',
] as const;
export type ClockId = (typeof CLOCK_IDS)[number];

export type ClockEffect = 'start' | 'stop' | 'cancel';

/**
 * What an event does to a clock; `undefined` when it is none of its business.
 * @param started whether the ticket's promises hold already: those of a preemptive one wait for the customer
 */
export function effectOn(clock: ClockId, event: ServiceEvent, started: boolean): ClockEffect | undefined {
  if (event.kind === 'moved' && event.to === 'cancelled') return 'cancel';
  switch (clock) {
    case 'offer':
      if (event.kind === 'opened') return event.preemptive ? 'start' : undefined;
      return event.kind === 'accepted' ? 'stop' : undefined;
    case 'firstResponse':
      if (begins(event, started)) return 'start';
      return event.kind === 'answered' || event.kind === 'arrived' ? 'stop' : undefined;
    case 'classification':
      if (begins(event, started)) return 'start';
      return event.kind === 'moved' && event.to !== 'new' ? 'stop' : undefined;
    case 'arrival':
      if (begins(event, started)) return 'start';
      return event.kind === 'arrived' || isMove(event, 'in_repair', 'resolved') ? 'stop' : undefined;
    case 'resolution':
      // A second cycle of its own: what was late the first time stays late, what was in time stays in time.
      if (begins(event, started) || isMove(event, 'reopened')) return 'start';
      return isMove(event, 'resolved') ? 'stop' : undefined;
    case 'followUp':
      if (isMove(event, 'resolved')) return 'start';
      if (isMove(event, 'reopened')) return 'cancel';
      return event.kind === 'followedUp' ? 'stop' : undefined;
    case 'quote':
      if (event.kind === 'quoteAuthorised') return 'start';
      return isMove(event, 'resolved') ? 'stop' : undefined;
  }
}

function begins(event: ServiceEvent, started: boolean): boolean {
  if (event.kind === 'opened') return !event.preemptive;
  return event.kind === 'accepted' && !started;
}

function isMove(event: ServiceEvent, ...states: readonly TicketState[]): boolean {
  return event.kind === 'moved' && states.includes(event.to);
}
