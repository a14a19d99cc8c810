/**
 * Which addresses our own server may be sent to by a webhook setting. Without this rule a tenant could make it call
 * services inside the operator's network (server-side request forgery).
 */
import ipaddr from 'ipaddr.js';

export type AddressVerdict = { readonly kind: 'allowed' } | { readonly kind: 'refused'; readonly reason: string };

const ALLOWED: AddressVerdict = { kind: 'allowed' };
const refused = (reason: string): AddressVerdict => ({ kind: 'refused', reason });

/** Whether the URL itself may be used: https, no credentials in it; plain http only to loopback where that is allowed. */
export function judgeUrl(url: URL, allowPrivate: boolean): AddressVerdict {
  if (url.username !== '' || url.password !== '') return refused('the URL holds credentials');
  if (url.protocol === 'https:') return ALLOWED;
  if (url.protocol !== 'http:') return refused(`the scheme ${url.protocol} is not https:`);
  const host = hostOf(url);
  const loopback = host === 'localhost' || (ipaddr.isValid(host) && rangeOf(host) === 'loopback');
  return allowPrivate && loopback ? ALLOWED : refused('the scheme is not https:');
}

/**
 * Whether a resolved address may be connected to: a public unicast address; private and loopback ones only where that
 * is allowed; link-local (cloud metadata), multicast, reserved and unspecified ones never.
 */
export function judgeAddress(address: string, allowPrivate: boolean): AddressVerdict {
  if (!ipaddr.isValid(address)) return refused(`${address} is no address`);
  const range = rangeOf(address);
  if (range === 'unicast') return ALLOWED;
  if (allowPrivate && (range === 'loopback' || range === 'private' || range === 'uniqueLocal')) return ALLOWED;
  return refused(`${address} is a ${range} address`);
}

/** Host without the brackets of IPv6. The URL class has already turned 2130706433 and 0x7f.1 into 127.0.0.1. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

/** `::ffff:10.0.0.1` counts as what it holds. */
function rangeOf(address: string): string {
  return ipaddr.process(address).range();
}
