/** What is said of a backup after something was done with it. */
import type { Manifest } from './manifest.ts';

export interface BackupReport {
  readonly directory: string;
  readonly files: number;
  /** Of the plain content. */
  readonly bytes: number;
  readonly encrypted: boolean;
  readonly sql: Manifest['sql'];
  readonly store: Manifest['store'];
  /** Version of the program that made the backup. */
  readonly version: string;
  readonly createdAt: string;
}

export function reportOf(directory: string, manifest: Manifest, encrypted: boolean): BackupReport {
  const { version, createdAt, sql, store, files } = manifest;
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  return { directory, files: files.length, bytes, encrypted, sql, store, version, createdAt };
}
