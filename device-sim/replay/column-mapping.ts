/** How the columns of somebody else's CSV become signals of a model: a small JSON file beside the recording, read once. */
import { z } from 'zod';
import { AppError } from '../../contract/kernel/errors.ts';
import { deviceId, SIGNAL_PATTERN } from '../../contract/kernel/ids.ts';
import { parseDuration } from '../../contract/kernel/time.ts';
import { readJsonFile } from '../private-file.ts';

const signalName = z.string().regex(SIGNAL_PATTERN, 'a letter, then up to 63 of A-Z a-z 0-9 _');
const duration = z.string().transform((text, context) => {
  try {
    return parseDuration(text);
  } catch {
    context.addIssue('write a duration such as 500ms, 8h or 2d');
    return z.NEVER;
  }
});

const columnMapping = z.strictObject({
  /** Model of the catalogue; `--model` goes before it. */
  model: z.string().optional(),
  /** Where the time stands, or how far apart the rows of a file without times are. */
  time: z.union([
    z.strictObject({
      column: z.string().min(1),
      /** `timestamp`: ISO 8601, `YYYY-MM-DD HH:MM:SS` in UTC, or epoch ms; otherwise a number of that unit. */
      unit: z.enum(['timestamp', 'ms', 's', 'min', 'h']).default('timestamp'),
    }),
    z.strictObject({ every: duration }),
  ]),
  /** All files are one device, one after another with a pause between; otherwise each file is a device of its name. */
  device: z.strictObject({ name: deviceId, pause: duration }).optional(),
  /** by column as the header names it: its signal, where needed with value × factor + offset */
  signals: z
    .record(
      z.string().min(1),
      z.union([
        signalName,
        z.strictObject({ signal: signalName, factor: z.number().default(1), offset: z.number().default(0) }),
      ]),
    )
    .optional(),
  /** Cells that mean "not measured", beside empty ones. */
  missing: z.array(z.string()).default([]),
});
export type ColumnMapping = z.infer<typeof columnMapping>;

/** What `timestamp,value` and `timestamp,signal,signal…` need no file for: every column is the signal of its name. */
export const PLAIN_MAPPING: ColumnMapping = { time: { column: 'timestamp', unit: 'timestamp' }, missing: [] };

/** @throws AppError CONFIG_INVALID saying what is wrong with the file */
export async function readColumnMapping(path: string): Promise<ColumnMapping> {
  const json = await readJsonFile(path);
  if (json === undefined) throw new AppError('CONFIG_INVALID', `--columns: there is no file ${path}`);
  const parsed = columnMapping.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new AppError('CONFIG_INVALID', `--columns ${path}: ${issue?.path.join('.')}: ${issue?.message}`);
}
