import { describe, expect, it } from 'vitest';
import { scoreEvents } from '../../analytics/evaluate/event-scores.ts';

/** Rows a minute apart: `!` = alert in a healthy row, `x` = fault without alert, `X` = fault with one, `.` = neither. */
const recording = (rows: string, more: { unscoredRows?: number; soonRows?: number } = {}) => ({
  faulty: [...rows].map((one) => one === 'x' || one === 'X'),
  alert: [...rows].map((one) => one === '!' || one === 'X'),
  at: [...rows].map((_, i) => i * 60_000),
  ...more,
});

describe('scores by fault event', () => {
  it('count a fault as found where an alert is raised within it, with the time it took', () => {
    expect(scoreEvents([recording('....xxXX..xx')])).toMatchObject({
      events: 2,
      found: 1,
      recall: 0.5,
      delayMs: 120_000,
      alerts: 1,
      falseAlerts: 0,
      precision: 1,
    });
  });

  it('do not credit a fault to an alert that was open before it', () => {
    expect(scoreEvents([recording('..!!XXXX')])).toMatchObject({ events: 1, found: 0, alerts: 1, falseAlerts: 1 });
  });

  it('find a fault by a second alert within it, however it was before', () => {
    expect(scoreEvents([recording('..!!XxXX')])).toMatchObject({ found: 1, alerts: 2, precision: 0.5 });
  });

  it('miss what is found too late', () => {
    expect(scoreEvents([recording('..xxxXXX', { soonRows: 3 })])).toMatchObject({
      found: 0,
      alerts: 1,
      falseAlerts: 0,
    });
  });

  it('leave learning time out', () => {
    expect(scoreEvents([recording('!!!!....', { unscoredRows: 4 })])).toMatchObject({ alerts: 0, falseAlerts: 0 });
  });

  it('count false alerts by the time without a fault', () => {
    const day = recording(`${'.'.repeat(721)}${'!'.repeat(720)}`);
    expect(scoreEvents([day, day])).toMatchObject({ healthyDays: 2, falseAlerts: 2, falseAlertsPerDay: 1 });
  });

  it('leave undefined what nothing is known of', () => {
    expect(scoreEvents([recording('....')])).toMatchObject({
      recall: undefined,
      delayMs: undefined,
      precision: undefined,
    });
    expect(scoreEvents([recording('xxxx')])).toMatchObject({ recall: 0, falseAlertsPerDay: undefined });
    expect(scoreEvents([])).toMatchObject({ recall: undefined, falseAlertsPerDay: undefined });
  });
});
