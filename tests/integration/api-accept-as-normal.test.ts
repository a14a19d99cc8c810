/** Closing an alert as normal from the desk: who may, what is ordered, and that the alert ends only when analytics says so. */
import { beforeAll, expect, it } from 'vitest';
import { orders } from '../../api/db/schema.ts';
import type { Order } from '../../contract/ports/orders.ts';
import { type ApiHarness, alertOf, startHarness, T0 } from '../support/api-harness.ts';
import { manualClock } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const clock = manualClock(T0 + 60_000);
const anna = { user: 'anna' };
const body = { why: 'the cabinet was moved next to an oven' };

describeOnDatabases('accepting an alert as normal', clock, (database) => {
  let desk: ApiHarness;
  const url = (id: string) => `/api/v1/alerts/${id}/accept-as-normal`;
  const stateOf = async (id: string) =>
    ((await desk.request(anna, 'GET', `/api/v1/alerts/${id}`)).body as { state?: string }).state;
  const ordersGiven = async (): Promise<Order[]> => {
    const rows = await database().withSystem((tx) => tx.select({ order: orders.order }).from(orders));
    return rows.map(({ order }) => order);
  };

  beforeAll(async () => {
    desk = await startHarness(database(), clock);
    await desk.api.start();
    desk.findings.add(alertOf({ episode: 'ep-1' }), alertOf({ episode: 'ep-2', faultKey: 'refrigerantLeak' }));
    await waitFor('the alerts to be known', async () => (await stateOf('ep-2')) === 'open');
    return () => desk.api.stop();
  });

  it('takes somebody who may judge alerts, and a reason', async () => {
    expect((await desk.request(undefined, 'POST', url('ep-1'), { body })).status).toBe(401);
    for (const user of ['vera', 'alan']) {
      expect((await desk.request({ user }, 'POST', url('ep-1'), { body })).status, user).toBe(403);
    }
    expect((await desk.request(anna, 'POST', url('ep-1'), { body: {} })).status).toBe(400);
    expect(await ordersGiven()).toEqual([]);
  });

  it('does not know the alerts of others', async () => {
    expect((await desk.request({ tenant: 'globex', user: 'anna' }, 'POST', url('ep-1'), { body })).status).toBe(404);
    expect((await desk.request(anna, 'POST', url('ep-9'), { body })).status).toBe(404);
  });

  it('orders it from analytics; until that has been done the alert is open', async () => {
    const answer = await desk.request(anna, 'POST', url('ep-1'), { body });
    expect(answer.status).toBe(202);
    expect(await ordersGiven()).toEqual([
      {
        kind: 'acceptAsNormal',
        id: (answer.body as { order: string }).order,
        tenant: 'acme',
        device: 'fridge-1',
        model: 'refrigerator',
        at: clock.now(),
        actor: 'anna',
        episode: 'ep-1',
        why: body.why,
      },
    ]);
    expect(await stateOf('ep-1')).toBe('open');
  });

  it('is refused for an alert that is over', async () => {
    const order = { id: 'o-1', by: 'anna', why: body.why };
    desk.findings.add(alertOf({ episode: 'ep-1', kind: 'alertCleared', at: T0 + 1_000, reason: 'accepted', order }));
    await waitFor('the alert to be over', async () => (await stateOf('ep-1')) === 'cleared');
    expect((await desk.request(anna, 'POST', url('ep-1'), { body })).status).toBe(409);
  });

  it('is told to analytics when a device leaves the fleet', async () => {
    const reason = 'scrapped';
    const gone = await desk.request(anna, 'POST', '/api/v1/devices/fridge-3/decommission', { body: { reason } });
    expect(gone.status).toBe(200);
    expect((await ordersGiven()).at(-1)).toMatchObject({ kind: 'decommission', device: 'fridge-3', why: reason });
  });
});
