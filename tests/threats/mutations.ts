/**
 * For each threat of docs/threats.md the defences that answer it, as edits that take one of them out, and the tests that
 * must notice. `npm run threats` makes them do it; tests/tidy/threats.test.ts keeps the list true meanwhile.
 */
import { DOOR_MUTATIONS } from './door-mutations.ts';
import { FILE_MUTATIONS } from './file-mutations.ts';
import { LOAD_MUTATIONS } from './load-mutations.ts';
import type { Mutation } from './mutation.ts';
import { PAYLOAD_MUTATIONS } from './payload-mutations.ts';

export const MUTATIONS: readonly Mutation[] = [
  ...DOOR_MUTATIONS,
  ...LOAD_MUTATIONS,
  ...PAYLOAD_MUTATIONS,
  ...FILE_MUTATIONS,
];
