/** One POST of a webhook, with the outbound rules: resolve, judge every address, pin it, no redirect, short, capped. */
import { lookup as resolveHost } from 'node:dns/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import ipaddr from 'ipaddr.js';
import { errorText } from '../../contract/kernel/errors.ts';
import { isRetriableStatus } from '../../contract/kernel/retry.ts';
import { hostOf, judgeAddress, judgeUrl } from './address-guard.ts';

export type DeliveryOutcome =
  | { readonly kind: 'delivered'; readonly status: number }
  | { readonly kind: 'retriable'; readonly status?: number; readonly error: string }
  | { readonly kind: 'refused'; readonly status?: number; readonly error: string };

export interface OutboundRules {
  /** Loopback (also over plain http) and private addresses are allowed: demo, tests, receivers inside one's own network. */
  readonly allowPrivate: boolean;
  /** For the whole exchange; 5 s. */
  readonly timeoutMs?: number;
}

const MAX_ANSWER_BYTES = 64 * 1024;

export async function postWebhook(
  target: string,
  headers: Readonly<Record<string, string>>,
  body: string,
  rules: OutboundRules,
): Promise<DeliveryOutcome> {
  const url = new URL(target);
  const verdict = judgeUrl(url, rules.allowPrivate);
  if (verdict.kind === 'refused') return { kind: 'refused', error: verdict.reason };
  let address: { address: string; family: number };
  try {
    const found = await resolve(hostOf(url));
    // One bad address is enough: a name that sometimes points inside is an attack.
    for (const one of found) {
      const judged = judgeAddress(one.address, rules.allowPrivate);
      if (judged.kind === 'refused') return { kind: 'refused', error: judged.reason };
    }
    const [first] = found;
    if (!first) return { kind: 'retriable', error: 'the host has no address' };
    address = first;
  } catch (error) {
    return { kind: 'retriable', error: errorText(error) };
  }
  try {
    const status = await exchange(url, address, headers, body, rules.timeoutMs ?? 5_000);
    return judgeStatus(status);
  } catch (error) {
    return { kind: 'retriable', error: errorText(error) };
  }
}

/** 2xx is taken; redirects are refused (they could lead inside); the rest by the one retry policy. */
export function judgeStatus(status: number): DeliveryOutcome {
  if (status >= 200 && status < 300) return { kind: 'delivered', status };
  const error = `the receiver answered ${status}`;
  return isRetriableStatus(status) ? { kind: 'retriable', status, error } : { kind: 'refused', status, error };
}

async function resolve(host: string): Promise<{ address: string; family: number }[]> {
  if (ipaddr.isValid(host)) return [{ address: host, family: ipaddr.parse(host).kind() === 'ipv6' ? 6 : 4 }];
  return resolveHost(host, { all: true });
}

/** Status of the answer; its body is read and thrown away up to a limit. */
function exchange(
  url: URL,
  pinned: { address: string; family: number },
  headers: Readonly<Record<string, string>>,
  body: string,
  timeoutMs: number,
): Promise<number> {
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((done, failed) => {
    const request = send(
      url,
      {
        method: 'POST',
        headers: { ...headers, 'content-length': String(Buffer.byteLength(body)) },
        agent: false,
        signal: AbortSignal.timeout(timeoutMs),
        // The address that was judged is the one that is used: a second lookup could say something else.
        lookup: (_host, options, callback) => {
          if (options.all) callback(null, [pinned]);
          else callback(null, pinned.address, pinned.family);
        },
      },
      (answer) => {
        let size = 0;
        answer.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > MAX_ANSWER_BYTES) request.destroy(new Error('the answer is too large'));
        });
        answer.once('end', () => done(answer.statusCode ?? 0));
        answer.once('error', failed);
      },
    );
    request.once('error', failed);
    request.end(body);
  });
}
