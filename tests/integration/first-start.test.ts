/** A new installation as its owner meets it: no seed, one command, one link, a first device. */
import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { deviceCreated } from '../../contract/http/resources.ts';
import { type PresageProcess, startPresage } from '../support/presage-process.ts';
import { waitFor } from '../support/wait-for.ts';

const ownerLine = z.object({
  event: z.literal('ownerLink'),
  tenant: z.literal('default'),
  user: z.literal('owner'),
  url: z.url(),
});

describe('the first start without a seed', () => {
  let presage: PresageProcess;
  let cookie = '';
  beforeAll(async () => {
    presage = await startPresage({});
  });
  afterAll(() => presage?.dispose());

  const printedLink = async (): Promise<string> => {
    const line = await waitFor('the owner line', () => presage.output()[0]);
    const { url } = ownerLine.parse(JSON.parse(line));
    expect(url.startsWith(`${presage.api}/#link=`)).toBe(true);
    return url;
  };
  const signIn = (url: string) =>
    fetch(`${presage.api}/api/v1/sessions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ link: url.split('#link=')[1] }),
    });

  it('prints a link for people and for programs', async () => {
    const url = await printedLink();
    await waitFor('the words on stderr', () => presage.log().includes(url));
  });

  it('prints another one after a restart, and the older one is over', async () => {
    const older = await printedLink();
    await presage.stop();
    await presage.restart();
    expect(await printedLink()).not.toBe(older);
    expect((await signIn(older)).status).toBe(401);
  });

  it('lets the owner in once, as administrator', async () => {
    const url = await printedLink();
    const answer = await signIn(url);
    expect([answer.status, await answer.json()]).toEqual([201, { tenant: 'default', user: 'owner', role: 'admin' }]);
    cookie = answer.headers.getSetCookie()[0]?.split(';')[0] ?? '';
    expect((await signIn(url)).status).toBe(401);
  });

  it('takes the first device, which connects', async () => {
    const answer = await fetch(`${presage.api}/api/v1/devices`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', cookie },
      body: JSON.stringify({ id: 'fridge-1', model: 'refrigerator' }),
    });
    expect(answer.status).toBe(201);
    const { centre, mqtt } = deviceCreated.parse(await answer.json());
    expect(centre).toBe('main');
    const { clientId, username, password } = mqtt;
    const client = await connectAsync(presage.broker, { clientId, username, password, reconnectPeriod: 0 });
    await client.endAsync();
  });

  it('is silent once the owner can come in', async () => {
    await presage.stop();
    await presage.restart();
    await fetch(`${presage.api}/readyz`);
    expect(presage.output()).toEqual([]);
    expect(presage.log()).not.toContain('#link=');
  });
});
