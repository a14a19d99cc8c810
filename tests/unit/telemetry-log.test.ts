/** All telemetry logs, listed by hand: an adapter is one line here. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSegmentLog, type SegmentLogOptions } from '../../ingest/log/segment-log.ts';
import { checkTelemetryLog, type LogUnderTest } from '../checks/telemetry-log.checks.ts';
import { manualClock, noMetrics, silentLogger } from '../support/fake-services.ts';

const needs = { clock: manualClock(0), logger: silentLogger, metrics: noMetrics };

async function openIn(options: SegmentLogOptions, directory: string): Promise<LogUnderTest> {
  const segmentLog = openSegmentLog({ directory, ...needs }, options);
  await segmentLog.start();
  return {
    log: segmentLog.log,
    reopen: async () => {
      await segmentLog.stop();
      return openIn(options, directory);
    },
    dispose: async () => {
      await segmentLog.stop();
      await rm(directory, { recursive: true });
    },
  };
}

const openNew = async (options: SegmentLogOptions): Promise<LogUnderTest> =>
  openIn(options, await mkdtemp(join(tmpdir(), 'presage-log-')));

checkTelemetryLog('segment files', () => openNew({}));
checkTelemetryLog('segment files, a new one for nearly every commit', () => openNew({ segmentBytes: 100 }));
