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

/** Of the plain content. */
export interface FileFacts {
  readonly bytes: number;
  readonly sha256: string;
}

export type CopiedFile = TreeFile & FileFacts;

export interface Tree {
  readonly directories: readonly TreeFile[];
  readonly files: readonly TreeFile[];
}

/** What happens to the bytes on their way; without one they stay as they are. */
export interface Codec {
  /** Bytes of one chunk as it is read; only the last one is shorter, and it may be empty. */
  readonly readBytes: number;
  /** On which side of it the bytes are that hashes and sizes speak of. */
  readonly plain: 'before' | 'after';
  code(chunk: Buffer, isLast: boolean): Buffer;
}

const AS_IT_IS: Codec = { readBytes: 1024 * 1024, plain: 'before', code: (chunk) => chunk };
const MODE_BITS = 0o777;

/**
 * Everything below `root`, parents before children. `skips` says which relative paths are left out. What goes away while
 * we look is left out too.
 * @throws AppError BACKUP_INVALID at anything that is neither file nor folder
 */
export async function listTree(root: string, skips: (path: string) => boolean = () => false): Promise<Tree> {
  const directories: TreeFile[] = [];
  const files: TreeFile[] = [];
  async function visit(folder: string): Promise<void> {
    for (const name of ((await ifThere(readdir(join(root, folder)))) ?? []).sort()) {
      const path = folder === '' ? name : `${folder}/${name}`;
      if (skips(path)) continue;
      const facts = await ifThere(lstat(join(root, path)));
      if (!facts) continue;
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

/**
 * Copies one file with its mode, as long as it is now: what is added meanwhile stays out. Resolves when the copy is on disk,
 * with `undefined` when there is nothing to copy (any more).
 */
export async function copyFile(
  from: string,
  to: string,
  mode: number,
  codec: Codec = AS_IT_IS,
): Promise<FileFacts | undefined> {
  const source = await ifThere(open(from, 'r'));
  if (!source) return undefined;
  try {
    const target = await open(to, 'wx', mode);
    try {
      const facts = await pour(source, target, codec);
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

/** The same for a file that is made here. */
export async function writeCoded(to: string, text: string, mode: number, codec: Codec = AS_IT_IS): Promise<FileFacts> {
  const target = await open(to, 'wx', mode);
  try {
    const bytes = Buffer.from(text);
    for (let at = 0; ; at += codec.readBytes) {
      const isLast = bytes.length - at < codec.readBytes;
      await target.writeFile(codec.code(bytes.subarray(at, at + codec.readBytes), isLast));
      if (isLast) break;
    }
    await target.sync();
    return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
  } finally {
    await target.close();
  }
}

/** Reads the whole file through the codec and keeps nothing of it. */
export async function hashFile(path: string, codec: Codec = AS_IT_IS): Promise<FileFacts> {
  const source = await open(path, 'r');
  try {
    return await pour(source, undefined, codec);
  } finally {
    await source.close();
  }
}

/** A small file as a whole. */
export async function readCoded(path: string, codec: Codec): Promise<Buffer> {
  const parts: Buffer[] = [];
  const source = await open(path, 'r');
  try {
    await pour(source, { writeFile: async (part: Buffer) => void parts.push(part) }, codec);
  } finally {
    await source.close();
  }
  return Buffer.concat(parts);
}

async function pour(
  source: FileHandle,
  target: { writeFile(part: Buffer): Promise<unknown> } | undefined,
  codec: Codec,
): Promise<FileFacts> {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(codec.readBytes);
  let left = (await source.stat()).size;
  let bytes = 0;
  for (;;) {
    const filled = await fillChunk(source, chunk, Math.min(left, chunk.length));
    left -= filled;
    const isLast = filled < chunk.length;
    const before = chunk.subarray(0, filled);
    const after = codec.code(before, isLast);
    const plain = codec.plain === 'before' ? before : after;
    hash.update(plain);
    bytes += plain.length;
    if (target) await target.writeFile(after);
    if (isLast) return { bytes, sha256: hash.digest('hex') };
  }
}

/** Fewer bytes only at the end of the file. */
async function fillChunk(source: FileHandle, chunk: Buffer, wanted: number): Promise<number> {
  let filled = 0;
  while (filled < wanted) {
    const { bytesRead } = await source.read(chunk, filled, wanted - filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
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

/** `undefined` when the file or folder is not there (any more). */
export async function ifThere<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
