/**
 * The last step of a device's login: its secret, or that its certificate names a registered device. Within the limits of
 * who may try something new and of how often a device may log in.
 */
import { errorText } from '../contract/kernel/errors.ts';
import { clientIdOf, type DeviceRef } from '../contract/kernel/ids.ts';
import type { DeviceDirectory, RegisteredDevice } from '../contract/ports/broker.ts';
import { asAppError } from './aedes-errors.ts';
import type { Connection } from './connection.ts';
import type { GuessLimit } from './guess-limit.ts';
import type { DeviceLimits } from './limits.ts';
import { type LoginVerdict, type Refused, refuse } from './login.ts';
import type { BrokerOptions } from './options.ts';
import { topicRulesOf } from './topic-rules.ts';

export interface SecretCheckNeeds {
  readonly directory: Pick<DeviceDirectory, 'authenticate' | 'identify'>;
  readonly limits: Pick<DeviceLimits, 'budgetOf' | 'login'>;
  readonly guesses: GuessLimit;
  /** Monotonic ms. */
  readonly now: () => number;
}

/** The refusal, or `undefined` when the connection may go on: it then knows its device, rules and budget. */
export type SecretCheck = (connection: Connection, verdict: LoginVerdict) => Promise<Refused | undefined>;

export function createSecretCheck(
  { directory, limits, guesses, now }: SecretCheckNeeds,
  options: Pick<BrokerOptions, 'loginsPerMinute'>,
): SecretCheck {
  async function authenticate(
    { remoteAddress }: Connection,
    ref: DeviceRef,
    secret: string,
  ): Promise<RegisteredDevice | 'notLookedAt' | undefined> {
    const attempt = guesses.attempt(remoteAddress, clientIdOf(ref), secret, now());
    if (!attempt) return 'notLookedAt';
    const device = await directory.authenticate(ref, secret);
    if (device) attempt.right();
    else attempt.wrong(now());
    return device;
  }

  return async (connection, verdict) => {
    if (verdict.kind === 'refused') return verdict;
    const { ref, secret } = verdict;
    try {
      const device = await (secret === undefined ? directory.identify(ref) : authenticate(connection, ref, secret));
      if (device === 'notLookedAt') {
        return refuse('MQTT_WRONG_LOGINS', 'unavailable', 'its address was wrong too often');
      }
      if (!device) return refuse('MQTT_CREDENTIALS', 'badCredentials', 'unknown, blocked, or the secret is wrong');
      // Only who has the secret is counted: others could use up the logins of a device that is not theirs.
      const budget = limits.budgetOf(ref);
      if (!limits.login(budget, now())) {
        return refuse('MQTT_RATE', 'unavailable', `more than ${options.loginsPerMinute} logins a minute`);
      }
      connection.budget = budget;
      connection.device = device;
      connection.rules = topicRulesOf(ref);
      return undefined;
    } catch (error) {
      return refuse(asAppError(error).code, 'unavailable', `the directory failed: ${errorText(error)}`);
    }
  };
}
