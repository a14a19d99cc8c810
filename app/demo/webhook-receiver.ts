/** The demo's stand-in for a service centre's own system: receives the signed webhooks and checks each signature. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { Webhook } from 'standardwebhooks';
import { type WebhookBody, webhookBody } from '../../contract/http/resources.ts';
import { errorText } from '../../contract/kernel/errors.ts';

const MAX_BODY_BYTES = 1024 * 1024;

export interface WebhookReceiver {
  readonly url: string;
  /** Bodies with a valid signature, one for each webhook id. */
  received(): readonly WebhookBody[];
  refused(): number;
  close(): Promise<void>;
}

/** Listens on a free loopback port. `secret` starts with `whsec_`. */
export async function startWebhookReceiver(secret: string): Promise<WebhookReceiver> {
  const webhook = new Webhook(secret);
  /** by webhook id: a delivery may come more than once */
  const bodies = new Map<string, WebhookBody>();
  let refused = 0;
  const server = createServer(async (request, response) => {
    try {
      const text = await readBody(request);
      const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
      bodies.set(headers['webhook-id'] ?? '', webhookBody.parse(webhook.verify(text, headers)));
      response.writeHead(204).end();
    } catch (error) {
      refused += 1;
      response.writeHead(400).end(errorText(error));
    }
  });
  return {
    url: await listen(server),
    received: () => [...bodies.values()],
    refused: () => refused,
    close: () => close(server),
  };
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new Error('body too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the receiver has no port');
  return `http://127.0.0.1:${address.port}/tickets`;
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
}
