/** The file a fitted prognosis model is kept in: plain JSON, checked whole when it is loaded, the same bytes for the same fit. */
import { z } from 'zod';
import { AppError } from '../../contract/kernel/errors.ts';
import { fnv1a } from '../../contract/kernel/ids.ts';
import { calibrationSchema } from './calibration.ts';
import { featureCount } from './features.ts';

const count = z.number().int().nonnegative();
const numbers = z.array(z.number());

const tree = z
  .object({ feature: z.array(z.number().int().min(-1)).min(1), at: numbers, left: z.array(count) })
  .refine(isTree, 'not a tree: every branch must lead to two later nodes');

const plan = z.object({
  regimes: z.object({ columns: z.array(count), centres: z.array(numbers).min(1), scales: numbers }),
  channels: z.array(z.object({ column: count, mean: numbers, deviation: numbers })).max(64),
  indices: z.array(z.object({ offset: z.number(), weights: numbers })).max(8),
});

const metrics = z.object({
  count,
  rmse: z.number(),
  phm08: z.number(),
  coverage: z.number(),
  meanWidth: z.number(),
  winkler: z.number(),
});

export const MODEL_SCHEMA = 'presage.prognosis/1';

const modelContent = z.object({
  schema: z.literal(MODEL_SCHEMA),
  name: z.string().min(1).max(64),
  /** Remaining life is learned and predicted as min(remaining, horizon), in cycles. */
  horizon: z.number().positive(),
  /** Device model whose signals the columns are; absent for a fleet that is not in the catalogue. */
  deviceModel: z.string().optional(),
  /** Failure mode that the training units died of; absent = the first that leads to an end of life. */
  faultKey: z.string().optional(),
  trainedOn: z.object({ units: count, rows: count, dataHash: z.string(), seed: count }),
  /** A unit whose history starts later than this many cycles into its life cannot be judged live. */
  latestFirstCycle: z.number(),
  columns: z.array(z.string()),
  plan,
  /** One ensemble a fold, each fitted without that fold's units; their mean is the estimate. */
  committee: z.array(z.object({ base: z.number(), trees: z.array(tree) })).min(1),
  calibration: calibrationSchema,
  /** On units left out of the fit and of the calibration. */
  metrics,
});

export const modelFile = modelContent
  .extend({ version: z.string().min(1) })
  .refine(fitsTogether, 'its parts refer to columns, regimes or features that it does not have');
export type ModelContent = z.infer<typeof modelContent>;
export type FittedModelFile = z.infer<typeof modelFile>;

function isTree(value: { feature: readonly number[]; at: readonly number[]; left: readonly number[] }): boolean {
  const { feature, at, left } = value;
  if (at.length !== feature.length || left.length !== feature.length) return false;
  // Children stand behind their parent, so no walk can run in a circle.
  return feature.every((index, node) => {
    const child = left[node] ?? -1;
    return index < 0 || (child > node && child + 1 < feature.length);
  });
}

function fitsTogether(model: ModelContent): boolean {
  const { columns, plan, committee, calibration } = model;
  const regimes = plan.regimes.centres.length;
  const features = featureCount(plan);
  const levels = calibration.levels.length;
  return (
    plan.regimes.columns.every((column) => column < columns.length) &&
    plan.regimes.centres.every((centre) => centre.length === plan.regimes.columns.length) &&
    plan.regimes.scales.length === plan.regimes.columns.length &&
    plan.channels.every(
      (channel) =>
        channel.column < columns.length && channel.mean.length === regimes && channel.deviation.length === regimes,
    ) &&
    plan.indices.every((index) => index.weights.length === plan.channels.length) &&
    committee.every((ensemble) => ensemble.trees.every((tree) => tree.feature.every((index) => index < features))) &&
    [calibration.lower, calibration.upper, calibration.errors, calibration.units].every(
      (row) => row.length === levels,
    ) &&
    calibration.errors.every((row) => row.length === calibration.probabilities.length)
  );
}

/** Adds the version, a hash of the content. */
export function sealModel(content: ModelContent): FittedModelFile {
  return { ...content, version: versionOf(content) };
}

function versionOf(content: ModelContent): string {
  const text = JSON.stringify(modelContent.parse(content));
  return [fnv1a(text), fnv1a(`${text.length}:${text}`)].map((part) => part.toString(16).padStart(8, '0')).join('');
}

export function serializeModel(model: FittedModelFile): string {
  return `${JSON.stringify(model)}\n`;
}

/**
 * The model in a file's text.
 * @throws AppError MODEL_FILE_INVALID naming the first field that is wrong
 */
export function parseModel(text: string, fileName: string): FittedModelFile {
  const result = modelFile.safeParse(parseJson(text, fileName));
  if (!result.success) {
    const issue = result.error.issues[0];
    throw new AppError('MODEL_FILE_INVALID', `${fileName}: ${issue?.path.join('.') || 'file'}: ${issue?.message}`);
  }
  const { version, ...content } = result.data;
  if (versionOf(content) !== version) {
    throw new AppError('MODEL_FILE_INVALID', `${fileName}: version: the content was changed after the fit`);
  }
  return result.data;
}

function parseJson(text: string, fileName: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AppError('MODEL_FILE_INVALID', `${fileName} is not JSON`, { cause });
  }
}
