import { defineConfig } from 'vitest/config';

/** Integration and scenario tests start real servers: they get long limits and run in few processes at a time. */
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['tests/{unit,checks,tidy}/**/*.test.ts'], testTimeout: 60_000 } },
      {
        test: {
          name: 'system',
          include: ['tests/{integration,scenarios}/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          pool: 'forks',
          maxWorkers: 2,
          // After the unit tests: vitest wants projects with different worker counts one after the other.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
