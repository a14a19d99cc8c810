/** The small parts of the broker, each by itself. */
import mqttPacket from 'mqtt-packet';
import { describe, expect, it, vi } from 'vitest';
import { reasonOf, refusalOf } from '../../broker/aedes-errors.ts';
import { newConnection } from '../../broker/connection.ts';
import { createDoorLog } from '../../broker/door-log.ts';
import { guardParser, type PacketParser } from '../../broker/guard-parser.ts';
import { refuse } from '../../broker/login.ts';
import { createRetainedStore } from '../../broker/retained-store.ts';
import { createTopicBus } from '../../broker/topic-bus.ts';
import { judgePublish, topicRulesOf } from '../../broker/topic-rules.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { topicOf } from '../../contract/wire/topics.ts';
import { FRIDGE, openPeer, recordingLogger, recordingMetrics, startBroker } from '../support/broker-harness.ts';

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('topic rules', () => {
  const rules = topicRulesOf(FRIDGE);
  const judge = (topic: string, options: { qos?: number; retain?: boolean; payload?: Buffer } = {}) =>
    judgePublish(rules, { topic, payload: Buffer.from('{}'), ...options });

  it.each([
    'presage/v1/acme/fridge-2/telemetry',
    'presage/v1/umbrella/fridge-1/telemetry',
    'presage/v1/acme/fridge-1/cmd/req',
    'presage/v1/acme/fridge-1/twin/desired',
    'presage/v1/acme/fridge-1/telemetry/',
    'presage/v1/acme/fridge-1',
    '$SYS/broker/heartbeat',
    '',
  ])('refuse a publish to %j', (topic) => {
    expect(judge(topic)).toMatchObject({ kind: 'refused', reason: 'MQTT_TOPIC' });
  });

  it('refuse QoS 2', () => {
    expect(judge(topicOf(FRIDGE, 'telemetry'), { qos: 2 })).toMatchObject({ kind: 'refused', reason: 'MQTT_QOS2' });
  });

  it.each([
    ['telemetry', true],
    ['event', true],
    ['log', true],
    ['cmd/res', true],
    ['birth', false],
    ['state', false],
    ['twin/reported', false],
  ] as const)('on %s strip the retain flag: %s', (channel, stripRetain) => {
    expect(judge(topicOf(FRIDGE, channel), { retain: true })).toEqual({ kind: 'allowed', channel, stripRetain });
  });

  it('let a payload too large through, not retained: ingest quarantines it', () => {
    const verdict = judge(topicOf(FRIDGE, 'birth'), { retain: true, payload: Buffer.alloc(128 * 1024 + 1) });
    expect(verdict).toEqual({ kind: 'allowed', channel: 'birth', stripRetain: true });
  });
});

describe('the retained store', () => {
  const message = (topic: string, payload = 'x') => ({ topic, payload: Buffer.from(payload) });
  const birth = (device: string) => topicOf({ tenant: 'acme', device }, 'birth');
  const desired = (device: string) => topicOf({ tenant: 'acme', device }, 'twin/desired');

  it('replaces a message, and an empty payload removes it', () => {
    const store = createRetainedStore({ maxMessages: 10, maxBytes: 100 }, () => {});
    store.store(message(birth('a'), 'one'));
    expect(store.store(message(birth('a'), 'three'))).toBe('kept');
    expect(store.find([birth('a')]).map(String)).toHaveLength(1);
    expect(store.bytes()).toBe(5);
    expect(store.store(message(birth('a'), ''))).toBe('removed');
    expect([store.size(), store.bytes()]).toEqual([0, 0]);
  });

  it('drops the oldest message of a device when it is full, and counts it', () => {
    const overflow = vi.fn();
    const store = createRetainedStore({ maxMessages: 2, maxBytes: 100 }, overflow);
    for (const device of ['a', 'b', 'c']) store.store(message(birth(device)));
    expect(store.find([birth('a'), birth('b'), birth('c')]).map((kept) => kept.topic)).toEqual([
      birth('b'),
      birth('c'),
    ]);
    expect(overflow).toHaveBeenCalledTimes(1);
  });

  it('keeps what waits for a device before what devices sent, and refuses when it is full of it', () => {
    const store = createRetainedStore({ maxMessages: 2, maxBytes: 100 }, () => {});
    store.store(message(desired('a')));
    store.store(message(birth('b')));
    expect(store.store(message(desired('c')))).toBe('kept');
    expect(store.store(message(desired('d')))).toBe('noRoom');
    expect(store.store(message(birth('e')))).toBe('noRoom');
    expect(store.find([desired('a'), desired('c')])).toHaveLength(2);
  });

  it('is bounded in bytes', () => {
    const store = createRetainedStore({ maxMessages: 100, maxBytes: 10 }, () => {});
    for (const device of ['a', 'b', 'c']) store.store(message(birth(device), '12345'));
    expect(store.bytes()).toBe(10);
    expect(store.store(message(birth('d'), '12345678901'))).toBe('noRoom');
  });

  it('copies the payload: a read buffer is used again', () => {
    const store = createRetainedStore({ maxMessages: 1, maxBytes: 10 }, () => {});
    const payload = Buffer.from('abc');
    store.store({ topic: birth('a'), payload });
    payload.fill(0);
    expect(String(store.find([birth('a')])[0]?.payload)).toBe('abc');
  });
});

describe('the topic bus', () => {
  it('gives a message to who listens to exactly its topic, and completes when all have', async () => {
    const bus = createTopicBus();
    const got: string[] = [];
    const release: (() => void)[] = [];
    bus.on('a', (packet, done) => {
      got.push(packet.topic);
      release.push(done);
    });
    bus.on('b', () => got.push('b'));
    const done = vi.fn();
    bus.emit({ topic: 'a' }, done);
    await nextTurn();
    expect([got, done.mock.calls.length]).toEqual([['a'], 0]);
    release[0]?.();
    expect(done).toHaveBeenCalledTimes(1);
  });

  it('completes 100,000 messages that nobody listens to, without recursion', async () => {
    const bus = createTopicBus();
    let completed = 0;
    const again = (): void => {
      completed += 1;
      if (completed < 100_000) bus.emit({ topic: 'nobody' }, again);
    };
    bus.emit({ topic: 'nobody' }, again);
    expect(completed).toBe(0);
    await vi.waitFor(() => expect(completed).toBe(100_000), { timeout: 10_000 });
  });

  it('forgets who left', () => {
    const bus = createTopicBus();
    const listener = (): void => {};
    bus.on('a', listener);
    bus.removeListener('a', listener);
    expect(bus.hasListener('a')).toBe(false);
  });
});

describe('the door log', () => {
  const door = (limits = { maxLogLinesPerConnection: 5, maxLogLinesPerSecond: 100 }) => {
    const log = recordingLogger();
    const { metrics, value } = recordingMetrics();
    const clock = { time: 0, now: () => clock.time };
    return {
      lines: log.lines,
      value,
      clock,
      log: createDoorLog({ clock, logger: log.logger, metrics, watch: { refused: () => {} } }, limits),
    };
  };
  const connection = () => newConnection(openNowhere(), '10.0.0.1');
  const openNowhere = () => ({}) as ReturnType<typeof openPeer>['stream'];

  it('writes at most five lines about one connection and counts the rest', () => {
    const { log, lines, value } = door();
    const bad = connection();
    for (let i = 0; i < 20; i++) log.deny(bad, 'MQTT_SUBSCRIPTION', 'nope');
    expect(lines).toHaveLength(5);
    expect(value('presage_mqtt_refused_total', { reason: 'MQTT_SUBSCRIPTION' })).toBe(20);
    expect(value('presage_mqtt_log_lines_suppressed_total')).toBe(15);
  });

  it('writes at most so many lines a second about all connections', () => {
    const { log, lines, clock } = door({ maxLogLinesPerConnection: 5, maxLogLinesPerSecond: 3 });
    for (let i = 0; i < 10; i++) log.refuse(connection(), 'MQTT_CREDENTIALS', 'nope');
    expect(lines).toHaveLength(3);
    clock.time = 1_000;
    log.refuse(connection(), 'MQTT_CREDENTIALS', 'nope');
    expect(lines).toHaveLength(4);
  });

  it('counts the end of a connection once; what follows is its echo', () => {
    const { log, value } = door();
    const bad = connection();
    for (let i = 0; i < 100; i++) log.refuse(bad, 'MQTT_PROTOCOL', 'garbage');
    expect(value('presage_mqtt_refused_total', { reason: 'MQTT_PROTOCOL' })).toBe(1);
    expect(value('presage_mqtt_log_lines_suppressed_total')).toBe(99);
  });
});

describe('the size guard', () => {
  it('fits the parser that is installed', () => {
    const parser = mqttPacket.parser() as unknown as PacketParser;
    const oversize: number[] = [];
    guardParser(parser, {
      limitBytes: () => 100,
      onOversize: (bytes) => oversize.push(bytes),
      onPacket: () => {},
      onThrow: () => {},
    });
    // PUBLISH with a remaining length of 268,435,455, the largest there is
    parser.parse(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]));
    expect(oversize).toEqual([268_435_455]);
  });

  it('refuses a parser that it does not know, instead of leaving it unguarded', () => {
    const stranger = { parse: () => 0 } as unknown as PacketParser;
    const guard = { limitBytes: () => 1, onOversize: () => {}, onPacket: () => {}, onThrow: () => {} };
    expect(() => guardParser(stranger, guard)).toThrow(/size guard/);
  });

  it('turns a throw while packets are handled into the end of the connection', () => {
    const parser = mqttPacket.parser();
    parser.on('packet', () => {
      throw new Error('boom');
    });
    const thrown: unknown[] = [];
    guardParser(parser as unknown as PacketParser, {
      limitBytes: () => 100,
      onOversize: () => {},
      onPacket: () => {},
      onThrow: (error) => thrown.push(error),
    });
    parser.parse(Buffer.from([0xc0, 0]));
    expect(String(thrown[0])).toContain('boom');
  });
});

describe('errors of Aedes', () => {
  it.each([
    [new Error('drain timeout'), 'MQTT_NOT_READING'],
    [new Error('Invalid protocol'), 'MQTT_PROTOCOL'],
    [new Error('keep alive timeout'), undefined],
    [new Error('connection closed'), undefined],
    [Object.assign(new Error('reset'), { code: 'ECONNRESET' }), undefined],
    [new AppError('MQTT_TOPIC'), undefined],
    [refusalOf(refuse('MQTT_WILL', 'notAuthorised', 'x')), undefined],
  ])('%s counts as %s', (error, reason) => {
    expect(reasonOf(error)).toBe(reason);
  });
});

describe('a broker that was stopped', () => {
  it('takes nobody any more, and may be stopped again', async () => {
    const { broker } = await startBroker();
    await broker.stop();
    await broker.stop();
    const peer = openPeer(broker);
    await peer.closed();
    expect(broker.connections()).toEqual([]);
  });
});
