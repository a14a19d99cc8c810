/** The swarm's open loop and the silent fleet, against a bare Aedes and against a server that never answers. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { Aedes } from 'aedes';
import mqttPacket from 'mqtt-packet';
import { afterEach, expect, it } from 'vitest';
import { benchDevices } from '../bench/bench-server.ts';
import { startSilentFleet } from '../bench/ingest/silent-fleet.ts';
import { runSwarm, startBareAedes, TEN_SIGNALS } from '../bench/swarm.ts';

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const loop = { connections: 5, devices: benchDevices(5), window: 1_000, payload: TEN_SIGNALS };

it('publishes what the schedule says and waits for every acknowledgement', async () => {
  const bare = await startBareAedes();
  cleanUps.push(() => bare.close());
  const result = await runSwarm({ ...loop, port: bare.port, ratePerSecond: 200, durationMs: 500 });
  expect(result).toMatchObject({ sent: 100, acknowledged: 100, closed: 0, overrun: false });
  expect(result.latencyMs.p99).toBeGreaterThan(0);
});

it('stops, and says so, when a server does not acknowledge', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write(mqttPacket.generate({ cmd: 'connack', returnCode: 0, sessionPresent: false }));
      // Patience is for those who may still answer: this one hangs up once it has been sent something.
      socket.once('data', () => setTimeout(() => socket.destroy(), 500));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanUps.push(async () => server.close());
  const { port } = server.address() as { port: number };
  const result = await runSwarm({ ...loop, port, window: 3, ratePerSecond: 1_000, durationMs: 60_000 });
  expect(result).toMatchObject({ acknowledged: 0, overrun: true });
  expect(result.sent).toBeLessThanOrEqual(15);
});

it('keeps a fleet connected, and brings it back when the server was gone', async () => {
  const aedes = await Aedes.createBroker();
  const sockets = new Set<Socket>();
  const open = () => {
    const server = createServer((socket) => {
      sockets.add(socket);
      aedes.handle(socket);
    });
    return server;
  };
  const first = open().listen(0, '127.0.0.1');
  await once(first, 'listening');
  const { port } = first.address() as { port: number };
  const fleet = startSilentFleet({ target: { port }, devices: benchDevices(20), maxDialling: 5, retryMs: 20 });
  cleanUps.push(() => fleet.stop());
  expect((await fleet.allConnected()).attempts).toBe(20);
  const back = fleet.allConnected();
  first.close();
  for (const socket of sockets) socket.destroy();
  const second = open().listen(port, '127.0.0.1');
  cleanUps.push(async () => {
    for (const socket of sockets) socket.destroy();
    second.close();
    await new Promise<void>((resolve) => aedes.close(resolve));
  });
  expect((await back).attempts).toBeGreaterThanOrEqual(20);
});
