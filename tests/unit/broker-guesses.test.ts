/** How often an address may be wrong about secrets, and who gets in meanwhile: the rule first, then as a device meets it. */
import { afterEach, describe, expect, it } from 'vitest';
import type { Broker } from '../../broker/create-broker.ts';
import { createGuessLimit } from '../../broker/guess-limit.ts';
import type { BrokerOptions } from '../../broker/options.ts';
import type { DeviceRef } from '../../contract/kernel/ids.ts';
import {
  connectPacket,
  DASHBOARD,
  ERP,
  FRIDGE,
  fakeDirectory,
  logIn,
  OTHER,
  openPeer,
  STRANGER,
  startBroker,
} from '../support/broker-harness.ts';
import { integrationConnect } from '../support/mqtt-client.ts';

const MINUTE_MS = 60_000;

describe('the limit on wrong logins', () => {
  /** Six a minute, so one every ten seconds. */
  function create(maxBudgets = 1_000) {
    let forgotten = 0;
    const limit = createGuessLimit({ wrongLoginsPerMinute: 6, maxBudgets }, () => {
      forgotten += 1;
    });
    const guess = (secret: string, now: number, address = '192.0.2.1', user = 'acme.fridge-1'): boolean => {
      const attempt = limit.attempt(address, user, secret, now);
      attempt?.wrong(now);
      return attempt !== undefined;
    };
    return { limit, guess, forgotten: () => forgotten };
  }

  it('lets an address be wrong so often at once, and then once every ten seconds', () => {
    const { guess } = create();
    const looked = (count: number, now: number) =>
      Array.from({ length: count }, (_, i) => guess(`guess ${i} at ${now}`, now)).filter(Boolean).length;
    expect(looked(100, 0)).toBe(6);
    expect(looked(100, 9_999)).toBe(0);
    expect(looked(100, 10_000)).toBe(1);
    expect(looked(100, 20_000)).toBe(1);
    expect(looked(100, 20_000 + MINUTE_MS)).toBe(6);
  });

  it('does not care whose secret is guessed, and tells networks apart', () => {
    const { guess } = create();
    for (let i = 0; i < 6; i++) guess('same', 0, '2001:db8:0:1::1', `acme.fridge-${i}`);
    expect(guess('same', 0, '2001:db8:0:1:ffff::9', 'acme.fridge-9')).toBe(false);
    expect(guess('same', 0, '2001:db8:0:2::1', 'acme.fridge-9')).toBe(true);
  });

  it('counts a wrong secret once, however often it is tried', () => {
    const { guess } = create();
    for (let i = 0; i < 1_000; i++) expect(guess('expired', 0)).toBe(true);
    for (let i = 0; i < 5; i++) expect(guess(`guess ${i}`, 0)).toBe(true);
    expect(guess('guess 6', 0)).toBe(false);
    expect(guess('expired', 0)).toBe(true);
  });

  it('still looks at what was right before, from wherever, and at nothing else of that device', () => {
    const { limit, guess } = create();
    limit.attempt('198.51.100.7', 'acme.fridge-1', 'right', 0)?.right();
    for (let i = 0; i < 6; i++) guess(`guess ${i}`, 0);
    expect(limit.attempt('192.0.2.1', 'acme.fridge-1', 'right', 0)).toBeDefined();
    expect(limit.attempt('192.0.2.1', 'acme.fridge-1', 'right?', 0)).toBeUndefined();
    expect(limit.attempt('192.0.2.1', 'acme.fridge-2', 'right', 0)).toBeUndefined();
  });

  it('takes no secret for right any more that has been replaced', () => {
    const { limit, guess } = create();
    limit.attempt('192.0.2.1', 'acme.fridge-1', 'old', 0)?.right();
    limit.attempt('192.0.2.1', 'acme.fridge-1', 'new', 0)?.right();
    for (let i = 0; i < 6; i++) guess(`guess ${i}`, 0);
    expect(limit.attempt('192.0.2.1', 'acme.fridge-1', 'old', 0)).toBeUndefined();
    expect(limit.attempt('192.0.2.1', 'acme.fridge-1', 'new', 0)).toBeDefined();
  });

  it('books guesses that were looked at together, but for no longer than ten minutes', () => {
    const { limit, guess } = create();
    const together = Array.from({ length: 5_000 }, (_, i) => limit.attempt('192.0.2.1', 'acme.fridge-1', `${i}`, 0));
    for (const attempt of together) attempt?.wrong(0);
    expect(guess('one more', 9 * MINUTE_MS)).toBe(false);
    expect(guess('one more', 11 * MINUTE_MS)).toBe(true);
  });

  it('counts nothing when the registry did not answer', () => {
    const { limit, guess } = create();
    for (let i = 0; i < 100; i++) limit.attempt('192.0.2.1', 'acme.fridge-1', `${i}`, 0);
    expect(guess('one', 0)).toBe(true);
  });

  it('remembers within a bound, and says what it forgot', () => {
    const { guess, forgotten } = create(2);
    for (let i = 0; i < 6; i++) guess(`guess ${i}`, 0);
    expect(guess('another', 0)).toBe(false);
    guess('a', 0, '192.0.2.2');
    guess('b', 0, '192.0.2.3');
    expect(forgotten()).toBe(1);
    expect(guess('another', 0)).toBe(true);
  });
});

const started: Broker[] = [];
afterEach(async () => {
  for (const broker of started.splice(0)) await broker.stop();
});

const SITE = '192.0.2.1';
const ELSEWHERE = '198.51.100.7';

async function start(options: Partial<BrokerOptions> = {}) {
  const known = fakeDirectory();
  const asked: string[] = [];
  const authenticate = (ref: DeviceRef, secret: string) => {
    asked.push(secret);
    return known.authenticate(ref, secret);
  };
  const harness = await startBroker({ wrongLoginsPerMinute: 3, ...options }, { directory: { ...known, authenticate } });
  started.push(harness.broker);
  /** The return code that an attempt is answered with. */
  const answer = async (packet: ReturnType<typeof connectPacket>, address = SITE) => {
    const peer = openPeer(harness.broker, address);
    peer.send(packet);
    const connack = await peer.next();
    peer.cut();
    return connack === 'closed' || connack.cmd !== 'connack' ? undefined : connack.returnCode;
  };
  const guess = (text: string, address = SITE) =>
    answer(connectPacket(FRIDGE, { password: Buffer.from(text) }), address);
  const refused = (reason: string): number => harness.metric('presage_mqtt_refused_total', { reason });
  return { ...harness, asked, answer, guess, refused };
}

describe('who guesses secrets', () => {
  it('is told to come later, and what it says is not even looked at', async () => {
    const { guess, asked, refused, lines } = await start();
    const codes = [];
    for (let i = 0; i < 5; i++) codes.push(await guess(`guess ${i}`));
    expect(codes).toEqual([4, 4, 4, 3, 3]);
    expect(asked).toEqual(['guess 0', 'guess 1', 'guess 2']);
    expect([refused('MQTT_CREDENTIALS'), refused('MQTT_WRONG_LOGINS')]).toEqual([3, 2]);
    expect(lines.at(-1)).toMatchObject({ reason: 'MQTT_WRONG_LOGINS', remoteAddress: SITE });
  });

  it('does not lock out the devices behind its address that were here before, its victim included', async () => {
    const { broker, guess } = await start();
    for (const ref of [FRIDGE, OTHER]) (await logIn(broker, ref, {}, SITE)).cut();
    for (let i = 0; i < 5; i++) await guess(`guess ${i}`);
    for (const ref of [FRIDGE, OTHER]) await logIn(broker, ref, {}, SITE);
  });

  it('locks out nobody at another address, and at its own only who was never here', async () => {
    const { guess, answer } = await start();
    for (let i = 0; i < 5; i++) await guess(`guess ${i}`);
    expect(await answer(connectPacket(STRANGER), SITE)).toBe(3);
    expect(await answer(connectPacket(STRANGER), ELSEWHERE)).toBe(0);
    expect(await answer(connectPacket(STRANGER), SITE)).toBe(0);
  });

  it('is not a device that repeats its one old secret: it gets the same answer every time', async () => {
    const { guess, answer } = await start();
    for (let i = 0; i < 10; i++) expect(await guess('of last year')).toBe(4);
    expect(await answer(connectPacket(OTHER))).toBe(0);
  });

  it('is limited at the door of integrations too, and together with that of devices', async () => {
    const { answer, guess } = await start();
    expect(await answer(integrationConnect(ERP))).toBe(0);
    for (let i = 0; i < 2; i++) {
      expect(await answer(integrationConnect(ERP, { password: Buffer.from(`guess ${i}`) }))).toBe(4);
    }
    expect(await guess('one')).toBe(4);
    expect(await guess('another')).toBe(3);
    expect(await answer(integrationConnect(DASHBOARD))).toBe(3);
    expect(await answer(integrationConnect(ERP))).toBe(0);
  });
});
