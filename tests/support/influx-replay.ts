/** Plays back what InfluxDB 2.x and 3.x answer: tests/fixtures/influx. It checks that what it is asked is what was asked there. */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';

const exchange = z.strictObject({
  /** Where the answer can be seen. */
  source: z.string().includes('https://'),
  /** The body was put together from what the source says. */
  made: z.literal(true).optional(),
  request: z.strictObject({
    method: z.enum(['GET', 'POST']),
    path: z.string().startsWith('/'),
    query: z.record(z.string(), z.string()).optional(),
    authorization: z.string().optional(),
  }),
  reply: z.strictObject({
    status: z.number().int(),
    headers: z.record(z.string(), z.string()),
    body: z.union([z.string(), z.record(z.string(), z.unknown())]),
  }),
});
const fixture = z.strictObject({ product: z.string(), exchanges: z.record(z.string(), exchange) });

export type Exchange = z.infer<typeof exchange>;
export type Exchanges = Readonly<Record<string, Exchange>>;

export function readExchanges(version: 'v2' | 'v3'): Exchanges {
  const path = new URL(`../fixtures/influx/${version}.json`, import.meta.url);
  return fixture.parse(JSON.parse(readFileSync(path, 'utf8'))).exchanges;
}

export interface AskedOf {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly authorization: string;
  readonly body: string;
}

/** @param choose the name of the exchange that answers a request */
export async function startReplay(exchanges: Exchanges, choose: (asked: AskedOf) => string) {
  const asked: AskedOf[] = [];
  /** Requests that are not those of the exchange that was chosen for them. */
  const unlike: string[] = [];
  const server = createServer((request, response) => {
    void readAsked(request).then((one) => {
      asked.push(one);
      const name = choose(one);
      const found = exchanges[name];
      const difference = found ? differenceOf(one, found.request) : 'no such exchange';
      if (!found || difference) {
        unlike.push(`${one.method} ${one.path} is not ${name}: ${difference}`);
        response.writeHead(599).end();
        return;
      }
      const { status, headers, body } = found.reply;
      response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    unlike,
    stop(): void {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function readAsked(request: IncomingMessage): Promise<AskedOf> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk;
  const { method = '', headers } = request;
  const query = Object.fromEntries(searchParams);
  return { method, path: pathname, query, authorization: headers.authorization ?? '', body };
}

function differenceOf(asked: AskedOf, expected: Exchange['request']): string | undefined {
  if (asked.method !== expected.method) return `method ${asked.method}`;
  if (asked.path !== expected.path) return `path ${asked.path}`;
  if (expected.authorization !== undefined && asked.authorization !== expected.authorization) return 'authorization';
  const wrong = Object.entries(expected.query ?? {}).find(([name, value]) => asked.query[name] !== value);
  return wrong && `${wrong[0]}=${asked.query[wrong[0]]}`;
}
