/** Signing in with a one-time owner link, signing out, and who am I. */
import { z } from 'zod';
import { ROLES, TOKEN_SCOPES } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { SECOND_MS } from '../../contract/kernel/time.ts';
import { createFailedTries } from '../accounts/failed-tries.ts';
import { type Principal, SESSION_LIFE_MS } from '../accounts/principal.ts';
import { principalOf, requireSameOrigin, SESSION_COOKIE } from '../plugins/authentication.ts';
import { type App, answers, type RouteContext } from './context.ts';

const me = z.object({
  tenant: z.string(),
  user: z.string(),
  role: z.enum(ROLES),
  centre: z.string().optional(),
  scope: z.enum(TOKEN_SCOPES).optional(),
});
const linkBody = z.strictObject({ link: z.string().min(20).max(200) });
/** Tries of a link from one address, good and bad. */
const TRIES_PER_MINUTE = 10;

export function registerSessions(app: App, { accounts, secureCookies, clock, metrics }: RouteContext): void {
  const tries = createFailedTries();
  const cookie = () => ({ path: '/', httpOnly: true, sameSite: 'strict' as const, secure: secureCookies() });

  app.post(
    '/api/v1/sessions',
    {
      config: { public: true, rateLimit: { max: TRIES_PER_MINUTE, timeWindow: '1 minute' } },
      schema: { tags: ['accounts'], body: linkBody, response: answers({ 201: me }) },
    },
    async (request, reply) => {
      requireSameOrigin(request);
      const waitMs = tries.waitMs(request.ip, clock.now());
      if (waitMs > 0) {
        reply.header('retry-after', Math.ceil(waitMs / SECOND_MS));
        throw new AppError('RATE_LIMITED', 'too many links from this address were wrong');
      }
      const opened = await accounts.openSession(request.body.link);
      if (!opened) {
        tries.failed(request.ip, clock.now());
        metrics.count('presage_sign_in_failures_total', 'Sign-in links that were wrong, used or too old');
        throw new AppError('UNAUTHENTICATED', 'the link was used before, is too old, or is not one of ours');
      }
      reply.setCookie(SESSION_COOKIE, opened.secret, { ...cookie(), maxAge: SESSION_LIFE_MS / SECOND_MS });
      return reply.code(201).send(meOf(opened.principal));
    },
  );

  app.delete(
    '/api/v1/sessions',
    { schema: { tags: ['accounts'], response: answers({ 204: z.void() }) } },
    async (request, reply) => {
      const secret = request.cookies[SESSION_COOKIE];
      if (secret && principalOf(request).via === 'session') await accounts.closeSession(secret);
      reply.clearCookie(SESSION_COOKIE, cookie());
      return reply.code(204).send();
    },
  );

  app.get('/api/v1/me', { schema: { tags: ['accounts'], response: answers({ 200: me }) } }, async (request) =>
    meOf(principalOf(request)),
  );
}

function meOf({ tenant, user, role, centre, scope }: Principal): z.infer<typeof me> {
  return { tenant, user, role, ...(centre === undefined ? {} : { centre }), ...(scope === undefined ? {} : { scope }) };
}
