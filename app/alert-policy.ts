/** The alert policy of this installation: the file that the configuration names, over the defaults. */
import { readFileSync } from 'node:fs';
import { type AlertPolicy, DEFAULT_POLICY } from '../analytics/alerts/policy.ts';
import { parseAlertPolicy } from '../analytics/alerts/policy-document.ts';
import { AppError } from '../contract/kernel/errors.ts';

/** @throws AppError CONFIG_INVALID when the file cannot be read, or naming each bad field */
export function readAlertPolicy(path: string | undefined): AlertPolicy {
  if (path === undefined) return DEFAULT_POLICY;
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', `alertPolicyFile: ${path} is not readable JSON`, { cause });
  }
  return parseAlertPolicy(parsed);
}
