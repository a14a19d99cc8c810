/** Where webhooks may go: nobody makes our server call into its own network. */
import { describe, expect, it } from 'vitest';
import { judgeAddress, judgeUrl } from '../../api/notify/address-guard.ts';
import { judgeStatus, postWebhook } from '../../api/notify/post-webhook.ts';

describe('a webhook address', () => {
  it.each([
    '127.0.0.1',
    '127.8.8.8',
    '0.0.0.0',
    '10.0.0.1',
    '172.16.5.4',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    'fe80::1',
    'fc00::1',
    'ff02::1',
    '::ffff:127.0.0.1',
    '::ffff:10.0.0.1',
    '64:ff9b::a00:1',
    '2002:7f00:1::',
    'not an address',
  ])('%s is refused', (address) => {
    expect(judgeAddress(address, false).kind).toBe('refused');
  });

  it('is allowed when it is public', () => {
    for (const address of ['93.184.216.34', '2606:2800:220:1:248:1893:25c8:1946']) {
      expect(judgeAddress(address, false)).toEqual({ kind: 'allowed' });
    }
  });

  it('may be private or loopback where the operator says so, but never link-local', () => {
    expect(judgeAddress('127.0.0.1', true).kind).toBe('allowed');
    expect(judgeAddress('10.1.2.3', true).kind).toBe('allowed');
    expect(judgeAddress('169.254.169.254', true).kind).toBe('refused');
    expect(judgeAddress('0.0.0.0', true).kind).toBe('refused');
  });

  it('must be https without credentials', () => {
    const verdict = (text: string, allowPrivate = false) => judgeUrl(new URL(text), allowPrivate).kind;
    expect(verdict('https://example.com/hook')).toBe('allowed');
    expect(verdict('http://example.com/hook')).toBe('refused');
    expect(verdict('http://example.com/hook', true)).toBe('refused');
    expect(verdict('ftp://example.com/')).toBe('refused');
    expect(verdict('https://user:secret@example.com/')).toBe('refused');
    expect(verdict('http://127.0.0.1:9/')).toBe('refused');
    expect(verdict('http://127.0.0.1:9/', true)).toBe('allowed');
    expect(verdict('http://localhost:9/', true)).toBe('allowed');
    expect(verdict('http://10.0.0.1/', true)).toBe('refused');
  });

  it.each([
    'https://2130706433/',
    'https://0x7f.1/',
    'https://017700000001/',
    'https://[::1]/',
    'https://[::ffff:7f00:1]/',
    'https://localhost/',
  ])('%s is seen through, and nothing is sent', async (url) => {
    expect(await postWebhook(url, {}, '{}', { allowPrivate: false })).toMatchObject({ kind: 'refused' });
  });

  it.each([
    [200, 'delivered'],
    [204, 'delivered'],
    [301, 'refused'],
    [302, 'refused'],
    [400, 'refused'],
    [404, 'refused'],
    [408, 'retriable'],
    [410, 'refused'],
    [425, 'retriable'],
    [429, 'retriable'],
    [500, 'retriable'],
    [501, 'refused'],
    [503, 'retriable'],
  ])('status %i is %s', (status, kind) => {
    expect(judgeStatus(status).kind).toBe(kind);
  });
});
