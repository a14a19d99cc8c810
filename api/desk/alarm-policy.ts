/**
 * How people are asked for their attention, and what may keep an alarm quiet: the part `alarms` of a tenant's policy. Every
 * figure has a default with its reason; docs/alerts.md lists them.
 */
import { z } from 'zod';
import { severity } from '../../contract/ports/findings.ts';

const minutes = (fallback: number) => z.number().int().min(1).max(525_600).default(fallback);

export const alarmPolicy = z.strictObject({
  /** A confirmed alarm from this severity on stays in the list until somebody has acknowledged it. */
  acknowledgeFrom: severity.default('major'),
  /** Time to acknowledge; after it people are reminded, and the KPI counts it as late. */
  acknowledgeWithinMinutes: z
    .strictObject({ critical: minutes(30), major: minutes(240), minor: minutes(1_440), info: minutes(10_080) })
    .prefault({}),
  /** Reminders of one alarm; 0 = none. */
  escalations: z.number().int().min(0).max(10).default(3),
  /** Longest shelf: three days bridge a weekend, not a holiday. */
  shelveMaxMinutes: minutes(3 * 1_440),
  /** Longest maintenance window, each time of a weekly one included. */
  maintenanceMaxHours: z.number().int().min(1).max(8_760).default(168),
  /** A weekly window ends by itself after this at the latest: nobody remembers it for longer. */
  recurrenceMaxDays: z.number().int().min(1).max(3_660).default(366),
  /** Fault keys that latch beside those that the catalogue marks as safety. */
  latch: z.array(z.string().min(1).max(64)).max(200).default([]),
  /** Fault keys that say a device is silent: they explain its other alarms, and those of devices below it. */
  inhibitingFaultKeys: z.array(z.string().min(1).max(64)).max(20).default(['noData', 'offline']),
  /** A device with a parent waits so long before it tells of its own silence: the parent may be the reason. */
  inhibitSettleSeconds: z.number().int().min(0).max(3_600).default(120),
  group: z
    .strictObject({
      /** Devices with the same fault that make a group … */
      minUnits: z.number().int().min(2).max(100_000).default(5),
      /** … if they are at least this share of those in service. */
      minShare: z.number().min(0).max(1).default(0.02),
      /** Raised within so many days (device time). */
      withinDays: z.number().min(0.01).max(366).default(7),
      /** Members below this severity get no ticket of their own until somebody decides; none are held by default: a group is no repair. */
      holdBelow: severity.default('info'),
      /** Without a decision the tickets open after so long: a group must not hide faults. */
      decideWithinHours: z.number().int().min(1).max(720).default(24),
      /** Fault keys that make no group: many silent devices are an outage, not a bad batch. */
      exclude: z.array(z.string().min(1).max(64)).max(200).default(['noData', 'offline']),
    })
    .prefault({}),
});
export type AlarmPolicy = z.infer<typeof alarmPolicy>;
