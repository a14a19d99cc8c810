import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeConfig, loadConfig, SETTINGS } from '../../app/config.ts';
import { takeDataLock } from '../../app/data-lock.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'presage-app-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function configFile(content: unknown): string {
  const path = join(directory, 'presage.json');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

describe('configuration', () => {
  it('works without any', () => {
    const { config, origins } = loadConfig({ env: {} });
    expect(config).toMatchObject({
      bind: '127.0.0.1',
      httpPort: 8080,
      mqttPort: 1883,
      store: 'embedded',
      logMaxMb: 2048,
    });
    expect(new Set(Object.values(origins))).toEqual(new Set(['default']));
  });

  it('lets a flag win over the environment and the environment over the file', () => {
    const file = configFile({ httpPort: 1, mqttPort: 1, logMaxMb: 100 });
    const { config, origins } = loadConfig({
      file,
      env: { PRESAGE_HTTP_PORT: '2', PRESAGE_MQTT_PORT: '2' },
      flags: { mqttPort: '3' },
    });
    expect([config.logMaxMb, config.httpPort, config.mqttPort]).toEqual([100, 2, 3]);
    expect([origins.logMaxMb, origins.httpPort, origins.mqttPort]).toEqual([
      'file',
      'PRESAGE_HTTP_PORT',
      'flag --mqtt-port',
    ]);
  });

  it('reads a secret from the file that a _FILE variable names, and never prints it', () => {
    const path = join(directory, 'url');
    writeFileSync(path, 'postgresql://u:hunter2@h/db\n');
    const { config, origins } = loadConfig({ env: { DATABASE_URL_FILE: path } });
    expect(config.databaseUrl).toBe('postgresql://u:hunter2@h/db');
    expect(JSON.stringify(describeConfig(config, origins))).not.toContain('hunter2');
  });

  it.each([
    ['an unknown variable', { PRESAGE_HTP_PORT: '1' }, 'PRESAGE_HTP_PORT'],
    ['a port that is none', { PRESAGE_HTTP_PORT: '70000' }, 'httpPort (from PRESAGE_HTTP_PORT)'],
    ['a role that is none', { PRESAGE_ROLES: 'broker,cook' }, 'roles'],
    ['a missing secret file', { DATABASE_URL_FILE: '/nowhere/x' }, 'DATABASE_URL_FILE'],
    ['influx without an address', { PRESAGE_STORE: 'influx' }, 'INFLUX_URL'],
  ])('refuses %s and names it', (_what, env, name) => {
    expect(() => loadConfig({ env })).toThrow(name);
  });

  it.each([
    ['not JSON', '{', 'not readable JSON'],
    ['a list', '[]', 'one JSON object'],
    ['an unknown key', '{"colour":1}', 'unknown key colour'],
  ])('refuses a file that is %s', (_what, content, words) => {
    expect(() => loadConfig({ env: {}, file: configFile(content) })).toThrow(words);
  });

  it('leaves variables of the benches and tests alone', () => {
    expect(() => loadConfig({ env: { PRESAGE_BENCH_DIR: '/x', PRESAGE_TEST_Y: '1' } })).not.toThrow();
  });

  it('reads several prognosis models', () => {
    const { config } = loadConfig({ env: { PRESAGE_PROGNOSIS_MODELS: 'turbofan=/a.json,pump=/b.json' } });
    expect(config.prognosisModels).toEqual({ turbofan: '/a.json', pump: '/b.json' });
  });

  it('gives every setting its own variable', () => {
    const variables = Object.values(SETTINGS).map((setting) => setting.env);
    expect(new Set(variables).size).toBe(variables.length);
  });
});

describe('the lock of a data directory', () => {
  it('is refused while its holder lives, and free afterwards', () => {
    const path = join(directory, 'presage.lock');
    const release = takeDataLock(path);
    expect(() => takeDataLock(path)).toThrow(`process ${process.pid}`);
    release();
    takeDataLock(path)();
  });

  it('is taken over from a process that is gone, also when its pid lives on in another', () => {
    const path = join(directory, 'presage.lock');
    writeFileSync(path, JSON.stringify({ pid: 2 ** 22 + 1, startedAt: 'x' }));
    takeDataLock(path)();
    writeFileSync(path, JSON.stringify({ pid: process.pid, startedAt: 'another start' }));
    takeDataLock(path)();
  });

  it('is taken over when a crash cut it short', () => {
    const path = join(directory, 'presage.lock');
    writeFileSync(path, '{"pi');
    takeDataLock(path)();
  });
});

describe('settings of the TLS port', () => {
  it('are refused when they do not belong together', () => {
    const problemsOf = (env: Record<string, string>) => {
      try {
        loadConfig({ env });
        return '';
      } catch (error) {
        return String(error);
      }
    };
    expect(problemsOf({ PRESAGE_MQTTS_PORT: '8883' })).toContain('needs mqttsCertFile and mqttsKeyFile');
    expect(problemsOf({ PRESAGE_MQTT_PLAIN: 'false' })).toContain('mqttPlain');
    expect(problemsOf({ PRESAGE_MQTTS_CLIENT_CERT: 'required' })).toContain('required needs mqttsCaFile');
    expect(problemsOf({ PRESAGE_MQTTS_CRL_FILE: 'ca.crl' })).toContain('needs mqttsCaFile');
    const files = { PRESAGE_MQTTS_CERT_FILE: 'a', PRESAGE_MQTTS_KEY_FILE: 'b' };
    expect(problemsOf({ PRESAGE_MQTTS_PORT: '0', PRESAGE_MQTT_PLAIN: 'false', ...files })).toBe('');
  });
});
