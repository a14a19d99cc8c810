/**
 * Progress of a replay on disk, so that a rerun after a kill goes on under the same boot ids and sequence numbers.
 * Boot ids are on disk before the first message leaves; progress may lag behind, because what is sent again is recognised.
 */
import { z } from 'zod';
import { AppError } from '../../contract/kernel/errors.ts';
import { bootId, deviceId } from '../../contract/kernel/ids.ts';
import { readJsonFile, writePrivateFile } from '../private-file.ts';

/** Everything that decides what a message holds. A replay with other values is another replay. */
const identity = z.strictObject({
  recording: z.string(),
  model: z.string(),
  prefix: z.string(),
  units: z.string(),
  untilFraction: z.number(),
  cycleMs: z.number(),
  batch: z.number().int(),
});
export type ReplayIdentity = z.infer<typeof identity>;

const stateSchema = z.strictObject({
  version: z.literal(1),
  identity,
  /** Time of the last sample, epoch ms: a rerun must not move it. */
  end: z.number().int(),
  /** by device id: boot, and the sequence number up to which everything is acknowledged */
  devices: z.record(deviceId, z.strictObject({ boot: bootId, acked: z.number().int().nonnegative() })),
});
export type ReplayState = z.infer<typeof stateSchema>;

/**
 * The state of an earlier run of the same replay; `undefined` when there is none.
 * @throws AppError CONFIG_INVALID when the file is something else or belongs to another replay
 */
export async function loadReplayState(path: string, expected: ReplayIdentity): Promise<ReplayState | undefined> {
  const json = await readJsonFile(path);
  if (json === undefined) return undefined;
  const parsed = stateSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new AppError(
      'CONFIG_INVALID',
      `${path} is not the state of a replay: ${issue?.path.join('.')} ${issue?.message}`,
    );
  }
  const different = (Object.keys(expected) as (keyof ReplayIdentity)[]).filter(
    (key) => parsed.data.identity[key] !== expected[key],
  );
  if (different.length > 0) {
    throw new AppError(
      'CONFIG_INVALID',
      `${path} belongs to another replay: ${different.join(', ')} differ; use another --state`,
    );
  }
  return parsed.data;
}

export async function saveReplayState(path: string, state: ReplayState): Promise<void> {
  await writePrivateFile(path, `${JSON.stringify(state)}\n`);
}
