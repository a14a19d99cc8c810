/**
 * A small HTTP proxy before InfluxDB that can be told to misbehave: not there, slow, answering with a status, or refusing
 * one line in ten as InfluxDB refuses a line (400, while the rest of the batch is stored).
 */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { fnv1a } from '../../contract/kernel/ids.ts';

export const PROXY_MODES = ['pass', 'away', 'slow', 'status401', 'status429', 'refuseTenth'] as const;
export type ProxyMode = (typeof PROXY_MODES)[number];

export interface InfluxProxy {
  readonly url: string;
  set(mode: ProxyMode): void;
  stop(): Promise<void>;
}

const SLOW_MS = 2_000;
/** Hop-by-hop, or wrong once the body was rewritten. */
const DROPPED_HEADERS = new Set(['host', 'content-length', 'content-encoding', 'transfer-encoding', 'connection']);

export async function startInfluxProxy(target: string): Promise<InfluxProxy> {
  let mode: ProxyMode = 'pass';
  const sockets = new Set<Socket>();

  const server = createServer((incoming, reply) => {
    handle(incoming, reply).catch(() => reply.destroy());
  });
  server.on('connection', (socket) => {
    if (mode === 'away') return void socket.destroy();
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });

  async function handle(incoming: IncomingMessage, reply: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const raw = Buffer.concat(chunks);
    const body = incoming.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw;
    if (mode === 'away') return void reply.destroy();
    if (mode === 'slow') await new Promise((resolve) => setTimeout(resolve, SLOW_MS));
    if (mode === 'status401') return void reply.writeHead(401).end('{"error":"authorization failed"}');
    if (mode === 'status429') return void reply.writeHead(429, { 'retry-after': '1' }).end('{"error":"too many"}');
    const isWrite = incoming.url?.includes('/write') ?? false;
    if (mode !== 'refuseTenth' || !isWrite) return forward(incoming, body, reply);
    const lines = splitLines(body.toString());
    const kept = lines.filter((line) => fnv1a(line) % 10 !== 0);
    if (kept.length === lines.length) return forward(incoming, body, reply);
    if (kept.length > 0 && !(await stores(incoming, kept.join('\n')))) return void reply.destroy();
    reply.writeHead(400).end('{"error":"partial write: refused on purpose dropped=1"}');
  }

  function forward(incoming: IncomingMessage, body: Buffer, reply: ServerResponse): void {
    const outgoing = request(new URL(incoming.url ?? '/', target), options(incoming), (answer) => {
      reply.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(reply);
    });
    outgoing.on('error', () => reply.destroy());
    outgoing.end(body);
  }

  async function stores(incoming: IncomingMessage, lines: string): Promise<boolean> {
    const { headers } = options(incoming);
    const answer = await fetch(new URL(incoming.url ?? '/', target), { method: 'POST', headers, body: lines });
    await answer.arrayBuffer();
    return answer.ok;
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    set(next) {
      mode = next;
      if (mode === 'away') for (const socket of sockets) socket.destroy();
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function options(incoming: IncomingMessage): { method: string; headers: Record<string, string> } {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (typeof value === 'string' && !DROPPED_HEADERS.has(name)) headers[name] = value;
  }
  return { method: incoming.method ?? 'GET', headers };
}

/** Lines of the line protocol; a quoted text may hold a newline. */
function splitLines(body: string): string[] {
  const lines: string[] = [];
  let start = 0;
  let quoted = false;
  for (let at = 0; at < body.length; at++) {
    if (body[at] === '\\') at++;
    else if (body[at] === '"') quoted = !quoted;
    else if (body[at] === '\n' && !quoted) {
      lines.push(body.slice(start, at));
      start = at + 1;
    }
  }
  lines.push(body.slice(start));
  return lines.filter(Boolean);
}
