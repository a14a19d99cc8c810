/**
 * Door, ingest and log as a process of their own, with a device that is sent commands all the time: `presage up` itself
 * sends a command only when somebody asks for one. Prints its port; each line on stdin `on` or `off` starts or ends
 * the commands. What was sent is told on stderr.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createBroker } from '../../../broker/create-broker.ts';
import type { RegisteredDevice } from '../../../contract/ports/broker.ts';
import type { Logger, Metrics } from '../../../contract/ports/services.ts';
import { createIngest } from '../../../ingest/create-ingest.ts';
import { openSegmentLog } from '../../../ingest/log/segment-log.ts';
import { TENANT } from '../bench-server.ts';

const FROZEN = { tenant: TENANT, device: 'frozen' };
const COMMAND = Buffer.alloc(64 * 1024, ' ');
/** More than a socket takes within the run, so that a backlog stands all the time. */
const COMMAND_EVERY_MS = 10;
/** It must stand, not be closed after the usual 3 s: the worse case for the others. */
const DRAIN_TIMEOUT_MS = 120_000;

const quiet = (): void => {};
const logger: Logger = {
  debug: quiet,
  info: quiet,
  warn: quiet,
  error: (facts) => console.error(JSON.stringify(facts)),
};
const metrics: Metrics = { count: quiet, gauge: quiet };
const clock = { now: () => Date.now() };
const known = (ref: { tenant: string; device: string }): RegisteredDevice => ({
  tenant: ref.tenant,
  device: ref.device,
  model: 'refrigerator',
  declaredSignals: new Map(),
});
const directory = {
  authenticate: async (ref: typeof FROZEN) => known(ref),
  identify: async (ref: typeof FROZEN) => known(ref),
  peek: known,
  declare: quiet,
};

const folder = mkdtempSync(join(tmpdir(), 'presage-bench-frozen-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
const segmentLog = openSegmentLog({ directory: join(folder, 'log'), clock, logger, metrics, onFailed: quiet });
await segmentLog.start();
const { log } = segmentLog;
const reader = { hasMessage: async () => false, async *export() {} };
const ingest = createIngest(
  { log, directory, reader, clock, logger, metrics },
  { sequenceFile: join(folder, 'sequence') },
);
await ingest.start();
const unlimited = 1_000_000;
const broker = createBroker(
  { directory, deliver: ingest.deliver, clock, logger, metrics },
  {
    port: 0,
    drainTimeoutMs: DRAIN_TIMEOUT_MS,
    deviceMessagesPerS: unlimited,
    deviceMessagesBurst: unlimited,
    tenantMessagesPerS: unlimited,
  },
);
await broker.start();

let timer: NodeJS.Timeout | undefined;
/** outcome → commands */
const outcomes = new Map<string, number>();
const count = (outcome: string): void => void outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
createInterface({ input: process.stdin }).on('line', (line) => {
  clearInterval(timer);
  if (line === 'on') {
    timer = setInterval(() => {
      count('offered');
      void broker.publishTo(FROZEN, 'cmd/req', COMMAND).then(count);
    }, COMMAND_EVERY_MS);
  } else {
    process.stdout.write(`${JSON.stringify(Object.fromEntries(outcomes))}\n`);
    outcomes.clear();
  }
});
process.stdout.write(`port ${broker.ports().mqtt}\n`);
