/** Which CONNECT may go on to the check of its secret, and what the others are told. */
import { describe, expect, it } from 'vitest';
import { type ConnectFields, judgeLogin } from '../../broker/login.ts';
import { DEFAULT_BROKER_OPTIONS } from '../../broker/options.ts';

const ID = 'acme.fridge-1';
const STATE = 'presage/v1/acme/fridge-1/state';
const connect = (changes: Partial<ConnectFields> = {}): ConnectFields => ({
  clientId: ID,
  username: ID,
  password: Buffer.from('s3cret'),
  clean: true,
  keepalive: 60,
  ...changes,
});
const will = (changes: object = {}) => ({ topic: STATE, payload: Buffer.from('{}'), qos: 1, ...changes });

describe('a login', () => {
  it('is plausible when everything but the secret is right', () => {
    expect(judgeLogin(connect({ will: will() }), DEFAULT_BROKER_OPTIONS)).toEqual({
      kind: 'plausible',
      ref: { tenant: 'acme', device: 'fridge-1' },
      secret: 's3cret',
    });
  });

  it.each([
    ['an empty client id', connect({ clientId: '', username: '' }), 'MQTT_CLIENT_ID', 2],
    ['a client id without a dot', connect({ clientId: 'fridge', username: 'fridge' }), 'MQTT_CLIENT_ID', 2],
    ['a client id with a newline', connect({ clientId: `${ID}\n`, username: `${ID}\n` }), 'MQTT_CLIENT_ID', 2],
    ['a client id with NUL', connect({ clientId: `${ID}\0`, username: `${ID}\0` }), 'MQTT_CLIENT_ID', 2],
    ['a client id with a wildcard', connect({ clientId: 'acme.+', username: 'acme.+' }), 'MQTT_CLIENT_ID', 2],
    ['a client id of 60 kB', connect({ clientId: `acme.${'x'.repeat(60_000)}` }), 'MQTT_CLIENT_ID', 2],
    ['a client id that is not the user name', connect({ username: 'acme.fridge-2' }), 'MQTT_CLIENT_ID', 2],
    ['no user name', connect({ username: undefined }), 'MQTT_CREDENTIALS', 4],
    ['no password', connect({ password: undefined }), 'MQTT_CREDENTIALS', 4],
    ['a persistent session', connect({ clean: false }), 'MQTT_SESSION', 5],
    ['no keep-alive', connect({ keepalive: 0 }), 'MQTT_KEEPALIVE', 5],
    ['a keep-alive of 4 s', connect({ keepalive: 4 }), 'MQTT_KEEPALIVE', 5],
    ['a keep-alive of 1,201 s', connect({ keepalive: 1_201 }), 'MQTT_KEEPALIVE', 5],
    ['a will on a foreign topic', connect({ will: will({ topic: 'presage/v1/acme/fridge-2/state' }) }), 'MQTT_WILL', 5],
    ['a will on another channel', connect({ will: will({ topic: STATE.replace('state', 'event') }) }), 'MQTT_WILL', 5],
    ['a will on $SYS', connect({ will: will({ topic: '$SYS/x' }) }), 'MQTT_WILL', 5],
    ['a will with QoS 2', connect({ will: will({ qos: 2 }) }), 'MQTT_WILL', 5],
    ['a will with QoS 3', connect({ will: will({ qos: 3 }) }), 'MQTT_WILL', 5],
    ['a will of more than 4 KiB', connect({ will: will({ payload: Buffer.alloc(4_097) }) }), 'MQTT_WILL', 5],
  ] as const)('is refused with %s', (_what, fields, reason, returnCode) => {
    expect(judgeLogin(fields, DEFAULT_BROKER_OPTIONS)).toMatchObject({ kind: 'refused', reason, returnCode });
  });

  it.each([5, 1_200])('may have a keep-alive of %i s', (keepalive) => {
    expect(judgeLogin(connect({ keepalive }), DEFAULT_BROKER_OPTIONS).kind).toBe('plausible');
  });

  it('never repeats the secret in a refusal', () => {
    const refused = judgeLogin(connect({ password: Buffer.from('canary'), clean: false }), DEFAULT_BROKER_OPTIONS);
    expect(JSON.stringify(refused)).not.toContain('canary');
  });
});
