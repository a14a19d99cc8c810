/**
 * How much one device, one tenant and one address may ask of the broker, so that none of them takes it from the others.
 * Budgets outlive connections: who reconnects does not get a fresh one. Pure but for what it remembers: time is an
 * argument, monotonic ms.
 */
import ipaddr from 'ipaddr.js';
import { clientIdOf, type DeviceRef } from '../contract/kernel/ids.ts';
import { type Bucket, book, isHalfFull, newBucket, type Pace, tryBook } from './bucket.ts';
import type { BrokerOptions } from './options.ts';

/** What a device has left. */
export interface DeviceBudget {
  readonly messages: Bucket;
  readonly logins: Bucket;
  /** Shared by all devices of the tenant. */
  readonly tenant: Bucket;
  /** Since when it has been over its own limit without a rest. */
  overSince: number | undefined;
}

export type Booking =
  | { readonly kind: 'now' }
  | { readonly kind: 'wait'; readonly ms: number; readonly because: 'device' | 'tenant' }
  /** Over its limit for longer than is waited for. */
  | { readonly kind: 'flood'; readonly ms: number };

export interface DeviceLimits {
  budgetOf(ref: DeviceRef): DeviceBudget;
  /** Whether the device may log in once more. */
  login(budget: DeviceBudget, now: number): boolean;
  /** Books one message. */
  message(budget: DeviceBudget, now: number): Booking;
}

type Rates = Pick<
  BrokerOptions,
  | 'deviceMessagesPerS'
  | 'deviceMessagesBurst'
  | 'tenantMessagesPerS'
  | 'floodCloseMs'
  | 'loginsPerMinute'
  | 'maxBudgets'
>;

const NOW: Booking = { kind: 'now' };

/** @param onForgotten a device's budget was dropped to make room: its next login starts with a full one */
export function createDeviceLimits(rates: Rates, onForgotten: () => void): DeviceLimits {
  const devicePace: Pace = { perSecond: rates.deviceMessagesPerS, burst: rates.deviceMessagesBurst };
  const tenantPace: Pace = { perSecond: rates.tenantMessagesPerS, burst: rates.tenantMessagesPerS };
  const loginPace: Pace = { perSecond: rates.loginsPerMinute / 60, burst: rates.loginsPerMinute };
  /** by client id, longest not logged in first */
  const devices = new Map<string, DeviceBudget>();
  /** by tenant, longest without a login first */
  const tenants = new Map<string, Bucket>();

  return {
    budgetOf(ref) {
      const tenant = keepNewest(tenants, ref.tenant, newBucket, rates.maxBudgets, () => {});
      const fresh = () => ({ messages: newBucket(), logins: newBucket(), tenant, overSince: undefined });
      return keepNewest(devices, clientIdOf(ref), fresh, rates.maxBudgets, onForgotten);
    },
    login: (budget, now) => tryBook(budget.logins, loginPace, now),
    message(budget, now) {
      if (isHalfFull(budget.messages, devicePace, now)) budget.overSince = undefined;
      const ofDevice = book(budget.messages, devicePace, now);
      const ofTenant = book(budget.tenant, tenantPace, now);
      if (ofDevice > 0) budget.overSince ??= now;
      const overMs = budget.overSince === undefined ? 0 : now - budget.overSince;
      if (overMs > rates.floodCloseMs) return { kind: 'flood', ms: overMs };
      if (ofDevice === 0 && ofTenant === 0) return NOW;
      const because = ofDevice >= ofTenant ? 'device' : 'tenant';
      return { kind: 'wait', ms: Math.max(ofDevice, ofTenant), because };
    },
  };
}

/** The entry of `key`, made when it is not there, moved to the end; the oldest leaves when there are more than `max`. */
export function keepNewest<Value>(
  map: Map<string, Value>,
  key: string,
  make: () => Value,
  max: number,
  onForgotten: () => void,
): Value {
  const value = map.get(key) ?? make();
  map.delete(key);
  map.set(key, value);
  if (map.size > max) {
    const [oldest] = map.keys();
    if (oldest !== undefined) map.delete(oldest);
    onForgotten();
  }
  return value;
}

export interface AddressLimit {
  /** Whether one more connection may come from there; counted when it may. */
  enter(address: string): boolean;
  leave(address: string): void;
}

/** Bounded by the number of open connections. */
export function createAddressLimit(maxPerAddress: number): AddressLimit {
  /** open connections by network */
  const open = new Map<string, number>();
  return {
    enter(address) {
      const network = networkOf(address);
      const count = open.get(network) ?? 0;
      if (count >= maxPerAddress) return false;
      open.set(network, count + 1);
      return true;
    },
    leave(address) {
      const network = networkOf(address);
      const count = (open.get(network) ?? 0) - 1;
      if (count > 0) open.set(network, count);
      else open.delete(network);
    },
  };
}

/** Whom an address belongs to: one line with IPv6 is given 2^64 addresses, so there the first half counts. */
export function networkOf(address: string): string {
  if (!address.includes(':') || !ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  if (parsed.kind() === 'ipv4') return parsed.toString();
  return `${parsed.toByteArray().slice(0, 8).join('.')}/64`;
}
