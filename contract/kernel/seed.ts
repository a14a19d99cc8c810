/** The seed file (`PRESAGE_SEED_FILE`): what tests and demos start with. Applied idempotently. */
import { z } from 'zod';
import { deviceId, integrationId, tenantId } from './ids.ts';

export const seedFile = z.strictObject({
  tenants: z.array(
    z.strictObject({
      id: tenantId,
      name: z.string().min(1).max(120),
      centres: z
        .array(
          z.strictObject({
            id: z.string().min(1).max(64),
            name: z.string().min(1).max(120),
            timeZone: z.string().default('UTC'),
            /** Where the centre wants to hear of tickets; the secret starts with `whsec_`. */
            webhook: z.strictObject({ url: z.url(), secret: z.string().startsWith('whsec_') }).optional(),
          }),
        )
        .min(1),
      users: z.array(
        z.strictObject({
          id: z.string().min(1).max(64),
          role: z.enum(['viewer', 'agent', 'engineer', 'manager', 'admin']),
          centre: z.string().optional(),
          /** API tokens, at least 32 characters. */
          tokens: z.array(z.string().min(32).max(200)).default([]),
        }),
      ),
      devices: z
        .array(
          z.strictObject({
            id: deviceId,
            model: z.string(),
            serial: z.string().optional(),
            centre: z.string().optional(),
            /** At least 128 bit: 22 characters of base64url. */
            secret: z.string().min(22).max(200),
          }),
        )
        .default([]),
      /** Programs that read along over MQTT. */
      integrations: z
        .array(z.strictObject({ id: integrationId, secret: z.string().min(22).max(200) }))
        .max(100)
        .optional(),
      /** Overrides of the ticket policy; see api/desk/policy.ts. */
      policy: z.record(z.string(), z.unknown()).optional(),
    }),
  ),
});
export type SeedFile = z.infer<typeof seedFile>;
