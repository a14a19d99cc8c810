/** The project's own source files and their imports, for the house rules in tests/tidy. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

export interface SourceFile {
  /** From the repository's root, with `/`. */
  readonly path: string;
  readonly text: string;
  /** Import specifiers as written, except that relative ones are resolved to paths from the root. */
  readonly imports: readonly string[];
}

const ROOT = new URL('../..', import.meta.url).pathname;
const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s[^'"`;]*?from\s*['"]([^'"]+)['"]|(?:^|\n)\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;

/** Files that git tracks or would track, below `folders` (all when none are named). */
export function trackedFiles(...folders: string[]): string[] {
  const output = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '--', ...folders], {
    cwd: ROOT,
  });
  return output
    .toString()
    .split('\n')
    .filter((path) => path !== '' && existsSync(join(ROOT, path)));
}

export function readTracked(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

export function sourceFiles(...folders: string[]): SourceFile[] {
  return trackedFiles(...folders)
    .filter((path) => path.endsWith('.ts'))
    .map((path) => {
      const text = readTracked(path);
      const imports = [...text.matchAll(IMPORT)].map((match) => {
        const specifier = match[1] ?? match[2] ?? match[3] ?? '';
        return specifier.startsWith('.') ? normalize(join(dirname(path), specifier)) : specifier;
      });
      return { path, text, imports };
    });
}
