/** Which of the errors that Aedes reports about a connection are refusals of ours to count, and under which word. */
import type { AuthErrorCode, AuthenticateError } from 'aedes';
import { AppError, type ErrorCode, errorText } from '../contract/kernel/errors.ts';
import type { Refused } from './login.ts';

/** Networks break and devices sleep: neither is refused. Texts are those of Aedes 1.2.0. */
const ORDINARY = new Set(['connection closed', 'keep alive timeout']);

/** `undefined` = nothing to count: ordinary, or counted already where it was thrown. */
export function reasonOf(error: Error & { code?: unknown; returnCode?: unknown }): ErrorCode | undefined {
  const isOurs = error instanceof AppError || error.returnCode !== undefined;
  // Errors of sockets and streams carry a code such as ECONNRESET.
  if (isOurs || typeof error.code === 'string' || ORDINARY.has(error.message)) return undefined;
  return error.message === 'drain timeout' ? 'MQTT_NOT_READING' : 'MQTT_PROTOCOL';
}

/** A refused login as Aedes wants it: the return code goes into the CONNACK. */
export function refusalOf(refused: Refused): AuthenticateError {
  const error = new Error(`${refused.reason}: ${refused.detail}`);
  // The cast: Aedes names its codes in an ambient const enum, which cannot be referred to under isolatedModules.
  return Object.assign(error, { returnCode: refused.returnCode as AuthErrorCode });
}

export function asAppError(error: unknown): AppError {
  return error instanceof AppError ? error : new AppError('INTERNAL', errorText(error), { cause: error });
}
