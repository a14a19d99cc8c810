/** The list of planted faults fits the sources, and docs/threats.md says what it says. The faults are run by `npm run threats`. */
import { describe, expect, it } from 'vitest';
import { readTracked } from '../support/source-files.ts';
import { MUTATIONS } from '../threats/mutations.ts';

const THREATS = Array.from({ length: 22 }, (_, index) => index + 1);
const page = readTracked('docs/threats.md');
const rows = new Map(
  page.split('\n').flatMap((line): [number, string][] => {
    const [, number] = /^\| (\d+) \|/.exec(line) ?? [];
    return number === undefined ? [] : [[Number(number), line]];
  }),
);

describe('the planted faults', () => {
  it('each change exactly one place', () => {
    const off = MUTATIONS.filter(({ file, find }) => readTracked(file).split(find).length !== 2);
    expect(off.map(({ file, find }) => `${file}: ${find}`)).toEqual([]);
  });

  it('each change something', () => {
    expect(MUTATIONS.filter(({ find, replace }) => find === replace)).toEqual([]);
  });

  it('each name tests that exist', () => {
    const missing = MUTATIONS.flatMap(({ tests }) => tests).filter(
      ({ file, name }) => !readTracked(file).includes(name),
    );
    expect(missing).toEqual([]);
  });

  it('answer every threat', () => {
    const answered = new Set(MUTATIONS.map(({ threat }) => threat));
    expect(THREATS.filter((threat) => !answered.has(threat))).toEqual([]);
    expect(MUTATIONS.filter(({ threat }) => !THREATS.includes(threat))).toEqual([]);
  });
});

describe('docs/threats.md', () => {
  it('has a row for each threat', () => {
    expect([...rows.keys()]).toEqual(THREATS);
  });

  it('names the defences of each threat and the tests that notice their absence', () => {
    const missing = MUTATIONS.flatMap(({ threat, file, tests }) =>
      [file, ...tests.map((test) => test.file)]
        .filter((path) => !rows.get(threat)?.includes(`\`${path}\``))
        .map((path) => `${threat}: ${path}`),
    );
    expect(missing).toEqual([]);
  });
});
