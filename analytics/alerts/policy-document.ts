/** The alert policy as an operator writes it: a JSON document, checked where it enters. What it leaves out has its default. */
import { z } from 'zod';
import { AppError } from '../../contract/kernel/errors.ts';
import { deviceId, tenantId } from '../../contract/kernel/ids.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import { severity } from '../../contract/ports/findings.ts';
import { type AlertPolicy, DEFAULT_POLICY } from './policy.ts';

const MAX_EXCEPTIONS = 200;
const samples = z.number().int().min(1).max(10_000);
const durationMs = z
  .number()
  .int()
  .min(0)
  .max(366 * DAY_MS);
const positiveMs = durationMs.min(1);
const share = z.number().min(0.05).max(1);
const name = z.string().min(1).max(64);

/** What both the document and its exceptions may set. */
const timing = {
  onSamples: samples.optional(),
  onMs: durationMs.optional(),
  offSamples: samples.optional(),
  offMs: durationMs.optional(),
  clearShare: share.optional(),
  confirmSamples: samples.optional(),
  acceptAfterMs: positiveMs.nullable().optional(),
  // Two openings are no flapping: between them lies one clearing.
  flapOpenings: z.union([z.literal(0), z.number().int().min(3).max(100)]).optional(),
  flapWindowMs: positiveMs.optional(),
  flapQuietMs: positiveMs.optional(),
  missedBeats: z.number().min(0).max(10_000).optional(),
  asleepMs: durationMs.optional(),
};

const exception = z
  .strictObject({
    when: z
      .strictObject({
        tenant: tenantId.optional(),
        device: deviceId.optional(),
        model: name.optional(),
        faultKey: name.optional(),
        severity: severity.optional(),
        mode: name.optional(),
      })
      .refine((when) => Object.keys(when).length > 0, 'names nothing: what holds for all belongs above the exceptions'),
    set: z
      .strictObject({ ...timing, severity: severity.optional() })
      .refine((set) => Object.keys(set).length > 0, 'sets nothing'),
  })
  .refine(({ when }) => when.device === undefined || when.tenant !== undefined, {
    path: ['when', 'device'],
    message: 'a device is only known together with its tenant',
  })
  .refine(({ when, set }) => when.mode === undefined || Object.keys(set).every((key) => key === 'severity'), {
    path: ['set'],
    message: 'by operating mode only the severity may be set: delays that change from sample to sample mean nothing',
  });

const document = z.strictObject({
  ...timing,
  alertsPer1000DeviceDays: z.number().positive().max(1_000).optional(),
  foreseenPredictions: samples.optional(),
  warnHorizon: z.strictObject({ h: z.number().positive(), cycle: z.number().positive() }).optional(),
  updateEverySamples: samples.optional(),
  adoptAfterMs: positiveMs.optional(),
  leastSilenceMs: positiveMs.optional(),
  reconnectGraceMs: durationMs.optional(),
  noDataSeverity: severity.optional(),
  exceptions: z.array(exception).max(MAX_EXCEPTIONS).optional(),
});

/**
 * The default policy with what the document sets.
 * @throws AppError CONFIG_INVALID naming each bad field
 */
export function parseAlertPolicy(json: unknown): AlertPolicy {
  const parsed = document.safeParse(json);
  if (parsed.success) return { ...DEFAULT_POLICY, ...withoutAbsent(parsed.data) };
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'alertPolicy'}: ${issue.message}`);
  throw new AppError('CONFIG_INVALID', `alert policy: ${problems.join('; ')}`);
}

/** A field that is named without a value is one that is absent. */
function withoutAbsent(set: z.infer<typeof document>): Partial<AlertPolicy> {
  return JSON.parse(JSON.stringify(set)) as Partial<AlertPolicy>;
}
