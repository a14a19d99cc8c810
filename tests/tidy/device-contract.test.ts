/** docs/device-contract.md tells the truth: its examples meet the schemas, and every channel has one. */
import { describe, expect, it } from 'vitest';
import { PAYLOADS } from '../../contract/wire/payloads.ts';
import { DOWNSTREAM_CHANNELS, UPSTREAM_CHANNELS } from '../../contract/wire/topics.ts';
import { readTracked } from '../support/source-files.ts';

const EXAMPLE = /<!-- example: ([\w/]+) -->\n```json\n([\s\S]*?)\n```/g;
const examples = [...readTracked('docs/device-contract.md').matchAll(EXAMPLE)].map((match) => ({
  channel: match[1] as keyof typeof PAYLOADS,
  json: match[2] ?? '',
}));

describe('docs/device-contract.md', () => {
  it('shows an example of every channel', () => {
    expect(examples.map((example) => example.channel).sort()).toEqual(
      [...UPSTREAM_CHANNELS, ...DOWNSTREAM_CHANNELS].sort(),
    );
  });

  it.each(examples)('has a valid example for $channel', ({ channel, json }) => {
    expect(PAYLOADS[channel].safeParse(JSON.parse(json)).error?.issues).toBeUndefined();
  });
});
