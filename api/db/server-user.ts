/**
 * PostgreSQL refuses to run as root. Started by root, the embedded server therefore runs as an unprivileged system user,
 * who must be able to reach its directory and its programs; this module finds that user and answers whether he can.
 */
import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { AppError } from '../../contract/kernel/errors.ts';

export interface ServerUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** Tried in this order; `nobody` exists nearly everywhere. */
const CANDIDATES = ['postgres', 'nobody'] as const;

/** The user to drop to, or `undefined` when we are not root and run the server as ourselves. */
export async function findServerUser(): Promise<ServerUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  for (const name of CANDIDATES) {
    const line = lines.find((fields) => fields[0] === name);
    if (line) return { name, uid: Number(line[2]), gid: Number(line[3]) };
  }
  throw new AppError(
    'SQL_UNAVAILABLE',
    'PostgreSQL does not run as root and there is no user `postgres`; add one (useradd --system postgres), run Presage as an ordinary user, or set DATABASE_URL',
  );
}

/** The first folder on the way to `path` that `user` may not pass, or `undefined`. */
export async function firstClosedFolder(path: string, user: ServerUser): Promise<string | undefined> {
  const folders: string[] = [];
  for (let folder = dirname(resolve(path)); ; folder = dirname(folder)) {
    folders.unshift(folder);
    if (folder === dirname(folder)) break;
  }
  for (const folder of folders) {
    const { mode, uid, gid } = await stat(folder);
    const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return folder;
  }
  return undefined;
}
