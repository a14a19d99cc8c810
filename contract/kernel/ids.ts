/** Names of tenants and devices, and the MQTT client id made of both. */
import { z } from 'zod';

/** Tenant id: `[a-z0-9-]{1,24}`. */
export const TENANT_PATTERN = /^[a-z0-9-]{1,24}$/;
/** Device id within its tenant: `[A-Za-z0-9_:-]{1,39}`. */
export const DEVICE_PATTERN = /^[A-Za-z0-9_:-]{1,39}$/;
/** Boot id: random, new at each start of the device. */
export const BOOT_PATTERN = /^[A-Za-z0-9_-]{1,32}$/;
/** Signal name: camelCase or snake_case; also what becomes a column or field name in the stores. */
export const SIGNAL_PATTERN = /^[A-Za-z][A-Za-z0-9_]{0,63}$/;

export const tenantId = z.string().regex(TENANT_PATTERN, 'expected 1–24 of a-z 0-9 -');
export const deviceId = z.string().regex(DEVICE_PATTERN, 'expected 1–39 of A-Z a-z 0-9 _ : -');
export const bootId = z.string().regex(BOOT_PATTERN, 'expected 1–32 of A-Z a-z 0-9 _ -');
export const signalName = z
  .string()
  .regex(SIGNAL_PATTERN, 'expected a letter, then up to 63 of A-Z a-z 0-9 _')
  // Harmless as data, and poison wherever somebody copies them into an object.
  .refine((name) => name !== 'constructor' && name !== 'prototype', 'this name is taken');

/** A device is only unique together with its tenant. */
export interface DeviceRef {
  readonly tenant: string;
  readonly device: string;
}

/** Identity of a message: unique for ever, whatever is sent again. */
export interface MessageIdentity extends DeviceRef {
  readonly boot: string;
  readonly seq: number;
}

/** Key of a device in maps: neither part may hold a dot, so the pair is unambiguous. Also its MQTT client id. */
export function clientIdOf(ref: DeviceRef): string {
  return `${ref.tenant}.${ref.device}`;
}

/** The device behind a client id, or `undefined` when it breaks the grammar. */
export function parseClientId(clientId: string): DeviceRef | undefined {
  const dot = clientId.indexOf('.');
  if (dot < 0) return undefined;
  const tenant = clientId.slice(0, dot);
  const device = clientId.slice(dot + 1);
  return TENANT_PATTERN.test(tenant) && DEVICE_PATTERN.test(device) ? { tenant, device } : undefined;
}

/** Integration id within its tenant: `[a-z0-9-]{1,39}`. */
export const INTEGRATION_PATTERN = /^[a-z0-9-]{1,39}$/;
export const integrationId = z.string().regex(INTEGRATION_PATTERN, 'expected 1–39 of a-z 0-9 -');

/** A program of a tenant that reads what its devices send: no device, and no user. */
export interface IntegrationRef {
  readonly tenant: string;
  readonly integration: string;
}

/** MQTT user name of an integration. The slash keeps it apart from every device, whose name has a dot. */
export function userNameOf(ref: IntegrationRef): string {
  return `${ref.tenant}/${ref.integration}`;
}

/** The integration behind a user name, or `undefined` when it breaks the grammar. */
export function parseUserName(userName: string): IntegrationRef | undefined {
  const [tenant = '', integration = '', ...more] = userName.split('/');
  if (more.length > 0 || !TENANT_PATTERN.test(tenant) || !INTEGRATION_PATTERN.test(integration)) return undefined;
  return { tenant, integration };
}

export const PARTITION_COUNT = 64;

/** Partition of a device, 0..63: FNV-1a over its client id, so that every process agrees without talking. */
export function partitionOf(ref: DeviceRef): number {
  return fnv1a(clientIdOf(ref)) % PARTITION_COUNT;
}

/** 32-bit FNV-1a over the UTF-16 units of `text` (Fowler, Noll, Vo). Spreads keys; not for secrets. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash ^= text.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193);
  }
  return hash >>> 0;
}
