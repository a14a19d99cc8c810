/**
 * The official InfluxDB client as this store needs it: one request at a time and an answer to each. Its own queue, timer
 * and retries are off, because the telemetry log is the queue and the writer retries; its 10 s timeout only reports and
 * leaves the socket open, so each request gets a deadline that ends it.
 */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { HttpError, InfluxDB, type SendOptions, type Transport, type WriteApi } from '@influxdata/influxdb-client';
import { AppError, errorText } from '../../contract/kernel/errors.ts';
import type { Logger } from '../../contract/ports/services.ts';

export type InfluxApi = 'v1' | 'v2' | 'v3';

export interface InfluxTarget {
  /** For example `http://127.0.0.1:8086`. */
  readonly url: string;
  /** Bucket (2.x) or database (1.x, 3.x). */
  readonly bucket: string;
  /** `auto` asks the server's `/ping`. */
  readonly api: InfluxApi | 'auto';
  /** 2.x and 3.x. */
  readonly token?: string;
  /** 2.x. */
  readonly org?: string;
  /** 1.x. */
  readonly username?: string;
  readonly password?: string;
}

export interface InfluxLimits {
  /** Longest time for one request. */
  readonly timeoutMs: number;
  /** Lines of one write request. */
  readonly maxLines: number;
  /** Write requests at once. */
  readonly parallelRequests: number;
  /** Bytes of one write request; 1.x refuses more than 25 MB. */
  readonly maxBytes: number;
  /** Write requests larger than this are compressed. Worth it across a network, not on one machine. */
  readonly gzipFromBytes: number;
  /** Rows of one page of an export. */
  readonly pageRows: number;
}

/** Rows of one series of a statement's answer. */
export interface InfluxRows {
  /** What the statement grouped by. */
  readonly tags?: Readonly<Record<string, string>>;
  readonly columns: readonly string[];
  readonly values: readonly (readonly unknown[])[];
}

/** What the server said about a write request. `refused` = it took some lines, but not all. */
export type WriteReply = { readonly kind: 'stored' } | { readonly kind: 'refused'; readonly reason: string };

export class InfluxConnection {
  readonly #target: InfluxTarget;
  readonly #logger: Logger;
  readonly #agent: HttpAgent;
  readonly #transport: Transport;
  readonly #writeApi: WriteApi;
  #api: InfluxApi | undefined;

  constructor(target: InfluxTarget, limits: InfluxLimits, logger: Logger) {
    this.#target = target;
    this.#logger = logger;
    this.#agent = new (target.url.startsWith('https:') ? HttpsAgent : HttpAgent)({ keepAlive: true, maxSockets: 8 });
    this.#transport = withDeadline(plainTransport(target, limits, this.#agent), limits.timeoutMs);
    this.#writeApi = new InfluxDB({ url: target.url, transport: this.#transport }).getWriteApi(
      target.org ?? '',
      target.bucket,
      'ns',
      {
        batchSize: limits.maxLines + 1,
        maxBatchBytes: Number.MAX_SAFE_INTEGER,
        flushInterval: 0,
        maxRetries: 0,
        gzipThreshold: limits.gzipFromBytes,
        // A promise here is the client's way to hear: do not retry and do not print, hand the error to the caller.
        writeFailed: (error) => Promise.reject(error),
      },
    );
  }

  /**
   * Writes lines in one request.
   * @throws AppError STORE_UNAVAILABLE when nothing is known about them
   */
  async write(lines: readonly string[]): Promise<WriteReply> {
    const api = await this.#detect();
    const path = writePathOf(api, this.#target.bucket);
    if (path !== undefined) this.#writeApi.path = path;
    try {
      this.#writeApi.writeRecords([...lines]);
      await this.#writeApi.flush();
      return { kind: 'stored' };
    } catch (error) {
      const reason = refusalOf(error);
      if (reason === undefined) throw this.#unavailable(error);
      return { kind: 'refused', reason };
    }
  }

  /**
   * Runs InfluxQL statements in one request; times come back in microseconds, which still fit a JavaScript number.
   * @throws AppError STORE_UNAVAILABLE
   */
  async query(statements: readonly string[]): Promise<readonly (InfluxRows | undefined)[]> {
    if (statements.length === 0) return [];
    await this.#detect();
    return this.#run(statements);
  }

  /**
   * The series that a statement with GROUP BY on tags gives.
   * @throws AppError STORE_UNAVAILABLE
   */
  async queryGroups(statement: string): Promise<readonly InfluxRows[]> {
    await this.#detect();
    return groupsOf(await this.#request([statement]), 0);
  }

  /** @throws AppError STORE_UNAVAILABLE */
  api(): Promise<InfluxApi> {
    return this.#detect();
  }

  /** @throws AppError STORE_UNAVAILABLE */
  async ping(): Promise<void> {
    await this.#version();
  }

  /** Ends idle connections. */
  close(): void {
    this.#agent.destroy();
  }

  /** The first series of each statement; `undefined` = nothing found. */
  async #run(statements: readonly string[]): Promise<(InfluxRows | undefined)[]> {
    // 3.x answers one statement a request, and a second one with 400.
    const portions = this.#api === 'v3' ? statements.map((statement) => [statement]) : [statements];
    const rows: (InfluxRows | undefined)[] = [];
    for (const portion of portions) {
      const reply = await this.#request(portion);
      rows.push(...portion.map((_statement, i) => groupsOf(reply, i)[0]));
    }
    return rows;
  }

  async #request(statements: readonly string[]): Promise<unknown> {
    const path = `/query?epoch=u&db=${encodeURIComponent(this.#target.bucket)}`;
    const body = new URLSearchParams({ q: statements.join(';') }).toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' };
    try {
      return await this.#transport.request(path, body, { method: 'POST', headers });
    } catch (error) {
      // 3.x makes a database with the first write: until then nothing is in it.
      if (this.#api === 'v3' && isDatabaseMissing(error)) return nothingFor(statements);
      throw this.#unavailable(error);
    }
  }

  /** Which generation of the API the server speaks; found out at the first call that reaches it. */
  async #detect(): Promise<InfluxApi> {
    if (!this.#api) {
      const api = this.#target.api === 'auto' ? apiOfVersion(await this.#version()) : this.#target.api;
      if (api === 'v1') await this.#createDatabase();
      this.#api = api;
      this.#logger.info({ api, url: new URL(this.#target.url).origin }, 'connected to InfluxDB');
    }
    return this.#api;
  }

  async #version(): Promise<string> {
    let version = '';
    try {
      await this.#transport.request('/ping', '', { method: 'GET' }, (headers) => {
        version = String(headers['x-influxdb-version'] ?? '');
      });
    } catch (error) {
      throw this.#unavailable(error);
    }
    return version;
  }

  /** 1.x has no provisioning of its own; a user without the right to create databases must find it there. */
  async #createDatabase(): Promise<void> {
    try {
      await this.#run([`CREATE DATABASE ${quotedName(this.#target.bucket)}`]);
    } catch (error) {
      if (!/authoriz|privilege|forbidden/i.test(errorText(error))) throw error;
      this.#logger.debug({ database: this.#target.bucket }, 'not allowed to create the database; it must exist');
    }
  }

  #unavailable(error: unknown): AppError {
    if (error instanceof HttpError && error.statusCode === 404) this.#api = undefined; // The database is gone: look again.
    return new AppError('STORE_UNAVAILABLE', serverWords(error), {
      cause: error,
      facts: error instanceof HttpError ? { status: error.statusCode } : {},
    });
  }
}

/**
 * Where lines go; `undefined` = where the client sends them by itself, `/api/v2/write`. 3.x has that path too, but answers
 * a batch with a bad line there with 500 in some versions, which does not say that it is the line's fault.
 */
function writePathOf(api: InfluxApi, bucket: string): string | undefined {
  const db = encodeURIComponent(bucket);
  if (api === 'v1') return `/write?db=${db}&precision=ns`;
  return api === 'v3' ? `/api/v3/write_lp?db=${db}&precision=nanosecond&accept_partial=true` : undefined;
}

function isDatabaseMissing(error: unknown): boolean {
  return error instanceof HttpError && error.statusCode === 404 && /database.*not found/i.test(serverWords(error));
}

/** The reply to statements that find nothing. */
function nothingFor(statements: readonly string[]): unknown {
  return { results: statements.map((_statement, id) => ({ statement_id: id })) };
}

/** An identifier for InfluxQL. */
export function quotedName(name: string): string {
  return `"${name.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n')}"`;
}

function plainTransport(target: InfluxTarget, limits: InfluxLimits, agent: HttpAgent): Transport {
  const { url, token, username, password } = target;
  const basic = Buffer.from(`${username ?? ''}:${password ?? ''}`).toString('base64');
  return new InfluxDB({
    url,
    timeout: limits.timeoutMs,
    transportOptions: { agent },
    ...(token ? { token } : username ? { headers: { authorization: `Basic ${basic}` } } : {}),
  }).transport;
}

/**
 * Ends every request at its deadline. The timer must go with the request: a signal that waits on holds the whole reply.
 * `iterate` is not used by this store and passes as it is.
 */
function withDeadline(transport: Transport, timeoutMs: number): Transport {
  function deadline(options: SendOptions): { options: SendOptions; done: () => void } {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), timeoutMs);
    return { options: { ...options, signal: controller.signal }, done: () => clearTimeout(timer) };
  }
  return {
    chunkCombiner: transport.chunkCombiner,
    iterate: (path, body, options) => transport.iterate(path, body, options),
    request(path, body, options, started) {
      const limit = deadline(options);
      return transport.request(path, body, limit.options, started).finally(limit.done);
    },
    send(path, body, options, callbacks = {}) {
      const limit = deadline(options);
      transport.send(path, body, limit.options, {
        ...callbacks,
        complete() {
          limit.done();
          callbacks.complete?.();
        },
        error(error) {
          limit.done();
          callbacks.error?.(error);
        },
      });
    },
  };
}

/** `1.6.7`, `v2.7.5`, `3.0.1` … A server that does not say is taken for 1.x, whose paths all of them have. */
function apiOfVersion(version: string): InfluxApi {
  const major = /^v?(\d+)/.exec(version)?.[1];
  return major === '2' ? 'v2' : major === '3' ? 'v3' : 'v1';
}

/** Why lines were refused for good (400, 413, 422), or `undefined` when the same lines may pass later. */
function refusalOf(error: unknown): string | undefined {
  if (!(error instanceof HttpError) || ![400, 413, 422].includes(error.statusCode)) return undefined;
  return serverWords(error);
}

/** The server's own sentence without the envelope around it. */
function serverWords(error: unknown): string {
  const body: unknown = error instanceof HttpError ? bodyOf(error) : undefined;
  const said = isRecord(body) ? (body.error ?? body.message) : undefined;
  const lines = isRecord(body) ? lineErrors(body.data) : '';
  return `${typeof said === 'string' ? said : errorText(error)}${lines}`.slice(0, 1_000);
}

/** The client reads the body as JSON only when the server calls it so; 3.x does not always. */
function bodyOf(error: HttpError): unknown {
  if (error.json !== undefined) return error.json;
  try {
    return JSON.parse(error.body ?? '');
  } catch {
    return undefined; // It is none, or it was cut.
  }
}

/** What 3.x says about single lines, the first of them. */
function lineErrors(data: unknown): string {
  const [first] = Array.isArray(data) ? (data as unknown[]) : [data];
  return isRecord(first) && typeof first.error_message === 'string' ? `: ${first.error_message}` : '';
}

/** @throws AppError STORE_UNAVAILABLE when the reply is not one, or the statement failed */
function groupsOf(reply: unknown, statement: number): InfluxRows[] {
  const results = isRecord(reply) && Array.isArray(reply.results) ? (reply.results as unknown[]) : [];
  const result = results[statement];
  const failure = isRecord(result) ? result.error : 'the reply has no result';
  if (failure !== undefined) throw new AppError('STORE_UNAVAILABLE', String(failure));
  const series = (result as { series?: unknown }).series;
  return Array.isArray(series) ? series.map(rowsOf) : [];
}

function rowsOf(series: unknown): InfluxRows {
  if (!isRecord(series) || !Array.isArray(series.columns)) throw new AppError('STORE_UNAVAILABLE', 'unreadable reply');
  if (series.partial === true) throw new AppError('STORE_UNAVAILABLE', 'the server cut the reply (max-row-limit)');
  const { columns, values = [], tags = {} } = series;
  return { columns: columns as string[], values: values as unknown[][], tags: tags as Record<string, string> };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
