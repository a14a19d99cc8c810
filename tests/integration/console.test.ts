/** The console in a real browser: sign in by link, watch the queue, work on a ticket, and survive hostile names. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOwnerLink } from '../../api/accounts/owner-links.ts';
import { type Database, openDatabase } from '../../api/db/database.ts';
import { migrate } from '../../api/db/migrate.ts';
import type { Ticket } from '../../contract/http/resources.ts';
import { type ApiHarness, alertOf, startHarness, storedSample } from '../support/api-harness.ts';
import { findBinary } from '../support/binaries.ts';
import { silentLogger } from '../support/fake-services.ts';
import { temporaryDirectory } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const chromiumPath = findBinary('chromium');
const HOSTILE = '<img src=x onerror="document.title=\'owned\'">\u202etxt.exe';

describe.skipIf(!chromiumPath)('the console', () => {
  let root: string;
  let database: Database;
  let harness: ApiHarness;
  let browser: Browser;
  let page: Page;
  let link: string;
  /** What the browser complained about, and requests to anywhere else. */
  const complaints: string[] = [];

  beforeAll(async () => {
    root = temporaryDirectory('console');
    database = openDatabase({ embedded: join(root, 'sql') }, { logger: silentLogger, clock: Date });
    await database.start();
    await migrate(database);
    harness = await startHarness(database, Date);
    const now = Date.now();
    harness.telemetry.samples.push(
      ...Array.from({ length: 200 }, (_, n) =>
        storedSample({
          seq: n,
          observedAt: now - (200 - n) * 300_000,
          signals: { compressorVibrationMmPerS: 2 + n / 100, mode: HOSTILE },
        }),
      ),
    );
    harness.findings.add(
      alertOf({ at: now - 1_000, onset: now - 5 * 3_600_000 }),
      alertOf({
        episode: 'hostile',
        device: 'fridge-2',
        faultKey: HOSTILE,
        component: HOSTILE,
        at: now - 1_000,
        onset: now - 2_000,
      }),
    );
    await waitFor('the evidence', async () => {
      const { body } = await harness.request({ user: 'anna' }, 'GET', '/api/v1/tickets/SC-26-000001');
      return (body as Ticket).evidence?.complete;
    });
    link = await createOwnerLink(database, { tenant: 'acme', user: 'owner' }, Date);
    browser = await chromium.launch({ executablePath: chromiumPath ?? '', args: ['--no-sandbox'] });
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('dialog', (dialog) => {
      complaints.push('a dialog');
      void dialog.dismiss();
    });
    page.on('request', (request) => {
      if (!request.url().startsWith(harness.api.publicUrl())) complaints.push(request.url());
    });
  });
  afterAll(async () => {
    await browser?.close();
    await harness?.api.stop();
    await database?.stop();
    rmSync(root, { recursive: true, force: true });
  });

  const go = (hash: string) => page.goto(`${harness.api.publicUrl()}/${hash}`);
  /** How many pixels of the first plot are painted. As text, because it runs in the page, where other types live. */
  const paintedPixels = () =>
    page.evaluate<number>(`(() => {
      const canvas = document.querySelector('.plot canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return data.filter((value, index) => index % 4 === 3 && value > 0).length;
    })()`);

  it('lets nobody in without a link, and somebody in with it, once', async () => {
    await go('');
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    complaints.length = 0; // The refused question who we are is logged by the browser.
    await go(`#link=${link}`);
    await page.getByRole('heading', { name: 'Queue' }).waitFor();
    expect(page.url()).not.toContain(link);
    const cookies = await page.context().cookies();
    expect(cookies).toMatchObject([{ name: 'presage_session', httpOnly: true, sameSite: 'Strict' }]);
    const second = await browser.newPage();
    await second.goto(`${harness.api.publicUrl()}/#link=${link}`);
    await second.getByText('the link was used before').waitFor();
    await second.context().close();
  });

  it('shows the queue, and a new ticket in it without a reload', async () => {
    await page.getByRole('link', { name: 'SC-26-000001' }).waitFor();
    expect(await page.getByRole('row').filter({ hasText: 'SC-26-000001' }).innerText()).toMatch(
      /Major[\s\S]*Compressor bearing wear[\s\S]*fridge-1[\s\S]*8 d \(5–13\)[\s\S]*New/,
    );
    await page.getByText('Live', { exact: true }).waitFor();
    harness.findings.add(alertOf({ episode: 'live', device: 'fridge-3', at: Date.now() }));
    await page.getByRole('row').filter({ hasText: 'fridge-3' }).waitFor();
  });

  it('shows a ticket with its evidence and takes it one step further', async () => {
    await go('#/tickets/SC-26-000001');
    await page.locator('.plot canvas').first().waitFor();
    for (const text of [
      'Remaining life',
      'With 90 % certainty between 5 and 13 d.',
      'CMP-4420',
      'Compressor bearing wear (compressor): the signs are strong',
      'It clears when Compressor vibration is back below',
      'Detector cusum 1.2.0',
      'SHA-256',
    ]) {
      expect(await page.getByText(text).first().isVisible()).toBe(true);
    }
    await page.getByRole('button', { name: 'Triaged' }).click();
    await page.getByText('Write a reason first.').waitFor();
    await page.getByLabel('Reason').fill('called the owner');
    await page.getByRole('button', { name: 'Triaged' }).click();
    await page.getByText('New → triaged').waitFor();
    await page.getByText('called the owner').waitFor();
    expect(await paintedPixels()).toBeGreaterThan(5_000);
  });

  it('says so when somebody else was faster', async () => {
    const path = '/api/v1/tickets/SC-26-000003';
    // Without the live stream the page does not hear of the change before it acts itself.
    await page.route('**/api/v1/stream', (route) => route.abort());
    await go('#/tickets/SC-26-000003');
    await page.getByLabel('Reason').fill('mine');
    const { headers } = await harness.request({ user: 'alan' }, 'GET', path);
    await harness.request({ user: 'alan' }, 'POST', `${path}/transitions`, {
      body: { to: 'triaged', reason: 'faster' },
      headers: { 'if-match': String(headers.etag) },
    });
    await page.getByRole('button', { name: 'Cancelled' }).click();
    await page.getByText('Somebody changed this ticket before you').waitFor();
    await page.getByText('New → triaged').waitFor();
    expect(await page.getByLabel('Reason').inputValue()).toBe('mine');
    await page.unroute('**/api/v1/stream');
    complaints.length = 0; // The browser logs the aborted stream and the refused change.
  });

  it('closes a ticket with what was found, by keyboard alone', async () => {
    const path = '/api/v1/tickets/SC-26-000001';
    for (const to of ['scheduled', 'in_repair', 'resolved', 'confirmed']) {
      const { headers } = await harness.request({ user: 'alan' }, 'GET', path);
      const moved = await harness.request({ user: 'alan' }, 'POST', `${path}/transitions`, {
        body: { to, reason: 'as it went' },
        headers: { 'if-match': String(headers.etag) },
      });
      expect(moved.status).toBe(200);
    }
    await go('#/tickets/SC-26-000001');
    await page.getByRole('heading', { name: 'What was found?' }).waitFor();
    // Nothing closes it before that is known.
    expect(await page.getByRole('button', { name: 'Closed' }).count()).toBe(0);
    await page.getByRole('radio', { name: 'Yes, that fault' }).focus();
    await page.keyboard.press('ArrowDown');
    await page.getByLabel('Fault', { exact: true }).waitFor();
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('Tab');
    await page.keyboard.type('CMP-4420');
    await page.keyboard.press('Tab');
    await page.keyboard.type('A-1');
    await page.keyboard.press('Tab');
    await page.keyboard.type('B-2');
    await page.keyboard.press('Enter');
    await page.getByText('1 × CMP-4420 (A-1 → B-2)').waitFor();
    await page.getByLabel('Reason').fill('repaired and proven');
    await page.getByRole('button', { name: 'Closed' }).press('Enter');
    await page.getByText('Confirmed → closed').waitFor();
  });

  it('shows a device with its signals, and draws what it sends now', async () => {
    await go('#/devices/fridge-1');
    await page.locator('.plot canvas').first().waitFor();
    const caption = page.locator('.plot figcaption').first();
    expect(await caption.innerText()).toContain('Compressor vibration');
    await page.getByText('Live', { exact: true }).waitFor();
    harness.live({
      identity: { tenant: 'acme', device: 'fridge-1', boot: 'b1', seq: 999 },
      model: 'refrigerator',
      receivedAt: Date.now(),
      backfill: false,
      samples: [{ index: 0, observedAt: Date.now(), signals: { compressorVibrationMmPerS: 9.87 } }],
    });
    await page.getByText('last 9.87').waitFor();
    expect(await paintedPixels()).toBeGreaterThan(5_000);
  });

  it('shows hostile names as text, with the marks that would turn them round', async () => {
    for (const hash of ['#/queue', '#/tickets/SC-26-000002', '#/devices/fridge-2', '#/devices/fridge-1']) {
      await go(hash);
      await page.getByText('<img src=x').first().waitFor();
      await page.getByText('⟨U+202E⟩').first().waitFor();
      expect(await page.locator('main img').count()).toBe(0);
      expect(await page.title()).not.toContain('owned');
    }
  });

  it('shows a customer the quote behind a link, and takes the answer, without an account', async () => {
    const report = { source: 'walk-in', symptom: HOSTILE, model: 'toaster', purchasedOn: '2015-01-01' };
    const opened = await harness.request({ user: 'alan' }, 'POST', '/api/v1/tickets', { body: report });
    const { key, version } = opened.body as Ticket;
    const lines = [
      { id: 'part', kind: 'part', text: 'Heating element', quantity: 1, unitPrice: 2_150, taxBasisPoints: 1900 },
      { id: 'work', kind: 'labour', text: HOSTILE, quantity: 0.5, unitPrice: 8_000, taxBasisPoints: 1900 },
      {
        id: 'clean',
        kind: 'labour',
        text: 'Cleaning',
        quantity: 1,
        unitPrice: 900,
        taxBasisPoints: 1900,
        optional: true,
      },
    ];
    const sent = await harness.request({ user: 'alan' }, 'POST', `/api/v1/tickets/${key}/quotes`, {
      body: { currency: 'EUR', durationHours: 3, lines },
      headers: { 'if-match': `"${version}"` },
    });
    const { link: quoteLink } = sent.body as { link: string };
    const phone = await browser.newContext({ viewport: { width: 390, height: 844 }, locale: 'en-GB' });
    const customer = await phone.newPage();
    customer.on('pageerror', (error) => complaints.push(error.message));
    await customer.goto(quoteLink);
    await customer.getByText('To pay €83.90').waitFor();
    await customer.getByRole('checkbox', { name: 'Cleaning' }).click();
    await customer.getByText('To pay €73.19').waitFor();
    await customer.getByRole('button', { name: 'I authorise this repair' }).click();
    await customer.getByText('Please write your name first.').waitFor();
    await customer.getByLabel('Your name').fill('Li Wei');
    await customer.getByLabel('Your name').press('Enter');
    await customer.getByText('You have authorised this repair').waitFor();
    await phone.close();
    const chinese = await browser.newContext({ viewport: { width: 390, height: 844 }, locale: 'zh-CN' });
    const again = await chinese.newPage();
    await again.goto(quoteLink);
    await again.getByText('您已同意维修').waitFor();
    await chinese.close();
  });

  it('signs out for good', async () => {
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await page.context().cookies()).toEqual([]);
  });

  it('had nothing to complain about and went nowhere else', () => {
    expect(complaints).toEqual([]);
  });
});
