/** The TLS listener with certificates of our own authority, met by Node's TLS, MQTT.js and Mosquitto's programs. */
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import mqtt from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { initCa, issue, revoke } from '../../app/ca/certificate-authority.ts';
import type { Broker } from '../../broker/create-broker.ts';
import type { BrokerOptions } from '../../broker/options.ts';
import type { TlsOptions } from '../../broker/tls-listener.ts';
import { clientIdOf, type DeviceRef } from '../../contract/kernel/ids.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { SecurityEvent } from '../../contract/ports/broker.ts';
import { topicOf } from '../../contract/wire/topics.ts';
import { findBinary } from '../support/binaries.ts';
import {
  connectPacket,
  FRIDGE,
  fakeDirectory,
  type HarnessParts,
  OTHER,
  type Peer,
  peerOn,
  publishPacket,
  secretOf,
  startBroker,
} from '../support/broker-harness.ts';
import { runProgram } from '../support/run-program.ts';
import { waitFor } from '../support/wait-for.ts';

let directory: string;
let ca: string;
const file = (name: string): string => join(directory, name);

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'presage-tls-'));
  ca = file('ca');
  const now = Date.now();
  await initCa(ca, 'Test devices', now);
  await initCa(file('other-ca'), 'Somebody else', now);
  await issue(ca, { name: 'server', server: ['localhost', '127.0.0.1'], days: 1, out: directory }, now);
  await issue(ca, { name: 'renewed', server: ['localhost', '127.0.0.1'], days: 1, out: directory }, now);
  await issue(ca, { name: clientIdOf(FRIDGE), days: 1, out: directory }, now);
  await issue(ca, { name: clientIdOf(FRIDGE), days: 1, out: file('expired') }, now - 3 * DAY_MS);
  await issue(file('other-ca'), { name: clientIdOf(FRIDGE), days: 1, out: file('forged') }, now);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const started: Broker[] = [];
afterEach(async () => {
  for (const broker of started.splice(0)) await broker.stop();
});

async function start(tls: Partial<TlsOptions> = {}, parts: HarnessParts = {}, options: Partial<BrokerOptions> = {}) {
  const harness = await startBroker(
    {
      plain: false,
      tls: {
        host: '127.0.0.1',
        port: 0,
        certFile: file('server.crt'),
        keyFile: file('server.key'),
        caFile: join(ca, 'ca.crt'),
        clientCertificate: 'optional',
        ...tls,
      },
      ...options,
    },
    parts,
  );
  started.push(harness.broker);
  return { ...harness, port: harness.broker.ports().mqtts ?? 0 };
}

const FRIDGE_FILES = 'acme.fridge-1';
function certificateIn(folder: string, name = FRIDGE_FILES): Pick<ConnectionOptions, 'cert' | 'key'> {
  return { cert: readFileSync(join(folder, `${name}.crt`)), key: readFileSync(join(folder, `${name}.key`)) };
}

/** A TLS connection whose other end was checked against our authority. */
async function dial(port: number, options: ConnectionOptions = {}): Promise<Peer & { readonly stream: TLSSocket }> {
  const socket = connect({ host: '127.0.0.1', port, ca: readFileSync(join(ca, 'ca.crt')), ...options });
  const peer = peerOn(socket);
  await once(socket, 'secureConnect');
  return { ...peer, stream: socket };
}

const withoutSecret = { username: undefined, password: undefined };
const certified = (ref: DeviceRef) => connectPacket(ref, withoutSecret as object);

describe('the TLS listener', () => {
  it('takes a device with its secret, and does not listen in the clear beside it', async () => {
    const { broker, port, delivered } = await start();
    expect(Object.keys(broker.ports())).toEqual(['mqtts']);
    const peer = await dial(port);
    peer.send(connectPacket(FRIDGE), publishPacket(topicOf(FRIDGE, 'telemetry'), 'x'));
    expect(await peer.next()).toMatchObject({ cmd: 'connack', returnCode: 0 });
    expect(await peer.next()).toMatchObject({ cmd: 'puback' });
    expect(delivered).toHaveLength(1);
  });

  it('takes a certificate in the place of the password', async () => {
    const { port } = await start({ clientCertificate: 'required' });
    const peer = await dial(port, certificateIn(directory));
    peer.send(certified(FRIDGE));
    expect(await peer.next()).toMatchObject({ cmd: 'connack', returnCode: 0 });
  });

  it('takes no certificate of a device that is not registered or blocked', async () => {
    const { port } = await start({}, { directory: fakeDirectory([OTHER]) });
    const peer = await dial(port, certificateIn(directory));
    peer.send(certified(FRIDGE));
    expect(await peer.next()).toMatchObject({ cmd: 'connack', returnCode: 4 });
  });

  it('refuses the certificate of another device, also with the right secret', async () => {
    const { port, metric } = await start();
    const peer = await dial(port, certificateIn(directory));
    peer.send(connectPacket(OTHER));
    expect(await peer.next()).toMatchObject({ cmd: 'connack', returnCode: 5 });
    await peer.closed();
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_CERTIFICATE' })).toBe(1);
  });

  it.each([
    ['that has expired', 'expired', 'CERT_HAS_EXPIRED'],
    ['of another authority', 'forged', ''],
  ])('refuses a certificate %s before anything is read, also with the right secret', async (_what, folder, detail) => {
    const { broker, port, metric, lines } = await start();
    const peer = await dial(port, certificateIn(file(folder)));
    peer.send(connectPacket(FRIDGE));
    expect(await peer.next()).toBe('closed');
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_CERTIFICATE' })).toBe(1);
    expect(lines.at(-1)?.detail).toContain(detail);
    expect(broker.connections()).toEqual([]);
  });

  it('tells whose name was on a certificate that was refused, and whether that is proved', async () => {
    const { broker, port } = await start();
    const events: SecurityEvent[] = [];
    broker.onSecurityEvent((event) => events.push(event));
    const attempts: [DeviceRef, string, string?][] = [
      [OTHER, directory],
      [FRIDGE, file('expired')],
      [FRIDGE, file('forged')],
      [FRIDGE, directory, 'server'],
    ];
    for (const [claimed, folder, name] of attempts) {
      const peer = await dial(port, certificateIn(folder, name));
      peer.send(connectPacket(claimed));
      await peer.closed();
    }
    expect(events.map(({ tenant, device, kind, proved }) => [`${tenant}.${device}`, kind, proved])).toEqual([
      [FRIDGE_FILES, 'MQTT_CERTIFICATE', true],
      [FRIDGE_FILES, 'MQTT_CERTIFICATE', false],
      [FRIDGE_FILES, 'MQTT_CERTIFICATE', false],
    ]);
    for (const { certificateSerial } of events) expect(certificateSerial).toMatch(/^[0-9a-f]{8,40}$/);
  });

  it('refuses a certificate that was issued to a server', async () => {
    const { port } = await start();
    const peer = await dial(port, certificateIn(directory, 'server'));
    peer.send(connectPacket(FRIDGE));
    expect(await peer.next()).toBe('closed');
  });

  it('refuses who has no certificate where one is required', async () => {
    const { port, lines } = await start({ clientCertificate: 'required' });
    const peer = await dial(port);
    peer.send(connectPacket(FRIDGE));
    expect(await peer.next()).toBe('closed');
    expect(lines.at(-1)?.detail).toContain('no certificate');
  });

  it('speaks TLS 1.2 and 1.3 and nothing older', async () => {
    const { port, metric } = await start();
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      expect((await dial(port, { minVersion: version, maxVersion: version })).stream.getProtocol()).toBe(version);
    }
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' } as const;
    await expect(dial(port, old)).rejects.toThrow();
    await waitFor('the refusal', () => metric('presage_mqtt_refused_total', { reason: 'MQTT_CERTIFICATE' }) === 1);
  });

  it('never resumes a session, which would skip the check of the certificate', async () => {
    const { port } = await start();
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const options = { ...certificateIn(directory), minVersion: version, maxVersion: version };
      const first = await dial(port, options);
      const sessions: Buffer[] = [];
      first.stream.on('session', (session) => sessions.push(session));
      first.send(certified(FRIDGE));
      await first.next();
      const session = sessions.at(-1) ?? first.stream.getSession();
      const second = await dial(port, { ...options, ...(session && { session }) });
      expect(second.stream.isSessionReused()).toBe(false);
    }
  });

  it('closes who never finishes the handshake, sends garbage, or takes too many places', async () => {
    const { broker, port, metric } = await start({}, {}, { loginTimeoutMs: 200, maxConnectionsPerAddress: 2 });
    const silent = peerOn(connectTcp(port, '127.0.0.1'));
    await waitFor('the first', () => broker.stats().streams === 1);
    const garbage = connectTcp(port, '127.0.0.1');
    garbage.write('GET / HTTP/1.1\r\n\r\n');
    await peerOn(garbage).closed();
    await waitFor('room', () => broker.stats().streams === 1);
    const [one, two] = [peerOn(connectTcp(port, '127.0.0.1')), peerOn(connectTcp(port, '127.0.0.1'))];
    await Promise.race([one.closed(), two.closed()]);
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_CONNECTION_LIMIT' })).toBe(1);
    await Promise.all([silent.closed(), one.closed(), two.closed()]);
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_LOGIN_TIMEOUT' })).toBe(2);
    await waitFor('everybody to be gone', () => broker.stats().streams === 0);
  });

  it('fails to start with a key that is not of the certificate, and says so', async () => {
    await expect(start({ keyFile: file('renewed.key') })).rejects.toThrow(/certificate files do not fit/);
    await expect(start({ certFile: file('nothing.crt') })).rejects.toThrow(/nothing\.crt cannot be read/);
  });
});

describe('certificates that change while it runs', () => {
  it('renews its own certificate and keeps every connection, and ignores files that do not fit', async () => {
    const [certFile, keyFile] = [file('live.crt'), file('live.key')];
    copyFileSync(file('server.crt'), certFile);
    copyFileSync(file('server.key'), keyFile);
    const { broker, port, metric } = await start({ certFile, keyFile });
    const before = await dial(port);
    before.send(connectPacket(FRIDGE));
    await before.next();

    copyFileSync(file('renewed.crt'), certFile);
    await broker.reloadCertificates();
    expect(metric('presage_mqtt_certificate_reloads_total', { result: 'refused' })).toBe(1);
    expect((await dial(port)).stream.getPeerCertificate().subject.CN).toBe('server');

    copyFileSync(file('renewed.key'), keyFile);
    await broker.reloadCertificates();
    expect((await dial(port)).stream.getPeerCertificate().subject.CN).toBe('renewed');
    before.send(publishPacket(topicOf(FRIDGE, 'telemetry'), 'still here'));
    expect(await before.next()).toMatchObject({ cmd: 'puback' });
  });

  it('closes the device whose certificate is revoked, does not let it in again, and keeps the others', async () => {
    const folder = file('revocable');
    const now = Date.now();
    const stolen = await issue(ca, { name: clientIdOf(FRIDGE), days: 1, out: folder }, now);
    await issue(ca, { name: clientIdOf(OTHER), days: 1, out: folder }, now);
    const { port, metric } = await start({ crlFile: join(ca, 'ca.crl'), watchIntervalMs: 20 });
    const bad = await dial(port, certificateIn(folder));
    const good = await dial(port, certificateIn(folder, clientIdOf(OTHER)));
    bad.send(certified(FRIDGE));
    good.send(certified(OTHER));
    expect([await bad.next(), await good.next()]).toMatchObject([{ returnCode: 0 }, { returnCode: 0 }]);

    const revokedAt = performance.now();
    expect(await revoke(ca, stolen.serial, Date.now())).toMatchObject([{ subject: 'acme.fridge-1' }]);
    await bad.closed();
    expect(performance.now() - revokedAt).toBeLessThan(5_000);
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_CERTIFICATE' })).toBe(1);
    const again = await dial(port, certificateIn(folder));
    again.send(certified(FRIDGE));
    expect(await again.next()).toBe('closed');
    expect(good.isClosed()).toBe(false);
  });
});

describe('the authority', () => {
  it('keeps its key to itself and does not overwrite an authority', async () => {
    expect(statSync(join(ca, 'ca.key')).mode & 0o777).toBe(0o600);
    expect(statSync(file(`${FRIDGE_FILES}.key`)).mode & 0o777).toBe(0o600);
    await expect(initCa(ca, 'Again', Date.now())).rejects.toThrow(/holds an authority/);
  });

  it('issues to client ids only, and revokes only what it issued', async () => {
    await expect(issue(ca, { name: 'nobody', days: 1, out: directory }, Date.now())).rejects.toThrow(/tenant/);
    await expect(revoke(ca, 'abcdef', Date.now())).rejects.toThrow(/has not issued/);
    await expect(issue(file('nowhere'), { name: 'a.b', days: 1, out: directory }, Date.now())).rejects.toThrow(
      /ca init/,
    );
  });

  const openssl = findBinary('openssl');
  it.runIf(openssl)('makes what OpenSSL accepts', async () => {
    const run = await runProgram(openssl ?? '', [
      'verify',
      '-x509_strict',
      '-purpose',
      'sslclient',
      '-CAfile',
      join(ca, 'ca.crt'),
      file(`${FRIDGE_FILES}.crt`),
    ]);
    expect(run).toMatchObject({ code: 0 });
  });
});

describe('other clients over TLS', () => {
  const pub = findBinary('mosquitto_pub');
  it.runIf(pub)('mosquitto_pub with a certificate', async () => {
    const { port, delivered } = await start({ clientCertificate: 'required' });
    const run = await runProgram(pub ?? '', [
      ...['-h', 'localhost', '-p', String(port), '--cafile', join(ca, 'ca.crt')],
      ...['--cert', file(`${FRIDGE_FILES}.crt`), '--key', file(`${FRIDGE_FILES}.key`)],
      ...['-i', clientIdOf(FRIDGE), '-q', '1', '-t', topicOf(FRIDGE, 'telemetry'), '-m', 'hello'],
    ]);
    expect(run).toMatchObject({ code: 0 });
    expect(delivered).toHaveLength(1);
  });

  it('MQTT.js with a secret', async () => {
    const { port, delivered } = await start();
    const client = await mqtt.connectAsync(`mqtts://127.0.0.1:${port}`, {
      ca: readFileSync(join(ca, 'ca.crt')),
      clientId: clientIdOf(FRIDGE),
      username: clientIdOf(FRIDGE),
      password: secretOf(FRIDGE),
    });
    await client.publishAsync(topicOf(FRIDGE, 'telemetry'), 'x', { qos: 1 });
    await client.endAsync();
    expect(delivered).toHaveLength(1);
  });
});
