/**
 * Rules of all tenants beside the detectors: orders bring them in with their place in the log, every sample, fault report
 * and birth of a device goes through those that hold at its own place, and silence lets their time pass. What is to be saved
 * is saved with the states of the devices, so a restart neither skips nor repeats.
 */
import { clientIdOf, type DeviceRef } from '../../contract/kernel/ids.ts';
import type { CheckpointStore, DeviceCheckpoint } from '../../contract/ports/analytics.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import type { RuleOrder } from '../../contract/ports/orders.ts';
import type { RunnableRule } from '../../contract/ports/rules.ts';
import type { Position } from '../../contract/ports/telemetry-log.ts';
import type { DeviceState } from '../device-state.ts';
import { type CompiledRule, createRuleCompiler } from './compile.ts';
import {
  hasOpenRuleAlert,
  letTimePass,
  RULE_LIMITS,
  type RuleLimits,
  takeRuleInput,
  wakeTime,
} from './device-rules.ts';
import type { RuleInput } from './evaluate.ts';
import { type Listening, listenedBetween, passTime, reviveListening } from './listening.ts';
import {
  hasRules,
  MAX_RULES_PER_MODEL,
  noteRule,
  type RuleBook,
  reviveRuleBook,
  rulesAt,
  runningRules,
} from './rule-book.ts';
import { initDeviceRules, type RuleSet } from './rule-state.ts';
import { createWakeList, WAKE_SHARDS, type WakeLine } from './wake-list.ts';

export interface RuledDevice {
  readonly ref: DeviceRef;
  readonly state: DeviceState;
}

export interface RuledDevices {
  /** Whether rules of the tenant have to see what its devices say. */
  concerns(tenant: string): boolean;
  /** Every entry of the log, before anything else is done with it: its time passes. */
  pass(receivedAt: number): void;
  takeOrder(order: RuleOrder, position: Position, receivedAt: number): 'taken' | 'again' | 'full';
  /** A sample, or a report of faults and events; mutates the device's state. */
  take(device: RuledDevice, input: RuleInput): readonly AlertFinding[];
  /** Devices whose rules have something to say at server time `now` although nothing came; at most so many at a time. */
  takeDue(now: number): readonly DeviceRef[];
  /** What the rules of a due device say. */
  letTimePass(device: RuledDevice, now: number): readonly AlertFinding[];
  /** The device is gone: nobody waits for it. */
  forget(ref: DeviceRef): void;
  unsaved(): readonly DeviceCheckpoint[];
  saved(): void;
  /** Goes on with what was saved; `now` is the server's time, from which on this process listens. */
  resume(checkpoints: Pick<CheckpointStore, 'load'>, now: number): Promise<void>;
  stats(): RuleStats;
}

export interface RuleStats {
  /** Rules that run. */
  readonly rules: number;
  /** Samples that came too late for their rules, and those that were put in their place. */
  readonly late: number;
  readonly replaced: number;
  /** Devices whose rules wait for time to pass, and those for which there was no room. */
  readonly waiting: number;
  readonly refused: number;
  /** Times that a device had more rules than it may. */
  readonly overflow: number;
}

export interface RuleOptions {
  readonly limits?: RuleLimits;
  /** Devices whose rules may wait for time to pass; 100,000. */
  readonly maxWaiting?: number;
}

/** Where the rules are saved, among the checkpoints; no tenant and no device is called so. */
const RULE_BOOK: DeviceRef = { tenant: '*', device: 'rules' };
const LISTENING: DeviceRef = { tenant: '*', device: 'rule-time' };
const shardRef = (shard: number): DeviceRef => ({ tenant: '*', device: `rule-wakes-${shard}` });
const MAX_DUE = 200;
/** Devices whose rules are remembered as they apply to them. */
const MAX_SETS = 5_000;

export function createRuledDevices(options: RuleOptions = {}): RuledDevices {
  const { limits = RULE_LIMITS, maxWaiting = 100_000 } = options;
  const compile = createRuleCompiler();
  const wakes = createWakeList(maxWaiting);
  let book: RuleBook = reviveRuleBook(undefined);
  /** Rises with every change of the book, in this process only. */
  let revision = 0;
  /** Place of the newest order. */
  let newestOrder: Position = 0;
  let bookChanged = false;
  let listening: Listening = reviveListening(undefined);
  let listeningSince = 0;
  const listened = (from: number, to: number): number => listenedBetween(listening, listeningSince, from, to);
  let shardsToSave: readonly number[] = [];
  /** by client id; least recently used first */
  const sets = new Map<
    string,
    { readonly revision: number; readonly firmware: string | undefined; readonly model: string; readonly set: RuleSet }
  >();
  const totals = { late: 0, replaced: 0, overflow: 0 };

  function setFor({ ref, state }: RuledDevice, position: Position): RuleSet {
    const key = clientIdOf(ref);
    const isNewest = position >= newestOrder;
    const known = isNewest ? sets.get(key) : undefined;
    if (known && known.revision === revision && known.firmware === state.firmware && known.model === state.model)
      return known.set;
    const set = compileSet(rulesAt(book, ref.tenant, position), ref, state);
    if (!isNewest) return set;
    sets.delete(key);
    if (sets.size >= MAX_SETS) sets.delete(sets.keys().next().value as string);
    sets.set(key, { revision, firmware: state.firmware, model: state.model, set });
    return set;
  }

  function compileSet(rules: readonly RunnableRule[], ref: DeviceRef, state: DeviceState): RuleSet {
    const target = { device: ref.device, model: state.model, firmware: state.firmware };
    const own = rules
      .map((rule) => compile(ref.tenant, rule, target))
      .filter((rule): rule is CompiledRule => rule !== undefined);
    const kept = own.slice(0, MAX_RULES_PER_MODEL);
    totals.overflow += own.length - kept.length;
    return { key: kept.map(({ id, version, severity }) => `${id}@${version}${severity}`).join(' '), rules: kept };
  }

  /** What we did not listen is put off: looking again at once would find nothing. */
  function track({ ref, state }: RuledDevice, now: number): void {
    if (!state.rules) return;
    const { newest } = state.rules;
    const wakeAt = wakeTime(state.rules);
    const heardMs = newest ? newest.receivedAt + listened(newest.receivedAt, now) : now;
    const isEarly = wakeAt !== null && wakeAt <= now;
    wakes.put(ref, isEarly ? now + Math.max(1_000, wakeAt - heardMs) : wakeAt, hasOpenRuleAlert(state.rules));
  }

  return {
    pass(receivedAt) {
      passTime(listening, receivedAt);
    },
    concerns: (tenant) => hasRules(book, tenant),
    takeOrder(order, position, receivedAt) {
      const outcome = noteRule(book, order, position);
      if (outcome !== 'taken') return outcome;
      bookChanged = true;
      revision++;
      newestOrder = Math.max(newestOrder, position);
      wakes.wakeOpen(order.tenant, receivedAt);
      return outcome;
    },
    take(device, input) {
      const { ref, state } = device;
      // A sample that had to wait is older than what came meanwhile: rules do not go back.
      const position = Math.max(input.position, state.rules?.newest?.position ?? 0);
      const set = setFor(device, position);
      if (set.rules.length === 0 && !state.rules) return [];
      state.rules ??= initDeviceRules();
      const { late, replaced } = state.rules;
      const found = takeRuleInput(state.rules, set, { ...ref, model: state.model }, input, limits, listened);
      totals.late += state.rules.late - late;
      totals.replaced += state.rules.replaced - replaced;
      track(device, input.receivedAt);
      // Nothing is left of rules that are over, once their alerts are.
      if (set.rules.length === 0) delete state.rules;
      return found;
    },
    takeDue: (now) => wakes.takeDue(now, MAX_DUE),
    letTimePass(device, now) {
      const { ref, state } = device;
      if (!state.rules) {
        wakes.put(ref, null, false);
        return [];
      }
      const set = setFor(device, Number.MAX_SAFE_INTEGER);
      const found = letTimePass(state.rules, set, { ...ref, model: state.model }, now, limits, listened);
      track(device, now);
      return found;
    },
    forget: (ref) => wakes.put(ref, null, false),
    unsaved() {
      if (Object.keys(book.tenants).length === 0) return [];
      shardsToSave = wakes.changedShards(listening.logTime);
      return [
        { ...LISTENING, state: listening },
        ...(bookChanged ? [{ ...RULE_BOOK, state: book }] : []),
        ...shardsToSave.map((shard) => ({ ...shardRef(shard), state: wakes.linesOf(shard) })),
      ];
    },
    saved() {
      bookChanged = false;
      wakes.saved(shardsToSave, listening.logTime);
    },
    async resume(checkpoints, now) {
      listening = reviveListening(await checkpoints.load(LISTENING));
      listeningSince = now;
      book = reviveRuleBook(await checkpoints.load(RULE_BOOK));
      bookChanged = false;
      revision++;
      newestOrder = 0;
      for (const rules of Object.values(book.tenants))
        for (const list of Object.values(rules)) newestOrder = Math.max(newestOrder, list.at(-1)?.from ?? 0);
      sets.clear();
      wakes.clear();
      if (Object.keys(book.tenants).length === 0) return;
      for (let shard = 0; shard < WAKE_SHARDS; shard++) {
        wakes.load(((await checkpoints.load(shardRef(shard))) as readonly WakeLine[] | undefined) ?? []);
      }
    },
    stats: () => ({
      rules: runningRules(book),
      late: totals.late,
      replaced: totals.replaced,
      waiting: wakes.size(),
      refused: wakes.refused(),
      overflow: totals.overflow,
    }),
  };
}
