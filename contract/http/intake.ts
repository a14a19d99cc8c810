/** A fault that people report, by whatever channel: what is needed, and what is asked for when it is missing. */
import { z } from 'zod';
import { deviceId } from '../kernel/ids.ts';
import { severity } from '../ports/findings.ts';
import { SERVICE_KINDS, SERVICE_MODES } from './service-terms.ts';

/** Channels on which people speak; predictions and devices have their own way in. */
export const REPORT_SOURCES = [
  'phone',
  'web',
  'app',
  'email',
  'chat',
  'social',
  'marketplace',
  'walk-in',
  'partner',
] as const;

export const contactDetails = z.strictObject({
  name: z.string().min(1).max(120),
  phone: z.string().min(3).max(40).optional(),
  email: z.email().max(254).optional(),
  language: z.enum(['en', 'zh-CN']).default('en'),
});
export type ContactDetails = z.infer<typeof contactDetails>;

const facts = {
  /** A registered device, or its serial number; a serial that is not registered is kept as it was said. */
  device: deviceId.optional(),
  serial: z.string().min(1).max(64).optional(),
  model: z.string().min(1).max(64).optional(),
  component: z.string().min(1).max(64).optional(),
  purchasedOn: z.iso.date().optional(),
  contact: contactDetails.optional(),
};

export const faultReport = z.strictObject({
  source: z.enum(REPORT_SOURCES),
  kind: z.enum(SERVICE_KINDS).default('repair'),
  mode: z.enum(SERVICE_MODES).default('remote'),
  /** In the customer's words. */
  symptom: z.string().min(3).max(2_000),
  severity: severity.default('minor'),
  centre: z.string().min(1).max(64).optional(),
  ...facts,
});
export type FaultReport = z.infer<typeof faultReport>;

/** What was asked for and is known now. */
export const intakeChange = z
  .strictObject(facts)
  .refine((change) => Object.values(change).some((value) => value !== undefined), 'name at least one field');
export type IntakeChange = z.infer<typeof intakeChange>;

export const INTAKE_ASKS = ['modelOrSerial', 'purchasedOn', 'contact'] as const;

/** What people said when they reported it. */
export const ticketIntake = z.object({
  symptom: z.string(),
  serial: z.string().optional(),
  purchasedOn: z.string().optional(),
  /** Whether a contact is known; who it is takes a request of its own, which is recorded. */
  hasContact: z.boolean(),
  /** Still missing. */
  asks: z.array(z.enum(INTAKE_ASKS)),
});
export type TicketIntake = z.infer<typeof ticketIntake>;
