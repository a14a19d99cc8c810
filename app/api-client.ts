/** The one HTTP client of our own commands: JSON in and out, pages joined, problems as errors of the catalogue. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { z } from 'zod';
import { page, problem } from '../contract/http/resources.ts';
import { AppError, ERRORS, type ErrorCode, errorText } from '../contract/kernel/errors.ts';

export interface ApiAccess {
  /** Address of the API, for example `http://127.0.0.1:8080`. */
  readonly api: string;
  readonly token: string;
}

export interface ApiClient {
  /** `body` is sent as JSON. @throws AppError with the code that the server gave, NOT_READY when it does not answer */
  send<Shape extends z.ZodType>(
    method: Method,
    path: string,
    shape: Shape,
    body?: object,
    headers?: Readonly<Record<string, string>>,
  ): Promise<z.output<Shape>>;
  /** All pages of a list. */
  all<Item extends z.ZodType>(path: string, item: Item): Promise<z.output<Item>[]>;
  /** The body as it arrives. */
  stream(path: string): Promise<ReadableStream<Uint8Array>>;
}

type Method = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';

/** For answers without a body (204). */
export const nothing = z.undefined();

/** Until the head of the answer; a stream may take longer to end. */
const ANSWER_TIMEOUT_MS = 30_000;
const PAGE_LIMIT = '500';

export function createApiClient({ api, token }: ApiAccess): ApiClient {
  return clientWith(api, { authorization: `Bearer ${token}` });
}

const LINK_PATTERN = /^#link=([A-Za-z0-9_-]{20,200})$/;

/**
 * A client of the user whom a sign-in link lets in; the link is used up. The session waits for `DELETE /api/v1/sessions`.
 * @throws AppError CONFIG_INVALID when it is no such link, UNAUTHENTICATED when it was used or is too old
 */
export async function signIn(link: string): Promise<ApiClient> {
  const url = URL.canParse(link) ? new URL(link) : undefined;
  const secret = LINK_PATTERN.exec(url?.hash ?? '')?.[1];
  if (!url || !secret) throw new AppError('CONFIG_INVALID', '--link must be a sign-in link: http://…/#link=…');
  const opened = await request(url.origin, 'POST', '/api/v1/sessions', {}, { link: secret });
  const cookie = opened.headers.getSetCookie()[0]?.split(';')[0];
  if (!cookie) throw new AppError('INTERNAL', `${url.origin} did not open a session`);
  return clientWith(url.origin, { cookie });
}

function clientWith(api: string, credentials: Readonly<Record<string, string>>): ApiClient {
  const client: ApiClient = {
    async send(method, path, shape, body, headers) {
      const answer = await request(api, method, path, { ...credentials, ...headers }, body);
      const content: unknown = answer.status === 204 ? undefined : await answer.json().catch(() => null);
      const checked = shape.safeParse(content);
      if (!checked.success) throw new AppError('INTERNAL', `${api} does not answer like Presage to ${method} ${path}`);
      return checked.data;
    },
    async all(path, item) {
      const items: z.output<typeof item>[] = [];
      let cursor: string | undefined;
      do {
        const query = new URLSearchParams({ limit: PAGE_LIMIT, ...(cursor ? { cursor } : {}) });
        const next = await client.send('GET', `${path}${path.includes('?') ? '&' : '?'}${query}`, page(item));
        items.push(...next.items);
        cursor = next.nextCursor;
      } while (cursor);
      return items;
    },
    async stream(path) {
      const { body } = await request(api, 'GET', path, credentials);
      if (!body) throw new AppError('INTERNAL', `${api} answered ${path} with nothing`);
      return body;
    },
  };
  return client;
}

async function request(
  api: string,
  method: Method,
  path: string,
  credentials: Readonly<Record<string, string>>,
  body?: object,
): Promise<Response> {
  const url = urlOf(api, path);
  let answer: Response;
  // Not AbortSignal.timeout: it would also cut a long export.
  const giveUp = new AbortController();
  const timer = setTimeout(() => giveUp.abort(new Error(`no answer in ${ANSWER_TIMEOUT_MS} ms`)), ANSWER_TIMEOUT_MS);
  try {
    answer = await fetch(url, {
      method,
      headers: {
        ...credentials,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      // What we prove ourselves with is for this address only.
      redirect: 'error',
      signal: giveUp.signal,
    });
  } catch (cause) {
    const reason = cause instanceof Error ? (cause.cause ?? cause) : cause;
    throw new AppError('NOT_READY', `${api} does not answer: ${errorText(reason)}`, { cause });
  } finally {
    clearTimeout(timer);
  }
  if (!answer.ok) throw await refusal(answer, `${method} ${url.pathname}`);
  return answer;
}

function urlOf(api: string, path: string): URL {
  const base = URL.canParse(api) ? new URL(api) : undefined;
  if (base?.protocol !== 'http:' && base?.protocol !== 'https:') {
    throw new AppError('CONFIG_INVALID', `--api must begin with http:// or https://, not "${api}"`);
  }
  return new URL(path, base);
}

async function refusal(answer: Response, what: string): Promise<AppError> {
  const text = await answer.text().catch(() => '');
  const said = problem.safeParse(jsonOf(text));
  if (!said.success) return new AppError('REQUEST_NOT_ALLOWED', `${what}: ${answer.status} ${text.slice(0, 200)}`);
  const { code, title, detail, errors } = said.data;
  const fields = errors?.map(({ path, message }) => `${path}: ${message}`).join('; ');
  const known: ErrorCode = code in ERRORS ? (code as ErrorCode) : 'REQUEST_NOT_ALLOWED';
  return new AppError(known, fields || (detail ?? title), { facts: { errors: errors ?? [] } });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // Not from us: a proxy, or another program.
  }
}

export interface ApiOptions {
  readonly api: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly json?: true;
}

/** Lets a command talk to a running server. */
export function withApiAccess(command: Command): Command {
  return command
    .option('--api <url>', 'address of the API', 'http://127.0.0.1:8080')
    .option('--token <token>', 'API token; other users of this machine may see it')
    .option('--token-file <file>', 'file with the API token')
    .option('--json', 'answer as JSON');
}

/** @throws AppError CONFIG_INVALID without a token, or when its file cannot be read */
export function apiClientFor(options: ApiOptions): ApiClient {
  return createApiClient({ api: options.api, token: options.token ?? tokenFrom(options.tokenFile) });
}

function tokenFrom(path: string | undefined): string {
  if (path === undefined) throw new AppError('CONFIG_INVALID', 'give --token TOKEN or --token-file FILE');
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', `--token-file ${path} cannot be read: ${errorText(cause)}`, { cause });
  }
}
