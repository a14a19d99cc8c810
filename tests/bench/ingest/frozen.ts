/** Publishers' rate beside a subscriber that stopped reading while messages go to it ÷ their rate without it. */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import mqttPacket from 'mqtt-packet';
import { median } from 'simple-statistics';
import { benchDevices, TENANT } from '../bench-server.ts';
import { type ChildProgram, startOwnProgram } from '../child-program.ts';
import { runSwarm, TEN_SIGNALS } from '../swarm.ts';
import { dial } from '../swarm-dial.ts';
import type { Part } from './figures.ts';

const FROZEN = { clientId: `${TENANT}.frozen`, secret: 'unused', topic: `presage/v1/${TENANT}/frozen/cmd/req` };
const WINDOW = 10;

export const frozen: Part = async ({ rounds, connections, frozenSeconds, say }) => {
  const server = await startOwnProgram(new URL('./frozen-server.ts', import.meta.url), [], /^port (\d+)$/m, {
    stdin: true,
  });
  const port = Number(server.ready[1]);
  let used = 0;
  const rate = async (): Promise<number> => {
    const devices = benchDevices(connections, used);
    used += connections;
    const durationMs = frozenSeconds * 1_000;
    const result = await runSwarm({ port, connections, window: WINDOW, durationMs, devices, payload: TEN_SIGNALS });
    if (result.acknowledged < result.sent) throw new Error(`${result.sent - result.acknowledged} not acknowledged`);
    return result.perSecond;
  };
  const runs: { free: number; beside: number }[] = [];
  try {
    for (let round = 0; round < rounds; round++) {
      const free = await rate();
      const thaw = await freeze(server, port);
      const beside = await rate();
      say(`  commands to the frozen device: ${await thaw()}`);
      runs.push({ free, beside });
    }
  } finally {
    await server.stop();
  }
  const [beside, free] = [median(runs.map((run) => run.beside)), median(runs.map((run) => run.free))].map(Math.round);
  return [
    {
      name: `publishers beside a frozen subscriber ÷ without, over ${frozenSeconds} s`,
      value: median(runs.map((run) => run.beside / run.free)),
      better: 'higher',
      aim: 0.5,
      floor: 0.3,
      detail: `${beside?.toLocaleString('en')} ÷ ${free?.toLocaleString('en')} msg/s, ${connections} connections × ${WINDOW} in flight, door + ingest + log`,
    },
  ];
};

/** A device that subscribed to its commands and reads nothing; the server sends to it until it is thawed. */
async function freeze(server: ChildProgram, port: number): Promise<() => Promise<string>> {
  const socket = await dial({ port }, FROZEN);
  if (!socket) throw new Error('the frozen device was refused');
  const { topic } = FROZEN;
  socket.write(mqttPacket.generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 1 }] }));
  const [answer] = (await once(socket, 'data')) as [Buffer];
  if (answer[0] !== 0x90 || answer.at(-1) === 0x80) throw new Error('the frozen device may not subscribe');
  socket.pause();
  server.process.stdin?.write('on\n');
  return async () => {
    if (!server.process.stdout) throw new Error('the server has no output');
    const said = once(createInterface({ input: server.process.stdout }), 'line');
    server.process.stdin?.write('off\n');
    const [line] = (await said) as [string];
    const stood = !socket.destroyed;
    socket.destroy();
    return `${line}${stood ? '' : ', but its connection did not stand'}`;
  };
}
