/**
 * What a team writes by hand: an MQTT.js subscriber that gives every message to the official client's write API, whose
 * queue is unlimited here. Run as `write-api.ts MQTT_URL INFLUX_URL DATABASE USER PASSWORD`; prints `subscribed`.
 */
import { InfluxDB, Point } from '@influxdata/influxdb-client';
import mqtt from 'mqtt';

const [mqttUrl = '', influxUrl = '', database = '', user = '', password = ''] = process.argv.slice(2);

interface Message {
  readonly t: number;
  readonly seq: number;
  readonly s: readonly [offsetMs: number, signals: Readonly<Record<string, number | boolean>>][];
}

const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
const writeApi = new InfluxDB({ url: influxUrl, headers: { authorization } }).getWriteApi('', database, 'ns', {
  batchSize: 5_000,
  flushInterval: 500,
  maxBufferLines: Number.MAX_SAFE_INTEGER,
});
// InfluxDB 1.x has no /api/v2/write.
writeApi.path = `/write?db=${encodeURIComponent(database)}&precision=ns`;

const client = await mqtt.connectAsync(mqttUrl, { clientId: 'write-api', protocolVersion: 4 });
client.on('message', (topic, payload) => {
  const message = JSON.parse(payload.toString()) as Message;
  const [, , tenant = '', device = ''] = topic.split('/');
  for (const [offsetMs, signals] of message.s) {
    const point = new Point('refrigerator').tag('tenant', tenant).tag('device', device);
    for (const [name, value] of Object.entries(signals)) {
      if (typeof value === 'number') point.floatField(name, value);
      else point.booleanField(name, value);
    }
    // Below the millisecond stands the sequence number: two messages of one millisecond are two points.
    point.timestamp(`${message.t + offsetMs}${String(message.seq % 1_000_000).padStart(6, '0')}`);
    writeApi.writePoint(point);
  }
});
await client.subscribeAsync('presage/v1/+/+/telemetry', { qos: 1 });
process.stdout.write('subscribed\n');
