/** For `npx drizzle-kit generate --config api/db/drizzle.config.ts`: schema in, reviewed SQL files out. */
import { defineConfig } from 'drizzle-kit';

export default defineConfig({
  dialect: 'postgresql',
  schema: ['./api/db/schema.ts', './api/db/alarm-schema.ts'],
  out: './api/db/migrations',
  entities: { roles: false },
});
