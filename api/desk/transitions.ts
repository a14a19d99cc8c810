/**
 * The life of a ticket as one table: what may follow what. Every change of state goes through here, by whatever door,
 * so a ticket can only be closed after a confirmed repair.
 */
import type { Role, TicketState } from '../../contract/http/resources.ts';

/**
 * `new → triaged → (remote_diagnosis) → scheduled → en_route → in_repair → (awaiting_parts | awaiting_customer) →
 * resolved → confirmed → closed`, with the ways back that a workshop needs.
 */
export const TRANSITIONS: Readonly<Record<TicketState, readonly TicketState[]>> = {
  new: ['triaged', 'cancelled'],
  triaged: ['remote_diagnosis', 'scheduled', 'awaiting_parts', 'awaiting_customer', 'cancelled'],
  // Solved remotely, or a visit is needed after all.
  remote_diagnosis: ['scheduled', 'awaiting_parts', 'awaiting_customer', 'resolved', 'cancelled'],
  // `in_repair` without a way: walk-in and mail-in.
  scheduled: ['en_route', 'in_repair', 'remote_diagnosis', 'awaiting_parts', 'awaiting_customer', 'cancelled'],
  // Nobody at home: a new date.
  en_route: ['in_repair', 'scheduled', 'awaiting_customer', 'cancelled'],
  in_repair: ['awaiting_parts', 'awaiting_customer', 'scheduled', 'resolved'],
  awaiting_parts: ['scheduled', 'in_repair', 'cancelled'],
  awaiting_customer: ['remote_diagnosis', 'scheduled', 'in_repair', 'cancelled'],
  resolved: ['confirmed', 'reopened'],
  confirmed: ['closed', 'reopened'],
  closed: ['reopened'],
  cancelled: [],
  reopened: ['triaged', 'remote_diagnosis', 'scheduled', 'cancelled'],
};

const TERMINAL: ReadonlySet<TicketState> = new Set<TicketState>(['closed', 'cancelled']);
const MAY_WORK_ON_TICKETS: ReadonlySet<Role> = new Set<Role>(['agent', 'engineer', 'manager', 'admin']);

/** Whether nothing more is expected to happen to the ticket: the component may get another one. */
export function isTerminal(state: TicketState): boolean {
  return TERMINAL.has(state);
}

export type TransitionDecision =
  | { readonly kind: 'allowed' }
  | { readonly kind: 'refused'; readonly reason: string; readonly allowed: readonly TicketState[] }
  | { readonly kind: 'forbidden'; readonly reason: string };

/**
 * Whether somebody with `role` may take a ticket from `from` to `to`.
 * @param hasOutcome whether it is known what was found: without that nobody learns from the ticket, so it is not closed
 */
export function decideTransition(
  from: TicketState,
  to: TicketState,
  role: Role,
  hasOutcome: boolean,
): TransitionDecision {
  if (!MAY_WORK_ON_TICKETS.has(role)) {
    return { kind: 'forbidden', reason: `a ${role} may read tickets, not change them` };
  }
  const allowed = TRANSITIONS[from];
  if (allowed.includes(to)) {
    if (to !== 'closed' || hasOutcome) return { kind: 'allowed' };
    return { kind: 'refused', reason: 'it can be closed once its outcome says what was found', allowed };
  }
  const next = allowed.length === 0 ? 'nothing' : allowed.join(', ');
  return { kind: 'refused', reason: `${from} cannot become ${to}; it can become ${next}`, allowed };
}
