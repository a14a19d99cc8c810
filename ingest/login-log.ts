/** Logins in the log, so that it can be told later through which connection a message came. Departures are not logged. */
import type { DeviceDirectory, PresenceChange } from '../contract/ports/broker.ts';
import type { TelemetryLog } from '../contract/ports/telemetry-log.ts';
import type { Outcomes } from './outcomes.ts';

/** As many devices as may be connected. */
const MAX_UNLOGGED = 50_000;

export interface LoginLogNeeds {
  readonly log: Pick<TelemetryLog, 'append'>;
  readonly directory: Pick<DeviceDirectory, 'peek'>;
  readonly outcomes: Pick<Outcomes, 'logged'>;
}

export class LoginLog {
  readonly #needs: LoginLogNeeds;
  /** Logins that the log did not take. */
  readonly #unlogged: PresenceChange[] = [];

  constructor(needs: LoginLogNeeds) {
    this.#needs = needs;
  }

  /** Before the first message of the connection, so it is durable before that one is acknowledged. */
  take(change: PresenceChange): void {
    const { connected, connection, at, remoteAddress, certificateSerial, tenant, device } = change;
    if (!connected || connection === undefined) return;
    const body = Buffer.from(JSON.stringify({ connection, remoteAddress, certificateSerial }));
    const model = this.#needs.directory.peek({ tenant, device })?.model ?? '';
    this.#needs.log.append({ kind: 'session', tenant, device, model, receivedAt: at, body }, (error, position) => {
      if (error) {
        // The log is full; the connection may outlive that.
        if (this.#unlogged.length < MAX_UNLOGGED) this.#unlogged.push(change);
        return;
      }
      this.#needs.outcomes.logged('session', position);
    });
  }

  /** Tries those again that the log did not take. */
  tryAgain(): void {
    for (const change of this.#unlogged.splice(0)) this.take(change);
  }
}
