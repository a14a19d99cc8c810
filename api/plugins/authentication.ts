/** Finds out who is asking, before any route runs: bearer token, or the session cookie of the console. */
// Brings `request.cookies` into Fastify's types.
import type {} from '@fastify/cookie';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { AppError } from '../../contract/kernel/errors.ts';
import type { Accounts, Principal } from '../accounts/principal.ts';

export const SESSION_COOKIE = 'presage_session';
const MAX_CREDENTIAL_CHARS = 200;
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

declare module 'fastify' {
  interface FastifyRequest {
    /** `undefined` only on public routes. */
    principal: Principal | undefined;
  }
  interface FastifyContextConfig {
    /** Served without credentials. */
    public?: boolean;
  }
}

export function registerAuthentication(app: FastifyInstance, accounts: Accounts): void {
  app.decorateRequest('principal', undefined);
  app.addHook('onRequest', async (request) => {
    if (request.is404 || request.routeOptions.config.public) return;
    request.principal = await authenticate(request, accounts);
    if (!request.principal) throw new AppError('UNAUTHENTICATED');
  });
}

/** The principal of an authenticated route. */
export function principalOf(request: FastifyRequest): Principal {
  if (!request.principal) throw new AppError('UNAUTHENTICATED');
  return request.principal;
}

/** Again, for answers that last: whether the credentials are still good. */
export async function authenticate(request: FastifyRequest, accounts: Accounts): Promise<Principal | undefined> {
  const header = request.headers.authorization;
  if (header !== undefined) {
    const token = /^Bearer ([\x21-\x7e]+)$/i.exec(header)?.[1];
    return token && token.length <= MAX_CREDENTIAL_CHARS ? accounts.byToken(token) : undefined;
  }
  const cookie = request.cookies[SESSION_COOKIE];
  if (!cookie || cookie.length > MAX_CREDENTIAL_CHARS) return undefined;
  requireSameOrigin(request);
  return accounts.bySession(cookie);
}

/** SameSite=Strict keeps the cookie at home; a browser that ignores it still says where a request comes from. */
export function requireSameOrigin(request: FastifyRequest): void {
  const { origin } = request.headers;
  if (SAFE_METHODS.has(request.method) || origin === undefined) return;
  if (!URL.canParse(origin) || new URL(origin).host !== request.headers.host) {
    throw new AppError('FORBIDDEN', 'the request comes from another site');
  }
}
