/** What the demo asks the running server, over HTTP as any client would. */
import {
  type Alert,
  alert,
  type Ticket,
  type TicketSummary,
  ticket,
  ticketSummary,
} from '../../contract/http/resources.ts';
import { createApiClient } from '../api-client.ts';

export interface DemoClient {
  alerts(): Promise<Alert[]>;
  tickets(): Promise<TicketSummary[]>;
  ticket(key: string): Promise<Ticket>;
}

export function createDemoClient(api: string, token: string): DemoClient {
  const client = createApiClient({ api, token });
  return {
    alerts: () => client.all('/api/v1/alerts', alert),
    tickets: () => client.all('/api/v1/tickets', ticketSummary),
    ticket: (key) => client.send('GET', `/api/v1/tickets/${encodeURIComponent(key)}`, ticket),
  };
}
