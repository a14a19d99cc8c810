/**
 * Secrets stay out of logs, metrics and answers to operators: each input that may carry one carries a canary, in good and
 * in bad requests, with the most talkative log. What comes out is searched for all of them.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import mqttPacket from 'mqtt-packet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { topicOf } from '../../contract/wire/topics.ts';
import { type PresageProcess, startPresage } from '../support/presage-process.ts';
import { runCli } from '../support/run-cli.ts';
import { waitFor } from '../support/wait-for.ts';

const CANARIES = {
  deviceSecret: 'canary-device-secret-0123456789',
  wrongPassword: 'canary-wrong-password',
  apiToken: 'psg_canary_api_token_0123456789abcdefghij',
  wrongToken: 'psg_canary_wrong_token_0123456789abcdefgh',
  sessionToken: 'psg_canary_session_token_0123456789abcdef',
  queryToken: 'canary-in-the-query',
  bodySecret: 'canary-in-a-broken-body',
  cookie: 'canary-cookie',
  webhookSecret: 'whsec_Y2FuYXJ5LXdlYmhvb2stc2VjcmV0',
  influxPassword: 'canary-influx-password',
  influxUrlPassword: 'canary-influx-url-password',
  databasePassword: 'canary-database-password',
  willPayload: 'canary-will-payload',
  payload: 'canary-payload',
} as const;

const ref = { tenant: 'acme', device: 'fridge-1' };
const seed = {
  tenants: [
    {
      id: 'acme',
      name: 'Acme',
      centres: [
        {
          id: 'north',
          name: 'North',
          timeZone: 'UTC',
          webhook: { url: 'https://hooks.example.com/presage', secret: CANARIES.webhookSecret },
        },
      ],
      users: [{ id: 'ops', role: 'manager' as const, tokens: [CANARIES.apiToken] }],
      devices: [{ id: ref.device, model: 'refrigerator', secret: CANARIES.deviceSecret }],
    },
  ],
};
const influx = {
  PRESAGE_STORE: 'influx',
  // A port that nobody listens on: the errors of a store that is away are part of the test.
  INFLUX_URL: `http://presage:${CANARIES.influxUrlPassword}@127.0.0.1:1`,
  INFLUX_USER: 'presage',
  INFLUX_PASSWORD: CANARIES.influxPassword,
  INFLUX_API: 'v1',
};

let server: PresageProcess;
beforeAll(async () => {
  server = await startPresage({ seed, env: { ...influx, PRESAGE_LOG_LEVEL: 'debug' } });
});
afterAll(() => server?.dispose());

function leaksIn(text: string): string[] {
  return Object.entries(CANARIES)
    .filter(([, canary]) => text.includes(canary))
    .map(([name]) => name);
}

/** Speaks MQTT until `publishes` were sent or the broker closed. */
async function speakMqtt(password: string, publishes: readonly mqttPacket.IPublishPacket[]): Promise<void> {
  const socket = connect(Number(new URL(server.broker).port), '127.0.0.1');
  socket.on('error', () => undefined); // Being closed is what a bad login must expect.
  const clientId = `${ref.tenant}.${ref.device}`;
  socket.write(
    mqttPacket.generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId,
      username: clientId,
      password: Buffer.from(password),
      clean: true,
      keepalive: 60,
      will: { topic: topicOf(ref, 'state'), payload: Buffer.from(CANARIES.willPayload), qos: 1, retain: true },
    }),
  );
  const parser = mqttPacket.parser({ protocolVersion: 4 });
  socket.on('data', (bytes) => parser.parse(bytes));
  let acks = 0;
  parser.on('packet', (packet) => {
    if (packet.cmd === 'puback') acks++;
    if (packet.cmd === 'connack') for (const publish of publishes) socket.write(mqttPacket.generate(publish));
  });
  const closed = once(socket, 'close');
  await waitFor('the broker’s answers', () => socket.destroyed || (publishes.length > 0 && acks === publishes.length));
  socket.destroy();
  await closed;
}

function publish(messageId: number, payload: string): mqttPacket.IPublishPacket {
  const topic = topicOf(ref, 'telemetry');
  return { cmd: 'publish', topic, payload, qos: 1, dup: false, retain: false, messageId };
}

async function speakHttp(): Promise<void> {
  const json = { 'content-type': 'application/json' };
  const requests: [path: string, init: RequestInit][] = [
    ['/api/v1/devices', { headers: { authorization: `Bearer ${CANARIES.apiToken}` } }],
    ['/api/v1/devices', { headers: { authorization: `Bearer ${CANARIES.wrongToken}` } }],
    [`/api/v1/devices?token=${CANARIES.queryToken}`, { headers: { authorization: `Bearer ${CANARIES.apiToken}` } }],
    [`/nowhere?access_token=${CANARIES.queryToken}`, {}],
    ['/api/v1/devices', { headers: { cookie: `presage_session=${CANARIES.cookie}; presage=${CANARIES.cookie}` } }],
    ['/api/v1/sessions', { method: 'POST', headers: json, body: JSON.stringify({ token: CANARIES.sessionToken }) }],
    ['/api/v1/sessions', { method: 'POST', headers: json, body: `{"token": "${CANARIES.bodySecret}` }],
  ];
  for (const [path, init] of requests) await (await fetch(new URL(path, server.api), init)).text();
}

describe('secrets in inputs', () => {
  it('appear in no log line, metric or readiness answer', async () => {
    await speakMqtt(CANARIES.wrongPassword, []);
    const good = JSON.stringify({ v: 1, boot: 'b', seq: 1, t: Date.now(), s: [[0, { freezerTempC: -18 }]] });
    const bad = JSON.stringify({
      v: 1,
      boot: 'b',
      seq: 2,
      t: Date.now(),
      s: [[0, { freezerTempC: CANARIES.payload }]],
    });
    await speakMqtt(CANARIES.deviceSecret, [publish(1, good), publish(2, bad), publish(3, `{${CANARIES.payload}`)]);
    await speakHttp();
    await waitFor('the store to be missed', () => /store/i.test(server.log()));

    const metrics = await (await fetch(new URL('/metrics', server.api))).text();
    const readiness = await (await fetch(new URL('/readyz', server.api))).text();
    // The buffer of the process under test holds 64 KiB: nothing was pushed out of it.
    expect(server.log().length).toBeLessThan(65_536);
    expect(server.log().length).toBeGreaterThan(0);
    expect({ log: leaksIn(server.log()), metrics: leaksIn(metrics), readiness: leaksIn(readiness) }).toEqual({
      log: [],
      metrics: [],
      readiness: [],
    });
  });

  it('are not printed by commands that show the configuration or look at it', async () => {
    const env = {
      ...influx,
      DATABASE_URL: `postgres://presage:${CANARIES.databasePassword}@127.0.0.1:1/presage`,
      PRESAGE_DATA_DIR: `${server.directory}/data`,
      PRESAGE_HTTP_PORT: new URL(server.api).port,
    };
    for (const args of [['config', 'print'], ['config', 'print', '--json'], ['doctor'], ['migrate'], ['up']]) {
      const { stdout, stderr } = await runCli(args, env);
      expect({ args, leaks: leaksIn(stdout + stderr) }).toEqual({ args, leaks: [] });
    }
  });
});
