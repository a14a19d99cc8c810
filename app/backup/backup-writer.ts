/** Fills the folder of a backup: each file copied, hashed and, where asked for, encrypted; the manifest last. */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { AppError } from '../../contract/kernel/errors.ts';
import { type CopiedFile, closeFolders, copyFile, syncPath, type TreeFile, writeCoded } from './copy-tree.ts';
import { MANIFEST_FILE, MANIFEST_HASH_FILE, type Manifest, newManifest, sha256Of } from './manifest.ts';
import { HEADER_FILE, type Sealing } from './sealing.ts';

export interface BackupWriter {
  /** Paths are relative to the backup, with slashes; parents come before what is in them. */
  folder(path: string, mode: number): Promise<void>;
  /** False when the file is gone: a running server deletes files. */
  copy(from: string, path: string, mode: number): Promise<boolean>;
  write(path: string, text: string, mode: number): Promise<void>;
  /** Writes the manifest: only now it is a backup. */
  finish(facts: Pick<Manifest, 'version' | 'createdAt' | 'sql' | 'store'>): Promise<Manifest>;
  /** Takes everything away again. */
  discard(): Promise<void>;
}

/** Begins a backup in a folder that is empty or not there. Without `sealing` it is not encrypted. */
export async function beginBackup(target: string, sealing: Sealing | undefined): Promise<BackupWriter> {
  const directories: TreeFile[] = [];
  const files: CopiedFile[] = [];
  await mkdir(target, { recursive: true, mode: 0o700 });
  if (sealing) await writeCoded(join(target, HEADER_FILE), sealing.headerText, 0o600);

  return {
    async folder(path, mode) {
      await mkdir(join(target, path), { mode: 0o700 });
      directories.push({ path, mode });
    },
    async copy(from, path, mode) {
      const facts = await copyFile(from, join(target, path), mode, sealing?.seal(path));
      if (facts) files.push({ path, mode, ...facts });
      return facts !== undefined;
    },
    async write(path, text, mode) {
      files.push({ path, mode, ...(await writeCoded(join(target, path), text, mode, sealing?.seal(path))) });
    },
    async finish(facts) {
      await closeFolders(target, directories);
      const manifest = newManifest({ ...facts, directories, files });
      await writeManifest(target, manifest, sealing);
      return manifest;
    },
    discard: () => rm(target, { recursive: true, force: true }),
  };
}

/** A sealed one needs no hash beside it. */
async function writeManifest(target: string, manifest: Manifest, sealing: Sealing | undefined): Promise<void> {
  const text = `${JSON.stringify(manifest, null, 1)}\n`;
  if (!sealing) {
    await writeFile(join(target, MANIFEST_HASH_FILE), `${sha256Of(text)}\n`, { mode: 0o600 });
    await syncPath(join(target, MANIFEST_HASH_FILE));
  }
  await writeCoded(join(target, `${MANIFEST_FILE}.new`), text, 0o600, sealing?.seal(MANIFEST_FILE));
  await rename(join(target, `${MANIFEST_FILE}.new`), join(target, MANIFEST_FILE));
  await syncPath(target);
}

/** Copies the fitted models beside the data. @throws AppError BACKUP_INVALID when one is missing */
export async function copyModels(writer: BackupWriter, models: Readonly<Record<string, string>>): Promise<void> {
  await writer.folder('models', 0o700);
  for (const [model, path] of Object.entries(models)) {
    const copied = await writer.copy(path, `models/${basename(model)}-${basename(path)}`, 0o600);
    if (!copied) throw new AppError('BACKUP_INVALID', `the prognosis model ${path} is missing`);
  }
}
