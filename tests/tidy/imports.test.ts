/** Who may import whom. Imports do not follow data: every folder knows only the contract, and app/ joins them. */
import { describe, expect, it } from 'vitest';
import { sourceFiles } from '../support/source-files.ts';

const PARTS = ['broker', 'ingest', 'analytics', 'device-sim', 'api'] as const;
/** Folders without I/O, clock or randomness. */
const PURE = [
  'contract/kernel',
  'contract/wire',
  'contract/http',
  'contract/devices',
  'contract/ports',
  'analytics/stats',
  'analytics/detectors',
  'analytics/prognosis',
  'analytics/survival',
  'analytics/alerts',
  'analytics/diagnosis',
  'analytics/rules',
  'api/desk',
];
const isOwn = (specifier: string): boolean =>
  /^[\w-]+\/.*\.(ts|js|json)$/.test(specifier) &&
  !specifier.startsWith('@') &&
  /^(contract|broker|ingest|analytics|device-sim|api|app|console|tests)\//.test(specifier);

describe('imports', () => {
  it.each(PARTS)('%s imports only the contract and itself', (part) => {
    const wrong = sourceFiles(part).flatMap((file) =>
      file.imports
        .filter(
          (specifier) => isOwn(specifier) && !specifier.startsWith(`${part}/`) && !specifier.startsWith('contract/'),
        )
        .map((specifier) => `${file.path} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  it('the contract is a leaf: zod is all it needs', () => {
    const wrong = sourceFiles('contract').flatMap((file) =>
      file.imports
        .filter((specifier) => specifier !== 'zod' && !specifier.startsWith('contract/'))
        .map((specifier) => `${file.path} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  it('nothing imports app/ but app/ and the tests', () => {
    const wrong = sourceFiles(...PARTS, 'contract').flatMap((file) =>
      file.imports
        .filter((specifier) => specifier.startsWith('app/'))
        .map((specifier) => `${file.path} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });
});

describe('the truth about simulated faults', () => {
  /** What knows which fault a device has, and when. */
  const TRUTH =
    /^device-sim\/(faults|models)\/|^device-sim\/(stories|simulated-device|fleet|confounders|sensors|record-device|draw-recordings)\.ts$/;

  it('is read by the simulator, by the command that starts it and by the demo that is judged with it, and by nobody else', () => {
    const readers = sourceFiles('contract', ...PARTS, 'app', 'console')
      .filter((file) => !file.path.startsWith('device-sim/') && file.imports.some((specifier) => TRUTH.test(specifier)))
      .map((file) => file.path);
    expect(
      readers.filter((path) => path !== 'app/commands/sim.ts' && !/^app\/(demo\/|commands\/demo\.ts)/.test(path)),
    ).toEqual([]);
    expect(readers).toContain('app/commands/sim.ts');
  });
});

describe('pure folders', () => {
  const files = sourceFiles(...PURE);

  it('use nothing of Node: pass what is needed as arguments', () => {
    const wrong = files.flatMap((file) =>
      file.imports
        .filter((specifier) => specifier.startsWith('node:'))
        .map((specifier) => `${file.path} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  it.each([
    ['the clock', /\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(/, 'take `now` or an event time as an argument'],
    ['randomness', /\bMath\.random\(|\brandomUUID\(/, 'take a seeded Random as an argument'],
    ['timers', /\bset(?:Timeout|Interval|Immediate)\(/, 'the caller waits'],
  ])('do not use %s', (_what, pattern, instead) => {
    const wrong = files
      .filter((file) => pattern.test(withoutComments(file.text)))
      .map((file) => `${file.path}: ${instead}`);
    expect(wrong).toEqual([]);
  });
});

describe('configuration', () => {
  it('is read from the environment only by app/config.ts and its caller', () => {
    const wrong = sourceFiles(...PARTS, 'contract', 'app')
      .filter(
        (file) =>
          !['app/config.ts', 'app/cli.ts', 'app/cli-support.ts'].includes(file.path) &&
          /process\.env/.test(withoutComments(file.text)),
      )
      .map((file) => file.path);
    expect(wrong).toEqual([]);
  });
});

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');
}
