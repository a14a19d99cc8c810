/**
 * Node-RED 4 with the InfluxDB nodes, installed by npm outside the repository, headless, with the flow that its pages
 * teach: mqtt in → json → function → influxdb out, all with their defaults.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runProgram } from '../../support/run-program.ts';
import { type ChildProgram, startProgram } from '../child-program.ts';
import { MEASUREMENT } from './influx-target.ts';

const PACKAGES = ['node-red@4', 'node-red-contrib-influxdb@0.7'];
const INSTALL_LIMIT_MS = 300_000;

/** @returns why it cannot be had, or nothing when it is there */
export async function installNodeRed(folder: string): Promise<string | undefined> {
  if (existsSync(join(folder, 'node_modules', 'node-red-contrib-influxdb', 'package.json'))) return undefined;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"private":true}\n');
  const args = ['install', '--prefix', folder, '--no-audit', '--no-fund', '--ignore-scripts', ...PACKAGES];
  const run = await runProgram('npm', args, { limitMs: INSTALL_LIMIT_MS }).catch((error: Error) => error);
  if (run instanceof Error) return `npm does not start: ${run.message}`;
  return run.code === 0 ? undefined : `npm install ended with ${run.code}: ${run.stderr.slice(-500)}`;
}

export interface NodeRedTarget {
  readonly mqttPort: number;
  readonly influxUrl: string;
  readonly database: string;
  readonly username: string;
  readonly password: string;
}

/** One point a message, as the node expects it: fields and tags. The time is unique below the millisecond. */
const FUNCTION = `
const parts = msg.topic.split('/');
const sample = msg.payload.s[0];
const fields = Object.assign({}, sample[1]);
fields.time = String(msg.payload.t + sample[0]) + String(msg.payload.seq % 1000000).padStart(6, '0');
msg.payload = [fields, { tenant: parts[2], device: parts[3] }];
return msg;`;

export async function startNodeRed(folder: string, target: NodeRedTarget): Promise<ChildProgram> {
  const home = mkdtempSync(join(tmpdir(), 'presage-bench-node-red-'));
  writeFileSync(join(home, 'flows.json'), JSON.stringify(flowOf(target)));
  const { username, password } = target;
  writeFileSync(join(home, 'flows_cred.json'), JSON.stringify({ 'id-influx': { username, password } }));
  writeFileSync(
    join(home, 'settings.cjs'),
    `module.exports = ${JSON.stringify({
      flowFile: 'flows.json',
      credentialSecret: false,
      // Headless: no editor and no HTTP nodes.
      httpAdminRoot: false,
      httpNodeRoot: false,
      nodesDir: join(folder, 'node_modules', 'node-red-contrib-influxdb'),
      logging: { console: { level: 'info', metrics: false, audit: false } },
      telemetry: { enabled: false, updateNotification: false },
    })};\n`,
  );
  const script = join(folder, 'node_modules', 'node-red', 'red.js');
  const program = await startProgram(
    process.execPath,
    [script, '--userDir', home, '--settings', join(home, 'settings.cjs')],
    /Connected to broker/,
    { limitMs: 60_000 },
  );
  return {
    ...program,
    async stop() {
      await program.stop();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

function flowOf({ mqttPort, influxUrl, database }: NodeRedTarget): readonly object[] {
  // No id may equal any value of another node: Node-RED takes it for a reference.
  const z = 'id-flow';
  return [
    { id: z, type: 'tab', label: 'Telemetry' },
    {
      id: 'id-broker',
      type: 'mqtt-broker',
      broker: '127.0.0.1',
      port: String(mqttPort),
      clientid: '',
      autoConnect: true,
      usetls: false,
      protocolVersion: '4',
      keepalive: '60',
      cleansession: true,
    },
    {
      id: 'id-influx',
      type: 'influxdb',
      influxdbVersion: '1.x',
      hostname: '127.0.0.1',
      port: new URL(influxUrl).port,
      protocol: 'http',
      database,
      usetls: false,
    },
    {
      id: 'id-in',
      type: 'mqtt in',
      z,
      topic: 'presage/v1/+/+/telemetry',
      qos: '2',
      datatype: 'utf8',
      broker: 'id-broker',
      nl: false,
      rap: true,
      rh: 0,
      inputs: 0,
      wires: [['id-json']],
    },
    { id: 'id-json', type: 'json', z, property: 'payload', action: '', pretty: false, wires: [['id-function']] },
    {
      id: 'id-function',
      type: 'function',
      z,
      func: FUNCTION,
      outputs: 1,
      timeout: 0,
      noerr: 0,
      libs: [],
      wires: [['id-out']],
    },
    {
      id: 'id-out',
      type: 'influxdb out',
      z,
      influxdb: 'id-influx',
      measurement: MEASUREMENT,
      precision: '',
      retentionPolicy: '',
      wires: [],
    },
  ];
}
