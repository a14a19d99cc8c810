/** Line protocol, read back by a small parser of our own: nothing a device sends can end up anywhere but in its value. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SignalValue } from '../../contract/wire/payloads.ts';
import { fieldOf, linesOf, measurementOf, signalOf, timestampNs } from '../../ingest/store/influx-lines.ts';
import { preferredSlot } from '../../ingest/store/influx-slots.ts';
import { BASE_TIME_MS, message } from '../support/store-samples.ts';

interface ParsedLine {
  readonly measurement: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly fields: ReadonlyMap<string, SignalValue>;
  readonly time: string;
}

/** Reads one line as the line protocol's reference describes it: quotes first, then separators. */
function parseLine(line: string): ParsedLine {
  const parts: string[] = [''];
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const character = line[i] as string;
    if (character === '\\' && (!quoted || /["\\]/.test(line[i + 1] ?? ''))) {
      parts[parts.length - 1] += character + (line[++i] ?? '');
      continue;
    }
    if (character === '"') quoted = !quoted;
    if (character === '\n' && !quoted) throw new Error('a second line');
    if (character === ' ' && !quoted) parts.push('');
    else parts[parts.length - 1] += character;
  }
  const [key = '', fields = '', time = '', ...rest] = parts;
  if (rest.length > 0 || quoted) throw new Error(`not one line: ${line}`);
  const [measurement = '', ...tags] = splitOutsideQuotes(key, ',');
  return {
    measurement,
    time,
    tags: Object.fromEntries(tags.map((tag) => splitOutsideQuotes(tag, '='))),
    fields: new Map(splitOutsideQuotes(fields, ',').map(parseField)),
  };
}

function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts = [''];
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const character = text[i] as string;
    if (quoted && character === '\\') parts[parts.length - 1] += character + (text[++i] ?? '');
    else if (character === separator && !quoted) parts.push('');
    else {
      if (character === '"') quoted = !quoted;
      parts[parts.length - 1] += character;
    }
  }
  return parts;
}

function parseField(field: string): [string, SignalValue] {
  const equals = field.indexOf('=');
  const [name, raw] = [field.slice(0, equals), field.slice(equals + 1)];
  if (raw.startsWith('"')) return [name, raw.slice(1, -1).replace(/\\(["\\])/g, '$1')];
  if (raw === 'true' || raw === 'false') return [name, raw === 'true'];
  return [name, Number(raw.replace(/i$/, ''))];
}

describe('InfluxDB lines', () => {
  it('read back as they were meant, for 10,000 texts of any kind', () => {
    const text = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 40 }),
      fc.string({ unit: fc.constantFrom('\\', '"', ',', ' ', '=', '\n', '\r', 'i', '#'), maxLength: 16 }),
    );
    const number = fc.double({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(text, number, fc.boolean(), (note, level, open) => {
        const sent = message({
          device: 'a:b',
          seq: 3,
          model: 'pump',
          samples: [[BASE_TIME_MS, { note, level, open }]],
        });
        const [line = ''] = linesOf(sent, sent.samples);
        const { measurement, tags, fields } = parseLine(line);
        expect([measurement, tags]).toEqual(['pump', { device: 'a:b', tenant: 'acme' }]);
        expect(Object.fromEntries(fields)).toEqual({
          boot: 'boot1',
          seq: 3,
          idx: 0,
          received_at: sent.receivedAt,
          backfill: false,
          note,
          level,
          open,
        });
      }),
      { numRuns: 10_000 },
    );
  });

  it('name any model so that it needs no escaping and stays distinct', () => {
    expect(['refrigerator', 'pump 3', '_x', 'a_b', '%20', 'ü\\', 'a\n,b=c'].map(measurementOf)).toEqual([
      'refrigerator',
      'pump%203',
      '%5Fx',
      'a_b',
      '%2520',
      '%C3%BC%5C',
      'a%0A%2Cb%3Dc',
    ]);
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (model) => {
        expect(measurementOf(model)).toMatch(/^([A-Za-z0-9:-][A-Za-z0-9_:-]*|%|(%[0-9A-F]{2}|[A-Za-z0-9_:-])*)$/);
        expect(decodeURIComponent(measurementOf(model))).toBe(model);
      }),
    );
  });

  it('keep signals apart from the schema’s own fields', () => {
    for (const signal of ['time', 'boot', 'backfill', 'tenant', 'level', 'Time'])
      expect(signalOf(fieldOf(signal))).toBe(signal);
    expect(signalOf('received_at')).toBeUndefined();
    expect(fieldOf('time')).toBe('signal.time');
  });

  it('give every sample of 2,000 messages in one millisecond a time of its own within that millisecond', () => {
    const identity = { tenant: 'acme', device: 'd', boot: 'k3f9q2' };
    const times = new Set<string>();
    for (let seq = 0; seq < 2_000; seq++) {
      for (const index of [0, 1, 498, 499]) {
        const time = timestampNs(preferredSlot({ ...identity, seq }), {
          index,
          observedAt: BASE_TIME_MS + 0.75,
        });
        expect(time.slice(0, -6)).toBe(String(BASE_TIME_MS));
        expect(time.length).toBe(19);
        times.add(time);
      }
    }
    expect(times.size).toBe(8_000);
  });
});
