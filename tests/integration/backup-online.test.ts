/** A backup under load: made while devices send and nothing stops, started elsewhere, compared with what was acknowledged. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { topicOf } from '../../contract/wire/topics.ts';
import { exportOf, lagBytes, metricsOf } from '../chaos/server-view.ts';
import { temporaryDirectory } from '../support/debian-postgres.ts';
import { type PresageProcess, startPresage } from '../support/presage-process.ts';
import { runCli, runCliOk } from '../support/run-cli.ts';
import { waitFor } from '../support/wait-for.ts';

const TOKEN = 'psg_online_backup_token_0123456789abcdef';
const DEVICES = ['fridge-1', 'fridge-2', 'fridge-3'];
const secretOf = (device: string): string => `secret-of-${device}-0123456789abcdef`;
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
          webhook: { url: 'https://hooks.example.com/presage', secret: 'whsec_c2VjcmV0LW9mLW5vcnRo' },
        },
      ],
      users: [{ id: 'ops', role: 'manager' as const, tokens: [TOKEN] }],
      devices: DEVICES.map((id) => ({ id, model: 'refrigerator', secret: secretOf(id) })),
    },
  ],
};

/** A busy machine takes its time. */
const LIMIT_MS = 120_000;

let server: PresageProcess;
let folder: string;
const data = (): string => join(server.directory, 'data');
const keyFile = (): string => join(data(), 'keys/backup.key');

/** Sends one message after the other until it is stopped; knows which were acknowledged. */
interface Sender {
  /** Sequence numbers with the time and value that were sent. */
  readonly sent: Map<number, { time: number; value: number }>;
  readonly acked: number[];
  stop(): Promise<void>;
}

async function startSending(device: string, startAt: number): Promise<Sender> {
  const name = `acme.${device}`;
  const client: MqttClient = await connectAsync(server.broker, {
    clientId: name,
    username: name,
    password: secretOf(device),
  });
  const sent = new Map<number, { time: number; value: number }>();
  const acked: number[] = [];
  let stopping = false;
  const run = async (): Promise<void> => {
    for (let seq = 1; !stopping; seq++) {
      const value = -18 + (seq % 7) / 10;
      const time = startAt + seq * 1_000;
      sent.set(seq, { time, value });
      const payload = JSON.stringify({ v: 1, boot: 'b1', seq, t: time, s: [[0, { freezerTempC: value }]] });
      await client.publishAsync(topicOf({ tenant: 'acme', device }, 'telemetry'), payload, { qos: 1 });
      acked.push(seq);
    }
  };
  const running = run();
  return {
    sent,
    acked,
    async stop() {
      if (stopping) return;
      stopping = true;
      await running;
      await client.endAsync();
    },
  };
}

beforeAll(async () => {
  folder = temporaryDirectory('backup-online');
  server = await startPresage({ seed });
});

afterAll(async () => {
  await server?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

describe('a backup of a running server', () => {
  it(
    'holds every message that was acknowledged before, none twice, none that was never sent',
    async () => {
      const startAt = Date.now() - 20 * 3_600_000;
      const senders = await Promise.all(DEVICES.map((device) => startSending(device, startAt)));
      onTestFinished(async () => {
        await Promise.all(senders.map((sender) => sender.stop()));
      });
      await waitFor('some traffic', () => senders.every((sender) => sender.acked.length > 100), LIMIT_MS);
      const before = senders.map((sender) => [...sender.acked]);
      const started = performance.now();
      const backup = join(folder, 'backup');
      const report = JSON.parse(
        await runCliOk(['backup', 'create', '--data-dir', data(), '--out', backup, '--json']),
      ) as {
        encrypted: boolean;
      };
      expect(report.encrypted).toBe(true);
      const during = senders.map((sender, index) => sender.acked.length - (before[index]?.length ?? 0));
      // Nobody had to wait for it to end.
      expect(Math.min(...during)).toBeGreaterThan(0);
      const tookMs = performance.now() - started;
      await Promise.all(senders.map((sender) => sender.stop()));
      process.stdout.write(`backup under load: ${Math.round(tookMs)} ms, ${during.join('+')} messages meanwhile\n`);
      await runCliOk(['backup', 'verify', '--from', backup, '--data-dir', data()]);

      const restored = join(folder, 'restored');
      await runCliOk(['backup', 'restore', '--from', backup, '--data-dir', restored, '--key-file', keyFile()]);
      const second = await startPresage({ env: { PRESAGE_DATA_DIR: restored } });
      try {
        await waitFor('the followers to pass', async () => lagBytes(await metricsOf(second.api)) === 0, LIMIT_MS);
        for (const [index, device] of DEVICES.entries()) {
          const samples = await exportOf(second.api, TOKEN, device);
          const sender = senders[index];
          const seqs = samples.map((sample) => sample.seq);
          expect(new Set(seqs).size).toBe(seqs.length);
          const missing = (before[index] ?? []).filter((seq) => !seqs.includes(seq));
          expect(missing).toEqual([]);
          for (const { seq, time, signals } of samples) {
            expect({ time, value: signals.freezerTempC }).toEqual(sender?.sent.get(seq));
          }
          // What the copy holds has no hole: it is the stream up to some moment.
          expect(Math.max(...seqs)).toBe(seqs.length);
        }
        expect((await metricsOf(second.api)).get('presage_log_lost_bytes{log="telemetry"}')).toBe(0);
        expect(second.log()).not.toMatch(/lost|corrupt|cannot be read/i);
      } finally {
        await second.dispose();
      }
    },
    3 * LIMIT_MS,
  );

  it(
    'leaves the server as it was: it stores, deletes passed segments, and can be copied again',
    async () => {
      const sender = await startSending('fridge-1', Date.now() - 10 * 3_600_000);
      await waitFor('some traffic', () => sender.acked.length > 50, LIMIT_MS);
      await sender.stop();
      await waitFor('the followers to pass', async () => lagBytes(await metricsOf(server.api)) === 0, LIMIT_MS);
      await runCliOk(['backup', 'create', '--data-dir', data(), '--out', join(folder, 'again')]);
      expect(readdirSync(join(data(), 'postgres/pgdata/pg_replslot'))).toEqual([]);
    },
    3 * LIMIT_MS,
  );

  it('leaves nothing behind when the command cannot go on', async () => {
    const target = join(folder, 'never');
    const inside = await runCli(['backup', 'create', '--data-dir', data(), '--out', join(data(), 'backup')]);
    expect([inside.code, inside.stderr]).toEqual([1, expect.stringContaining('lies in the data directory')]);
    expect(existsSync(target)).toBe(false);
  });
});
