/** docs/broker.md tells the truth about defaults, reasons and metrics. */
import { describe, expect, it } from 'vitest';
import { DEFAULT_BROKER_OPTIONS } from '../../broker/options.ts';
import { ERRORS } from '../../contract/kernel/errors.ts';
import { readTracked, sourceFiles } from '../support/source-files.ts';

const page = readTracked('docs/broker.md');

describe('docs/broker.md', () => {
  it('shows every option with its default', () => {
    const rows = [...page.matchAll(/^\| `(\w+)` \| ([\d.,]+) \|/gm)].map(([, name, value]) => [name, value]);
    const shown = Object.entries(DEFAULT_BROKER_OPTIONS).map(([name, value]) => [
      name,
      // A port is a name, not a quantity.
      name === 'port' ? String(value) : value.toLocaleString('en'),
    ]);
    expect(rows).toEqual(shown);
  });

  it('names only reasons of the error catalogue', () => {
    const reasons = [...page.matchAll(/`((?:MQTT|NOT)_[A-Z0-9_]+)`/g)].map((match) => match[1] ?? '');
    expect(reasons.filter((reason) => !(reason in ERRORS))).toEqual([]);
    const declared = Object.keys(ERRORS).filter((code) => code.startsWith('MQTT_'));
    expect(declared.filter((code) => !reasons.includes(code))).toEqual([]);
  });

  it('names every metric of the broker', () => {
    const used = sourceFiles('broker').flatMap((file) => file.text.match(/presage_mqtt_\w+/g) ?? []);
    expect([...new Set(used)].filter((name) => !page.includes(`\`${name}`))).toEqual([]);
  });

  it('names only tests that exist', () => {
    const rows = page.split('\n').filter((line) => line.startsWith('|') && line.includes('`tests/'));
    const named = rows.flatMap((row) =>
      [...row.matchAll(/`(tests\/[\w/.-]+)` ((?:“[^”]+”(?:, )?)+)/g)].flatMap(([, file = '', names = '']) =>
        [...names.matchAll(/“([^”]+)”/g)].map(([, name = '']) => ({ file, name })),
      ),
    );
    expect(rows).toHaveLength(15);
    expect(named.length).toBeGreaterThan(30);
    expect(named.filter(({ file, name }) => !readTracked(file).includes(name))).toEqual([]);
  });
});
