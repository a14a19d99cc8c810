/** Hygiene of what is tracked. */
import { describe, expect, it } from 'vitest';
import { readTracked, sourceFiles, trackedFiles } from '../support/source-files.ts';

describe('repository', () => {
  it('has a lock file without download addresses', () => {
    expect(readTracked('package-lock.json')).not.toMatch(/"resolved"/);
  });

  it('pins every dependency to one exact version', () => {
    const { dependencies, devDependencies } = JSON.parse(readTracked('package.json')) as Record<
      string,
      Record<string, string>
    >;
    const loose = Object.entries({ ...dependencies, ...devDependencies }).filter(
      ([, version]) => !/^\d+\.\d+\.\d+([-.][\w.-]+)?$/.test(version),
    );
    expect(loose).toEqual([]);
  });

  it('says at the head of every source file what it is for', () => {
    const silent = sourceFiles('contract', 'broker', 'ingest', 'analytics', 'device-sim', 'api', 'app')
      .filter((file) => !/^(#!.*\n)?\/\*\*/.test(file.text))
      .map((file) => file.path);
    expect(silent).toEqual([]);
  });

  it('has no focused test', () => {
    const focused = trackedFiles('tests').filter(
      (path) =>
        path.endsWith('.ts') &&
        path !== 'tests/tidy/repository.test.ts' &&
        /\b(describe|it|test)\.only\(/.test(readTracked(path)),
    );
    expect(focused).toEqual([]);
  });

  it('links only to files that are there', () => {
    const documents = trackedFiles('README.md', 'docs').filter((path) => path.endsWith('.md'));
    const tracked = new Set(trackedFiles());
    const broken = documents.flatMap((path) =>
      [...readTracked(path).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)/g)]
        .map((match) => new URL(match[1] ?? '', `file:///${path}`).pathname.slice(1))
        .filter(
          (target) =>
            !tracked.has(target) &&
            ![...tracked].some((file) => file.startsWith(target.endsWith('/') ? target : `${target}/`)),
        )
        .map((target) => `${path} → ${target}`),
    );
    expect(broken).toEqual([]);
  });
});
