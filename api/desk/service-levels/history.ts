/** A ticket's recorded history as the events that its clocks are folded from. */
import { z } from 'zod';
import type { TicketState } from '../../../contract/http/resources.ts';
import type { ServiceEvent } from './events.ts';

export interface RecordedEvent {
  readonly at: number;
  readonly type: string;
  readonly to: TicketState | null;
  readonly facts: Readonly<Record<string, unknown>> | null;
}

/** A visit that is agreed upon says that the customer wants it. */
const ACCEPTED_BY_NOW: ReadonlySet<TicketState> = new Set<TicketState>(['scheduled', 'en_route', 'in_repair']);
const CONTACTS = ['accepted', 'answered', 'customerWrote', 'arrived', 'followedUp'] as const;
const quote = z.object({ durationMs: z.number().positive() });

/** @param history in the order in which it was written */
export function serviceEventsOf(history: readonly RecordedEvent[], preemptive: boolean): readonly ServiceEvent[] {
  const events: ServiceEvent[] = [];
  let accepted = !preemptive;
  for (const { at, type, to, facts } of history) {
    if (type === 'opened') events.push({ at, kind: 'opened', preemptive });
    if (type === 'accepted') accepted = true;
    if (type === 'transition' && to !== null) {
      if (!accepted && ACCEPTED_BY_NOW.has(to)) {
        accepted = true;
        events.push({ at, kind: 'accepted' });
      }
      events.push({ at, kind: 'moved', to });
    }
    if (type === 'quoteAuthorised') events.push({ at, kind: 'quoteAuthorised', ...quote.parse(facts) });
    const contact = CONTACTS.find((kind) => kind === type);
    if (contact) events.push({ at, kind: contact });
  }
  return events;
}
