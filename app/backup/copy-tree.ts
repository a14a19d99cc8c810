/** Copies folders file by file, each hashed on the way and on disk before the next step; nothing is followed out of them. */
import { createHash } from 'node:crypto';
import { chmod, type FileHandle, lstat, mkdir, open, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AppError } from '../../contract/kernel/errors.ts';

export interface TreeFile {
  /** Relative to the root of the tree, with slashes. */
  readonly path: string;
  readonly mode: number;
}

export interface CopiedFile extends TreeFile {
  readonly bytes: number;
  readonly sha256: string;
}

export interface Tree {
  readonly directories: readonly TreeFile[];
  readonly files: readonly TreeFile[];
}

const CHUNK_BYTES = 1024 * 1024;
const MODE_BITS = 0o777;

/**
 * Everything below `root`, parents before children. `skips` says which relative paths are left out.
 * @throws AppError BACKUP_INVALID at anything that is neither file nor folder
 */
export async function listTree(root: string, skips: (path: string) => boolean = () => false): Promise<Tree> {
  const directories: TreeFile[] = [];
  const files: TreeFile[] = [];
  async function visit(folder: string): Promise<void> {
    for (const name of (await readdir(join(root, folder))).sort()) {
      const path = folder === '' ? name : `${folder}/${name}`;
      if (skips(path)) continue;
      const facts = await lstat(join(root, path));
      const entry = { path, mode: facts.mode & MODE_BITS };
      if (facts.isDirectory()) {
        directories.push(entry);
        await visit(path);
      } else if (facts.isFile()) files.push(entry);
      else throw new AppError('BACKUP_INVALID', `${join(root, path)} is neither a file nor a folder`);
    }
  }
  await visit('');
  return { directories, files };
}

/** Copies one file with its mode; resolves when the copy is on disk. */
export async function copyFile(from: string, to: string, mode: number): Promise<{ bytes: number; sha256: string }> {
  const source = await open(from, 'r');
  try {
    const target = await open(to, 'wx', mode);
    try {
      const facts = await pour(source, target);
      await target.chmod(mode);
      await target.sync();
      return facts;
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

async function pour(source: FileHandle, target: FileHandle | undefined): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let bytes = 0;
  for (;;) {
    const { bytesRead } = await source.read(chunk, 0, CHUNK_BYTES);
    if (bytesRead === 0) return { bytes, sha256: hash.digest('hex') };
    const part = chunk.subarray(0, bytesRead);
    hash.update(part);
    bytes += bytesRead;
    if (target) await target.writeFile(part);
  }
}

export async function hashFile(path: string): Promise<{ bytes: number; sha256: string }> {
  const source = await open(path, 'r');
  try {
    return await pour(source, undefined);
  } finally {
    await source.close();
  }
}

/** Makes the folders of a tree below `root`, writable for us while they are filled; see `closeFolders`. */
export async function makeFolders(root: string, directories: readonly TreeFile[]): Promise<void> {
  await mkdir(root, { recursive: true, mode: 0o700 });
  for (const { path } of directories) await mkdir(join(root, path), { mode: 0o700 });
}

/** Gives the folders their modes and puts their entries on disk, children first. */
export async function closeFolders(root: string, directories: readonly TreeFile[]): Promise<void> {
  for (const { path, mode } of [...directories].reverse()) {
    await chmod(join(root, path), mode);
    await syncPath(join(root, path));
  }
  await syncPath(root);
  await syncPath(dirname(root));
}

export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
