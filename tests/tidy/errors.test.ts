/** Keeps docs/errors.md honest: exactly the codes of the catalogue, each with its status. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ERRORS } from '../../contract/kernel/errors.ts';

const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
const documented = [...page.matchAll(/^\| `([A-Z0-9_]+)` \| (\d{3}) \| (yes|no) \| (.+) \| (.+) \|$/gm)].map(
  ([, code, status, retriable, title, hint]) => ({
    code,
    status: Number(status),
    retriable: retriable === 'yes',
    title,
    hint,
  }),
);

describe('docs/errors.md', () => {
  it('lists exactly the codes of the catalogue, with status, retry, meaning and hint', () => {
    const catalogue = Object.entries(ERRORS).map(([code, spec]) => ({
      code,
      status: spec.status,
      retriable: spec.retriable,
      title: spec.title,
      hint: spec.hint,
    }));
    expect(documented).toEqual(catalogue);
  });
});
