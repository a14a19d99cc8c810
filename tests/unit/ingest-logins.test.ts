/** Logins in the log: ahead of the first message of their connection, and not lost because the log was full. */
import { afterEach, expect, it } from 'vitest';
import { disposeIngest, type Harness, startIngest, telemetry } from '../support/ingest-harness.ts';
import { RECEIVED_AT } from '../support/log-entries.ts';
import { waitFor } from '../support/wait-for.ts';

let harness: Harness | undefined;
afterEach(async () => {
  if (harness) await disposeIngest(harness);
  harness = undefined;
});

const login = (connection: string, connected = true) => ({
  tenant: 'acme',
  device: 'fridge-1',
  connected,
  at: RECEIVED_AT,
  remoteAddress: '10.0.0.7',
  connection,
  certificateSerial: '2a',
});

it('stand before the messages of their connection; departures are not logged', async () => {
  harness = await startIngest();
  harness.ingest.presence(login('p-1'));
  await harness.send('telemetry', telemetry(1));
  harness.ingest.presence(login('p-1', false));
  await harness.send('telemetry', telemetry(2));
  const [session, ...rest] = await harness.logged();
  expect(session).toBe('session:{"connection":"p-1","remoteAddress":"10.0.0.7","certificateSerial":"2a"}');
  expect(rest.map((line) => line.split(':')[0])).toEqual(['telemetry', 'telemetry']);
});

it('are tried again when the log did not take them', async () => {
  harness = await startIngest();
  const { log } = harness.segmentLog;
  const append = log.append.bind(log);
  let full = true;
  log.append = (entry, done) => (full ? queueMicrotask(() => done(new Error('full'), 0)) : append(entry, done));
  harness.ingest.presence(login('p-2'));
  await Promise.resolve();
  full = false;
  const h = harness;
  await waitFor('the login', async () => (await h.logged()).length === 1, 5_000);
});
