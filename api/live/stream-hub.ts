/**
 * Live events for browsers (server-sent events). Each client has a bounded buffer: one that reads too slowly loses
 * events, counted, and never slows down anybody else. The console reads the lists again after a reconnect.
 */
import { Readable } from 'node:stream';
import type { AlarmGroup, Silence, SilenceReport } from '../../contract/http/alarms.ts';
import type { StreamEvent, TicketSummary } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { clientIdOf, type DeviceRef } from '../../contract/kernel/ids.ts';
import type { Metrics } from '../../contract/ports/services.ts';
import type { TelemetryMessage } from '../../contract/wire/sample.ts';
import type { Episode } from '../desk/merge-alert.ts';

export interface StreamAudience {
  readonly tenant: string;
  /** Set: only tickets of this centre; no alert events, those of its tickets come as ticket events. */
  readonly centre: string | undefined;
  /** Only what concerns this device, and its live samples. */
  readonly device?: string | undefined;
}

export interface StreamRequest extends StreamAudience {
  /** Events after this one are sent first, as far as they are still kept. */
  readonly lastEventId?: string | undefined;
  /** Asked now and then; the stream ends when it says no. */
  readonly stillValid: () => Promise<boolean>;
}

export interface StreamHub {
  open(request: StreamRequest): Readable;
  ticketChanged(tenant: string, ticket: TicketSummary): void;
  /** `change`: what a person did; absent = analytics has news. */
  alertChanged(episode: Episode, change?: { readonly change: string; readonly assignee: string | null }): void;
  groupChanged(tenant: string, group: AlarmGroup): void;
  /** With `report` when it ended. */
  silenceChanged(tenant: string, silence: Silence, report?: SilenceReport): void;
  /** A version of the registry changed; for users of the whole tenant. */
  registryChanged(tenant: string, entry: Extract<StreamEvent, { kind: 'registry' }>['entry']): void;
  sampled(message: TelemetryMessage): void;
  /** Ends the streams that watch this device; whoever still may opens his again. */
  endWatchers(ref: DeviceRef): void;
  /** Ends all streams. */
  stop(): void;
}

export interface StreamOptions {
  /** Open streams of a tenant; 100. */
  readonly maxClientsPerTenant?: number;
  /** Unsent bytes of a client before events are dropped; 256 KiB. */
  readonly maxClientBytes?: number;
  /** A comment keeps proxies from closing an idle stream; 15 s. */
  readonly keepAliveMs?: number;
  /** Events kept for reconnecting clients; 1,000. */
  readonly maxKeptEvents?: number;
}

interface Client extends StreamRequest {
  readonly stream: Readable;
}

interface KeptEvent {
  readonly id: number;
  readonly text: string;
  readonly isFor: (audience: StreamAudience) => boolean;
}

/** Of one message; a batch of backlog is not live anyway. */
const MAX_SAMPLES_PER_MESSAGE = 20;
/** Credentials are checked again at every n-th keep-alive. */
const RECHECK_EVERY = 4;

const isWholeTenant = (to: StreamAudience, tenant: string) =>
  to.tenant === tenant && to.centre === undefined && to.device === undefined;

/** `epoch` tells event ids of this process from those of an earlier one. */
export function createStreamHub(epoch: string, metrics: Metrics, options: StreamOptions = {}): StreamHub {
  const maxClientBytes = options.maxClientBytes ?? 256 * 1024;
  const maxKept = options.maxKeptEvents ?? 1_000;
  const clients = new Set<Client>();
  /** clients that watch one device, by client id of the device */
  const watchers = new Map<string, Set<Client>>();
  const kept: KeptEvent[] = [];
  let lastId = 0;
  let beats = 0;
  let timer: NodeJS.Timeout | undefined;

  function send(client: Client, text: string): void {
    if (client.stream.readableLength > maxClientBytes) {
      metrics.count('presage_stream_dropped_total', 'Live events dropped because a client reads too slowly');
      return;
    }
    client.stream.push(text);
  }

  function publish(event: StreamEvent, isFor: (audience: StreamAudience) => boolean): void {
    lastId += 1;
    const text = `id: ${epoch}-${lastId}\nevent: ${event.kind}\ndata: ${JSON.stringify(event)}\n\n`;
    kept.push({ id: lastId, text, isFor });
    if (kept.length > maxKept) kept.shift();
    for (const client of clients) if (isFor(client)) send(client, text);
  }

  function replay(client: Client): void {
    const [of, id] = (client.lastEventId ?? '').split('-');
    if (of !== epoch) return;
    for (const event of kept) if (event.id > Number(id) && event.isFor(client)) send(client, event.text);
  }

  function beat(): void {
    beats += 1;
    for (const client of clients) {
      send(client, ': keep-alive\n\n');
      if (beats % RECHECK_EVERY === 0) void recheck(client);
    }
  }

  async function recheck(client: Client): Promise<void> {
    // A database that does not answer is no reason to cut people off; the next check decides.
    const valid = await client.stillValid().catch(() => true);
    if (!valid) client.stream.push(null);
  }

  function forget(client: Client): void {
    clients.delete(client);
    metrics.gauge('presage_stream_clients', 'Open live streams', clients.size);
    if (client.device === undefined) return;
    const key = clientIdOf({ tenant: client.tenant, device: client.device });
    const watching = watchers.get(key);
    watching?.delete(client);
    if (watching?.size === 0) watchers.delete(key);
  }

  return {
    open(request) {
      const ofTenant = [...clients].filter((client) => client.tenant === request.tenant).length;
      if (ofTenant >= (options.maxClientsPerTenant ?? 100)) {
        throw new AppError('RATE_LIMITED', 'your tenant has too many open streams');
      }
      const stream = new Readable({ read() {} });
      const client: Client = { ...request, stream };
      clients.add(client);
      metrics.gauge('presage_stream_clients', 'Open live streams', clients.size);
      if (request.device !== undefined) {
        const key = clientIdOf({ tenant: request.tenant, device: request.device });
        watchers.set(key, (watchers.get(key) ?? new Set()).add(client));
      }
      stream.once('close', () => forget(client));
      stream.push('retry: 3000\n\n');
      replay(client);
      timer ??= setInterval(beat, options.keepAliveMs ?? 15_000).unref();
      return stream;
    },
    ticketChanged(tenant, ticket) {
      publish(
        { kind: 'ticket', ticket },
        (to) =>
          to.tenant === tenant &&
          (to.centre === undefined || to.centre === ticket.centre) &&
          (to.device === undefined || to.device === ticket.device),
      );
    },
    alertChanged({ tenant, id, device, faultKey, severity, state }, by) {
      const change = by && { change: by.change, ...(by.assignee === null ? {} : { assignee: by.assignee }) };
      publish(
        { kind: 'alert', alert: { id, device, faultKey, severity, state, ...change } },
        (to) => to.tenant === tenant && to.centre === undefined && (to.device === undefined || to.device === device),
      );
    },
    registryChanged(tenant, entry) {
      publish(
        { kind: 'registry', entry },
        (to) => to.tenant === tenant && to.centre === undefined && to.device === undefined,
      );
    },
    groupChanged(tenant, group) {
      publish({ kind: 'group', group }, (to) => isWholeTenant(to, tenant));
    },
    silenceChanged(tenant, silence, report) {
      publish({ kind: 'silence', silence, ...(report ? { report } : {}) }, (to) => isWholeTenant(to, tenant));
    },
    sampled(message) {
      if (message.backfill) return;
      const watching = watchers.get(clientIdOf(message.identity));
      if (!watching) return;
      for (const sample of message.samples.slice(-MAX_SAMPLES_PER_MESSAGE)) {
        const event: StreamEvent = {
          kind: 'sample',
          device: message.identity.device,
          time: sample.observedAt,
          signals: { ...sample.signals },
        };
        // Without an id: samples are not sent again after a reconnect, the console reads the gap from the store.
        const text = `event: sample\ndata: ${JSON.stringify(event)}\n\n`;
        for (const client of watching) send(client, text);
      }
    },
    endWatchers(ref) {
      for (const client of watchers.get(clientIdOf(ref)) ?? []) client.stream.push(null);
    },
    stop() {
      clearInterval(timer);
      timer = undefined;
      for (const client of clients) client.stream.push(null);
    },
  };
}
