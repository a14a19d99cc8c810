/** What the demo asks the running server, over HTTP as any client would. */
import type { z } from 'zod';
import {
  type Alert,
  alert,
  page,
  type Ticket,
  type TicketSummary,
  ticket,
  ticketSummary,
} from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';

export interface ApiClient {
  alerts(): Promise<Alert[]>;
  tickets(): Promise<TicketSummary[]>;
  ticket(key: string): Promise<Ticket>;
}

export function createApiClient(baseUrl: string, token: string): ApiClient {
  async function get<Shape extends z.ZodType>(path: string, shape: Shape): Promise<z.output<Shape>> {
    const response = await fetch(new URL(path, baseUrl), { headers: { authorization: `Bearer ${token}` } });
    if (!response.ok) throw new AppError('INTERNAL', `${path}: ${response.status} ${await response.text()}`);
    return shape.parse(await response.json());
  }

  async function all<Item extends z.ZodType>(path: string, item: Item): Promise<z.output<Item>[]> {
    const items: z.output<Item>[] = [];
    let cursor: string | undefined;
    do {
      const query = new URLSearchParams({ limit: '500', ...(cursor ? { cursor } : {}) });
      const next = await get(`${path}?${query}`, page(item));
      items.push(...next.items);
      cursor = next.nextCursor;
    } while (cursor);
    return items;
  }

  return {
    alerts: () => all('/api/v1/alerts', alert),
    tickets: () => all('/api/v1/tickets', ticketSummary),
    ticket: (key) => get(`/api/v1/tickets/${encodeURIComponent(key)}`, ticket),
  };
}
