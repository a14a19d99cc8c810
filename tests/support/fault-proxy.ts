/** An HTTP proxy that does to requests what networks and busy servers do, and counts it. */
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A status = answered without asking the server; `resetBefore` = the connection breaks and the server hears nothing;
 * `resetAfter` = the server did it, its answer is lost; `half` = the answer breaks off; `silent` = nobody ever answers.
 */
export type Fault = number | 'resetBefore' | 'resetAfter' | 'half' | 'silent' | undefined;

export interface FaultProxy {
  readonly url: string;
  /** Decides what happens to a request; `undefined` passes it on. */
  fault: (request: { readonly path: string; readonly body: string }) => Fault;
  /** by fault */
  readonly counts: Map<string, number>;
  stop(): void;
}

/** @param target address of the real server */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const server = createServer((request, reply) => {
    handle(request, reply).catch(() => request.socket.destroy()); // The server or the client went away.
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const proxy: FaultProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fault: () => undefined,
    counts: new Map(),
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };

  async function handle(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    const body = await read(request);
    const fault = proxy.fault({ path: request.url ?? '', body: body.toString() });
    if (fault !== undefined) proxy.counts.set(String(fault), (proxy.counts.get(String(fault)) ?? 0) + 1);
    if (fault === 'silent') return;
    if (fault === 'resetBefore') {
      request.socket.destroy();
      return;
    }
    if (typeof fault === 'number') {
      reply.writeHead(fault, { 'content-type': 'application/json' }).end('{"error":"not now"}');
      return;
    }
    const answer = await forward(target, request, body);
    if (fault === 'resetAfter') {
      request.socket.destroy();
      return;
    }
    const { 'transfer-encoding': _, ...headers } = answer.headers;
    const length = fault === 'half' ? answer.body.length + 10 : answer.body.length;
    const status = fault === 'half' && answer.status === 204 ? 200 : answer.status; // A 204 has no body to break off.
    reply.writeHead(status, { ...headers, 'content-length': length });
    if (fault !== 'half') reply.end(answer.body);
    else reply.write(`${answer.body.subarray(0, answer.body.length / 2)} `, () => request.socket.destroy());
  }
  return proxy;
}

function forward(target: string, request: IncomingMessage, body: Buffer) {
  return new Promise<{ status: number; headers: IncomingMessage['headers']; body: Buffer }>((resolve, reject) => {
    const { method, headers } = request;
    const out = httpRequest(new URL(request.url ?? '/', target), { method, headers }, (answer) => {
      read(answer).then(
        (read) => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: read }),
        reject,
      );
    });
    out.on('error', reject);
    out.end(body);
  });
}

async function read(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
