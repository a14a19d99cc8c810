/** Tokens and users over HTTP: shown once, never above oneself, narrowed by scope, and over when they are revoked. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiToken, ApiTokenCreated, Problem, User } from '../../contract/http/resources.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import { type ApiHarness, startHarness, T0, testSeed, token } from '../support/api-harness.ts';
import { manualClock } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';

const clock = manualClock(T0);
const admin = { user: 'anna' };
const manager = { user: 'mara' };
const southManager = { user: 'stan' };
const foreigner = { tenant: 'globex', user: 'anna' };

describeOnDatabases('tokens and users', clock, (database) => {
  let harness: ApiHarness;
  beforeAll(async () => {
    const seed = testSeed((all) => {
      all.tenants[0]?.users.push(
        { id: 'mara', role: 'manager', tokens: [token('acme', 'mara')] },
        { id: 'otto', role: 'manager', tokens: [] },
        { id: 'sue', role: 'agent', centre: 'south', tokens: [] },
      );
    });
    harness = await startHarness(database(), clock, { seed });
  });
  afterAll(() => harness?.api.stop());

  type As = Parameters<ApiHarness['request']>[0];
  const make = async (as: As, body: object) => {
    const answer = await harness.request(as, 'POST', '/api/v1/tokens', { body });
    return { status: answer.status, made: answer.body as ApiTokenCreated, problem: answer.body as Problem };
  };
  const withToken = (secret: string, method: 'GET' | 'POST', url: string, body?: object) =>
    harness.request(undefined, method, url, { body, headers: { authorization: `Bearer ${secret}` } });
  const list = async (as: As, query = '') =>
    ((await harness.request(as, 'GET', `/api/v1/tokens${query}`)).body as { items: ApiToken[] }).items;

  describe('tokens', () => {
    it('are shown once, work, and appear in the list without their text', async () => {
      const { status, made } = await make(manager, { label: 'ci', days: 30 });
      expect(status).toBe(201);
      expect(made).toMatchObject({
        user: 'mara',
        label: 'ci',
        createdBy: 'mara',
        expiresAt: clock.now() + 30 * DAY_MS,
      });
      expect(made.token).toMatch(/^psg_[A-Za-z0-9_-]{43}$/);
      expect((await withToken(made.token, 'GET', '/api/v1/me')).body).toMatchObject({ user: 'mara' });
      const listed = (await list(manager)).find((one) => one.id === made.id);
      expect(listed).toMatchObject({ label: 'ci', lastUsedAt: clock.now() });
      expect(JSON.stringify(await list(manager))).not.toContain(made.token);
    });

    it('end when they are revoked, and by themselves', async () => {
      const { made } = await make(admin, { user: 'vera', label: 'short', days: 1 });
      const other = (await make(admin, { user: 'vera', label: 'long' })).made;
      expect((await harness.request(admin, 'DELETE', `/api/v1/tokens/${other.id}`)).status).toBe(204);
      expect((await harness.request(admin, 'DELETE', `/api/v1/tokens/${other.id}`)).status).toBe(204);
      expect((await withToken(other.token, 'GET', '/api/v1/me')).status).toBe(401);
      expect((await withToken(made.token, 'GET', '/api/v1/me')).status).toBe(200);
      clock.advance(DAY_MS);
      expect((await withToken(made.token, 'GET', '/api/v1/me')).status).toBe(401);
    });

    it('are narrowed by their scope', async () => {
      const device = { id: 'scoped-1', model: 'refrigerator' };
      const read = (await make(admin, { label: 'r', scope: 'read' })).made;
      const devices = (await make(admin, { label: 'd', scope: 'devices' })).made;
      expect((await withToken(read.token, 'GET', '/api/v1/devices')).status).toBe(200);
      const refused = await withToken(read.token, 'POST', '/api/v1/devices', device);
      expect([refused.status, (refused.body as Problem).detail]).toEqual([403, 'this token has the scope read only']);
      expect((await withToken(devices.token, 'POST', '/api/v1/devices', device)).status).toBe(201);
      for (const { token: narrow } of [read, devices]) {
        expect((await withToken(narrow, 'POST', '/api/v1/tokens', { label: 'wider' })).status).toBe(403);
        expect((await withToken(narrow, 'GET', '/api/v1/users')).status).toBe(403);
      }
      expect((await withToken(read.token, 'GET', '/api/v1/me')).body).toMatchObject({ scope: 'read' });
    });

    it.each([
      ['a viewer', { user: 'vera' }, {}, 403],
      ['a manager for a user below', manager, { user: 'alan' }, 201],
      ['a manager for an admin', manager, { user: 'anna' }, 403],
      ['a manager for another manager', manager, { user: 'otto' }, 403],
      ['an admin for a manager', admin, { user: 'otto' }, 201],
      ['a manager of a centre for a user of his centre', southManager, { user: 'sue' }, 201],
      ['a manager of a centre for a user of another', southManager, { user: 'nora' }, 404],
      ['anybody for a user of another tenant', foreigner, { user: 'mara' }, 404],
      ['anybody for nobody', admin, { user: 'nobody' }, 404],
    ])('made by %s are decided by rank', async (_, as, more, status) => {
      expect((await make(as, { label: 'x', ...more })).status).toBe(status);
    });

    it('of another tenant or centre look absent', async () => {
      const { made } = await make(admin, { label: 'mine' });
      for (const as of [foreigner, southManager]) {
        expect((await harness.request(as, 'DELETE', `/api/v1/tokens/${made.id}`)).status).toBe(404);
        expect((await list(as)).map((one) => one.id)).not.toContain(made.id);
      }
      expect((await harness.request(manager, 'DELETE', `/api/v1/tokens/${made.id}`)).status).toBe(403);
    });

    it('are listed in pages, newest first, of one user where asked', async () => {
      const first = await harness.request(admin, 'GET', '/api/v1/tokens?limit=2');
      const { items, nextCursor } = first.body as { items: ApiToken[]; nextCursor: string };
      const rest = await list(admin, `?limit=500&cursor=${nextCursor}`);
      const all = await list(admin, '?limit=500');
      expect([...items, ...rest]).toEqual(all);
      expect((await list(admin, '?user=sue')).every((one) => one.user === 'sue')).toBe(true);
    });
  });

  describe('users', () => {
    const change = (id: string, body: object, as: As = admin) =>
      harness.request(as, 'PATCH', `/api/v1/users/${id}`, { body });

    it('are added, listed and let in by a link that works once', async () => {
      const body = { id: 'nils@acme.example', role: 'agent', centre: 'north' };
      expect((await harness.request(admin, 'POST', '/api/v1/users', { body })).status).toBe(201);
      expect((await harness.request(admin, 'POST', '/api/v1/users', { body })).status).toBe(409);
      const { items } = (await harness.request(admin, 'GET', '/api/v1/users')).body as { items: User[] };
      expect(items).toContainEqual({ ...body, disabled: false, createdAt: clock.now() });
      const path = '/api/v1/users/nils@acme.example/sign-in-links';
      const { url } = (await harness.request(admin, 'POST', path)).body as { url: string };
      const link = url.split('#link=')[1];
      const signIn = () => harness.request(undefined, 'POST', '/api/v1/sessions', { body: { link } });
      expect((await signIn()).body).toEqual({ tenant: 'acme', user: body.id, role: 'agent', centre: 'north' });
      expect((await signIn()).status).toBe(401);
    });

    it('come in no more once disabled, by token or session', async () => {
      const { made } = await make(admin, { user: 'alan', label: 'x' });
      const path = '/api/v1/users/alan/sign-in-links';
      const { url } = (await harness.request(admin, 'POST', path)).body as { url: string };
      const body = { link: url.split('#link=')[1] };
      const session = await harness.request(undefined, 'POST', '/api/v1/sessions', { body });
      const cookie = String(session.headers['set-cookie']).split(';')[0] ?? '';
      const me = () => harness.request(undefined, 'GET', '/api/v1/me', { headers: { cookie } });
      expect((await me()).status).toBe(200);
      expect((await change('alan', { disabled: true })).body).toMatchObject({ disabled: true });
      expect([(await me()).status, (await withToken(made.token, 'GET', '/api/v1/me')).status]).toEqual([401, 401]);
      expect((await harness.request(admin, 'POST', path)).status).toBe(409);
      await change('alan', { disabled: false });
      expect([(await me()).status, (await withToken(made.token, 'GET', '/api/v1/me')).status]).toEqual([401, 200]);
    });

    it('change role and centre at once', async () => {
      expect((await change('vera', { role: 'agent', centre: 'north' })).body).toMatchObject({
        role: 'agent',
        centre: 'north',
      });
      expect((await harness.request({ user: 'vera' }, 'GET', '/api/v1/me')).body).toMatchObject({ centre: 'north' });
      expect((await change('vera', { role: 'viewer', centre: null })).body).not.toHaveProperty('centre');
      expect((await change('vera', { centre: 'nowhere' })).status).toBe(400);
      expect((await change('nobody', { role: 'viewer' })).status).toBe(404);
    });

    it('never leave a tenant without an administrator', async () => {
      for (const body of [{ disabled: true }, { role: 'manager' }, { centre: 'north' }]) {
        expect((await change('anna', body)).status).toBe(409);
      }
      expect((await change('otto', { role: 'admin' })).status).toBe(200);
      expect((await change('anna', { role: 'manager' }, admin)).status).toBe(200);
      expect((await change('anna', { role: 'admin' }, admin)).status).toBe(403);
    });

    it('are for administrators of the whole tenant only', async () => {
      expect((await harness.request(manager, 'GET', '/api/v1/users')).status).toBe(403);
      expect((await change('vera', { role: 'admin' }, foreigner)).status).toBe(200); // His own vera.
      const own = await harness.request({ user: 'vera' }, 'GET', '/api/v1/me');
      expect(own.body).toMatchObject({ role: 'viewer' });
    });
  });
});
