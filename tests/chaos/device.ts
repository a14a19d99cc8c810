/**
 * A device that misbehaves on purpose, on bare MQTT 3.1.1: it repeats, reorders, breaks its connection and reboots, and
 * keeps its own journal. It speaks the protocol by itself, so that an acknowledgement is counted for exactly the copy
 * that it answers.
 */
import { connect, type Socket } from 'node:net';
import mqttPacket from 'mqtt-packet';
import { clientIdOf } from '../../contract/kernel/ids.ts';
import type { Random } from '../../contract/kernel/random.ts';
import { retryDelayMs } from '../../contract/kernel/retry.ts';
import { CONTRACT_VERSION } from '../../contract/wire/payloads.ts';
import { topicOf } from '../../contract/wire/topics.ts';
import type { JournalMessage } from './journal.ts';
import { createTraffic, DECLARED, pick } from './traffic.ts';

export interface ChaosDeviceConfig {
  readonly port: number;
  readonly tenant: string;
  readonly device: string;
  readonly secret: string;
  /** Mean time between two new messages. */
  readonly intervalMs: number;
}

export interface ChaosDevice {
  readonly journal: readonly JournalMessage[];
  start(): void;
  /** One more message, also after `quiet`. */
  sendOne(): void;
  /** How often it did what. */
  readonly mischief: Readonly<Mischief>;
  /** Makes no more messages; what is not acknowledged is still sent again and again. */
  quiet(): void;
  /** Makes messages again. */
  resume(): void;
  /** Messages that wait for their acknowledgement. */
  pending(): number;
  stop(): void;
}

/** What a device did on purpose; `equalTimes` and `skewed` count messages. */
export interface Mischief {
  repeated: number;
  repeatedLate: number;
  reordered: number;
  disconnected: number;
  rebooted: number;
  equalTimes: number;
  skewed: number;
}

const WINDOW = 24;
/** A device that gets no answer for this long breaks its connection and tries again. */
const PATIENCE_MS = 15_000;
const RETRY = { firstDelayMs: 50, maxDelayMs: 1_000, factor: 2 };
const BIRTH_ID = 65_535;

export function createChaosDevice(config: ChaosDeviceConfig, random: Random): ChaosDevice {
  const { tenant, device } = config;
  const ref = { tenant, device };
  const traffic = createTraffic(tenant, device, random);
  const journal: JournalMessage[] = [];
  const mischief: Mischief = {
    repeated: 0,
    repeatedLate: 0,
    reordered: 0,
    disconnected: 0,
    rebooted: 0,
    equalTimes: 0,
    skewed: 0,
  };
  /** To be sent, next first. */
  let queue: JournalMessage[] = [];
  /** Kept back, to be overtaken by younger ones. */
  let held: JournalMessage[] = [];
  /** Sent on this connection and not acknowledged, by message id. */
  const inFlight = new Map<number, { message: JournalMessage; sentAt: number }>();
  let socket: Socket | undefined;
  let born = false;
  let lastId = 0;
  let attempts = 0;
  let measuring = false;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let reconnectTimer: NodeJS.Timeout | undefined;

  function open(): void {
    if (stopped) return;
    const current = connect({ port: config.port, host: '127.0.0.1', noDelay: true });
    socket = current;
    const parser = mqttPacket.parser({ protocolVersion: 4 });
    parser.on('packet', (packet) => onPacket(packet));
    parser.on('error', () => current.destroy());
    current.on('connect', () => current.write(connectPacket()));
    current.on('data', (bytes) => parser.parse(bytes));
    current.on('error', () => undefined); // 'close' follows and says all we need.
    current.on('close', () => onClose());
  }

  function connectPacket(): Buffer {
    const clientId = clientIdOf(ref);
    return mqttPacket.generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId,
      username: clientId,
      password: Buffer.from(config.secret),
      clean: true,
      keepalive: 60,
    });
  }

  function onPacket(packet: mqttPacket.Packet): void {
    if (packet.cmd === 'connack') {
      if (packet.returnCode !== 0) return void socket?.destroy();
      attempts = 0;
      const birth = { v: CONTRACT_VERSION, boot: traffic.boot, t: Date.now(), signals: [DECLARED] };
      write('birth', Buffer.from(JSON.stringify(birth)), BIRTH_ID);
    } else if (packet.cmd === 'puback' && packet.messageId === BIRTH_ID) {
      born = true;
      pump();
    } else if (packet.cmd === 'puback') {
      const sent = inFlight.get(packet.messageId ?? -1);
      if (!sent) return;
      inFlight.delete(packet.messageId ?? -1);
      sent.message.acks++;
      pump();
    }
  }

  function onClose(): void {
    born = false;
    socket = undefined;
    const unanswered = [...inFlight.values()].map(({ message }) => message).filter((message) => message.acks === 0);
    inFlight.clear();
    queue = [...new Set([...unanswered, ...queue])];
    if (!stopped) reconnectTimer = setTimeout(open, retryDelayMs(++attempts, Math.random(), RETRY));
  }

  function write(channel: 'birth' | 'telemetry', payload: Buffer, messageId: number): void {
    socket?.write(
      mqttPacket.generate({
        cmd: 'publish',
        topic: topicOf(ref, channel),
        payload,
        qos: 1,
        dup: false,
        retain: channel === 'birth',
        messageId,
      }),
    );
  }

  function pump(): void {
    while (born && inFlight.size < WINDOW) {
      const message = queue.shift();
      if (!message) return;
      lastId = (lastId % 60_000) + 1;
      inFlight.set(lastId, { message, sentAt: performance.now() });
      message.sends++;
      write('telemetry', message.payload, lastId);
    }
  }

  function tick(): void {
    if (measuring && queue.length < WINDOW) make();
    if (!measuring || Math.random() < 0.3) queue.push(...held.splice(0));
    const oldest = inFlight.values().next().value;
    if (oldest && performance.now() - oldest.sentAt > PATIENCE_MS) socket?.destroy();
    pump();
    timer = setTimeout(tick, config.intervalMs * (0.5 + Math.random()));
  }

  function make(): void {
    const message = traffic.next(Date.now());
    queue.push(message);
    journal.push(message);
    if (traffic.skewMs !== 0) mischief.skewed++;
    if (hasEqualTimes(message)) mischief.equalTimes++;
    misbehave(message);
  }

  function misbehave(message: JournalMessage): void {
    const roll = random();
    if (roll < 0.05) {
      queue.push(message);
      mischief.repeated++;
    } else if (roll < 0.08) {
      queue.push(pick(journal, random));
      mischief.repeatedLate++;
    } else if (roll < 0.13) {
      held.push(...queue.splice(-1));
      queue.reverse();
      mischief.reordered++;
    } else if (roll < 0.135) {
      socket?.destroy();
      mischief.disconnected++;
    } else if (roll < 0.14) {
      reboot();
      mischief.rebooted++;
    }
  }

  /** Half of the devices lose with the power what they had not sent. */
  function reboot(): void {
    socket?.destroy();
    if (random() < 0.5) {
      queue = [];
      held = [];
      inFlight.clear();
    }
    traffic.reboot();
  }

  return {
    journal,
    start() {
      measuring = true;
      open();
      tick();
    },
    sendOne() {
      make();
      pump();
    },
    mischief,
    quiet() {
      measuring = false;
    },
    resume() {
      measuring = true;
    },
    pending: () => queue.length + held.length + inFlight.size,
    stop() {
      stopped = true;
      clearTimeout(timer);
      clearTimeout(reconnectTimer);
      socket?.destroy();
    },
  };
}

function hasEqualTimes({ samples }: JournalMessage): boolean {
  return new Set(samples.map(({ time }) => time)).size < samples.length;
}
