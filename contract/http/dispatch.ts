/** Technicians, and who is sent when: candidates with reasons, and visits. Times are epoch ms. */
import { z } from 'zod';

export const place = z.strictObject({ lat: z.number().min(-90).max(90), lon: z.number().min(-180).max(180) });
export type Place = z.infer<typeof place>;

export const technicianSkill = z.strictObject({
  /** Product line: a device model, or `*` for all. */
  line: z.string().min(1).max(64),
  /** 1 general, 2 field, 3 specialist. */
  level: z.number().int().min(1).max(3),
  /** Without a valid one nobody is sent for that line. */
  certificate: z.strictObject({ name: z.string().min(1).max(120), validUntil: z.iso.date() }).optional(),
});

export const technicianBody = z
  .strictObject({
    name: z.string().min(1).max(120),
    centre: z.string().min(1).max(64),
    skills: z.array(technicianSkill).min(1).max(100),
    home: place.optional(),
    maxVisitsPerDay: z.number().int().min(1).max(50).default(6),
    active: z.boolean().default(true),
    /** Part numbers on the van. */
    van: z.array(z.string().min(1).max(64)).max(500).default([]),
  })
  .refine(({ skills }) => new Set(skills.map((one) => one.line)).size === skills.length, {
    message: 'one line each',
    path: ['skills'],
  });
export type TechnicianBody = z.infer<typeof technicianBody>;

export const technician = z.object({ id: z.string(), version: z.number().int(), ...technicianBody.shape });
export type Technician = z.infer<typeof technician>;

export const VISIT_STATES = ['booked', 'done', 'cancelled'] as const;

export const visit = z.object({
  id: z.string(),
  ticket: z.string(),
  technician: z.string(),
  from: z.number(),
  until: z.number(),
  state: z.enum(VISIT_STATES),
  bookedBy: z.string(),
  bookedAt: z.number(),
  /** Somebody else was better by the score; why it is this one. */
  overrideReason: z.string().optional(),
});
export type Visit = z.infer<typeof visit>;

/** Why somebody fits well or less well: `value` 0 … 1, weighed. */
export const scorePart = z.object({ name: z.string(), weight: z.number(), value: z.number(), reason: z.string() });

export const candidate = z.object({
  technician: z.string(),
  name: z.string(),
  /** First time within the window, travel before it left free. Absent: cannot be sent. */
  slot: z.object({ from: z.number(), until: z.number() }).optional(),
  /** Why not. */
  obstacles: z.array(z.string()),
  /** 0 … 1, of those that can be sent. */
  score: z.number().optional(),
  parts: z.array(scorePart),
});
export type Candidate = z.infer<typeof candidate>;

export const dispatchView = z.object({
  window: z.object({ from: z.number(), until: z.number(), reason: z.string() }),
  requiredLevel: z.number().int(),
  /** Best first; those that cannot be sent last, with the reasons. */
  candidates: z.array(candidate),
});
export type DispatchView = z.infer<typeof dispatchView>;

export const visitBody = z.strictObject({
  technician: z.string().min(1).max(64),
  from: z.number().int().min(0),
  durationMinutes: z.number().int().min(5).max(1_440),
  /** Needed when it is not the first of the candidates. */
  overrideReason: z.string().min(1).max(500).optional(),
});
