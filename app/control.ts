/**
 * How commands on the same machine speak to the running server: a socket in a folder of the data directory that only the
 * owner of the directory can enter, one JSON object a line in each direction. Whoever can open it could read the keys as
 * well; no other credentials are asked for.
 */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { AppError, ERRORS, type ErrorCode, errorText } from '../contract/kernel/errors.ts';
import type { Logger, Service } from '../contract/ports/services.ts';

/** What one connection holds; given back when it ends, however it ends. */
export interface ControlSession {
  /** Hangs up. */
  end(): void;
  onEnd(release: () => void): void;
}

export type ControlHandler = (request: unknown, session: ControlSession) => Promise<unknown>;

export interface ControlClient {
  /** @throws AppError as the server threw it */
  ask(request: object): Promise<unknown>;
  close(): void;
}

const MAX_LINE_CHARS = 64 * 1024;
const MAX_CONNECTIONS = 8;
/** What a socket's name may have on every system that we know. */
const MAX_PATH_BYTES = 100;

const answerLine = z.union([
  z.object({ ok: z.literal(true), result: z.unknown() }),
  z.object({ ok: z.literal(false), code: z.string(), detail: z.string() }),
]);

/** Listens while the data directory is ours: its lock says that an older socket belongs to nobody. */
export function createControl(path: string, handle: ControlHandler, logger: Logger): Service {
  const sockets = new Set<Socket>();
  let server: Server | undefined;

  function serve(socket: Socket): void {
    const releases: (() => void)[] = [];
    const session: ControlSession = {
      end: () => socket.destroy(),
      onEnd(release) {
        if (socket.destroyed) release();
        else releases.push(release);
      },
    };
    sockets.add(socket);
    socket.on('error', () => undefined); // `close` follows, and with it the end of the session.
    socket.once('close', () => {
      sockets.delete(socket);
      for (const release of releases.splice(0)) release();
    });
    let tail = Promise.resolve();
    onLines(socket, (line) => {
      tail = tail.then(async () => {
        const answer = await answerTo(line, session);
        if (!socket.destroyed) socket.write(`${JSON.stringify(answer)}\n`);
      });
    });
  }

  async function answerTo(line: string, session: ControlSession): Promise<object> {
    try {
      return { ok: true, result: (await handle(JSON.parse(line), session)) ?? null };
    } catch (error) {
      if (!(error instanceof AppError)) logger.error({ error: errorText(error) }, 'a command failed');
      const code = error instanceof AppError ? error.code : 'INTERNAL';
      return { ok: false, code, detail: detailOf(error) };
    }
  }

  return {
    async start() {
      if (server) return;
      const name = shortest(path);
      if (Buffer.byteLength(name) > MAX_PATH_BYTES) {
        logger.warn({ path }, 'the path is too long for a socket: keys and backups need the server to be stopped');
        return;
      }
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      chmodSync(dirname(path), 0o700);
      rmSync(path, { force: true });
      const listening = createServer(serve);
      listening.maxConnections = MAX_CONNECTIONS;
      await new Promise<void>((done, failed) => {
        listening.once('error', failed);
        listening.listen(name, done);
      });
      chmodSync(path, 0o600);
      server = listening;
    },
    async stop() {
      const closing = server;
      server = undefined;
      if (!closing) return;
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((done) => closing.close(() => done()));
      rmSync(path, { force: true });
    },
  };
}

/** @throws AppError NOT_READY when the server does not listen there */
export async function connectControl(path: string): Promise<ControlClient> {
  const socket = connect(shortest(path));
  await new Promise<void>((done, failed) => {
    socket.once('connect', done);
    socket.once('error', (cause) =>
      failed(new AppError('NOT_READY', `the server does not listen at ${path}; stop it, or wait for it`, { cause })),
    );
  });
  const waiting: { done: (answer: unknown) => void; failed: (error: Error) => void }[] = [];
  socket.on('error', () => undefined); // `close` follows and tells whoever waits.
  socket.once('close', () => {
    for (const { failed } of waiting.splice(0)) failed(new AppError('NOT_READY', 'the server ended the conversation'));
  });
  onLines(socket, (line) => {
    const next = waiting.shift();
    const answer = answerLine.parse(JSON.parse(line));
    if (answer.ok) next?.done(answer.result);
    else next?.failed(new AppError(isErrorCode(answer.code) ? answer.code : 'INTERNAL', answer.detail));
  });
  return {
    ask(request) {
      return new Promise((done, failed) => {
        if (socket.destroyed) return failed(new AppError('NOT_READY', 'the server ended the conversation'));
        waiting.push({ done, failed });
        socket.write(`${JSON.stringify(request)}\n`);
      });
    },
    close: () => socket.destroy(),
  };
}

function onLines(socket: Socket, listener: (line: string) => void): void {
  createInterface({ input: socket }).on('line', (line) => {
    if (line.length > MAX_LINE_CHARS) socket.destroy();
    else listener(line);
  });
}

/** Sockets have short names: one seen from here may be shorter. */
function shortest(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere.length < path.length ? fromHere : path;
}

/** Without the title, which the other side puts in front again. */
function detailOf(error: unknown): string {
  if (!(error instanceof AppError)) return errorText(error);
  const title = `${ERRORS[error.code].title}: `;
  return error.message.startsWith(title) ? error.message.slice(title.length) : error.message;
}

function isErrorCode(code: string): code is ErrorCode {
  return code in ERRORS;
}
