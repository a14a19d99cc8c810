/**
 * Picks from what was refused what speaks of an attack rather than of a mistake, and tells who listens. A listener must
 * return at once: the door does not wait for it.
 */
import type { ErrorCode } from '../contract/kernel/errors.ts';
import { clientIdOf, type DeviceRef, parseUserName } from '../contract/kernel/ids.ts';
import type { SecurityEvent } from '../contract/ports/broker.ts';
import type { Clock } from '../contract/ports/services.ts';
import type { Connection } from './connection.ts';

export type SecurityListener = (event: SecurityEvent) => void;

export interface Watch {
  /** A refusal of any kind. */
  refused(connection: Connection, reason: ErrorCode, detail: string): void;
  /** The connection took over from one at another address. */
  moved(connection: Connection, previousAddress: string): void;
  /** Returns how to stop listening. */
  subscribe(listener: SecurityListener): () => void;
}

/** A denied subscription is none: dashboards and debugging do that, and nothing comes of it. */
const ATTACKS: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['MQTT_TOPIC', 'MQTT_CLIENT_ID', 'MQTT_CERTIFICATE']);

/** A client id may be just malformed; it is an attack when it is another's. */
function isAttack({ suspect }: Connection, reason: ErrorCode): boolean {
  return ATTACKS.has(reason) && (reason !== 'MQTT_CLIENT_ID' || suspect !== undefined);
}

/** @param onListenerError what a listener threw; the door itself goes on */
export function createWatch(clock: Clock, onListenerError: (error: unknown) => void): Watch {
  const listeners = new Set<SecurityListener>();

  function tell(connection: Connection, kind: ErrorCode, detail: string): void {
    const who = whoOf(connection);
    // Of a tenant that nobody can name, nobody can be told.
    if (!who) return;
    const serial = connection.peer?.serial ?? connection.suspect?.certificateSerial;
    const event: SecurityEvent = {
      ...who,
      kind,
      at: clock.now(),
      remoteAddress: connection.remoteAddress,
      ...(serial === undefined ? {} : { certificateSerial: serial }),
      detail,
      proved: AFTER_LOGIN.has(kind) || isCertified(connection, who),
    };
    for (const listener of listeners) {
      try {
        listener(event);
      } catch (error) {
        onListenerError(error);
      }
    }
  }

  return {
    refused(connection, reason, detail) {
      if (isAttack(connection, reason)) tell(connection, reason, detail);
    },
    moved: (connection, previousAddress) => tell(connection, 'MQTT_MOVED', `it was connected from ${previousAddress}`),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Nobody comes as far as this without a secret or certificate. */
const AFTER_LOGIN: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['MQTT_TOPIC', 'MQTT_MOVED']);

function whoOf({ ref, suspect, integration }: Connection): Pick<SecurityEvent, 'tenant' | 'device'> | undefined {
  const device = ref ?? suspect?.ref;
  if (device) return { tenant: device.tenant, device: device.device };
  const tenant = parseUserName(integration ?? '')?.tenant;
  return tenant === undefined ? undefined : { tenant };
}

function isCertified({ peer }: Connection, { tenant, device }: { tenant: string; device?: string }): boolean {
  return device !== undefined && peer?.commonName === clientIdOf({ tenant, device } satisfies DeviceRef);
}
