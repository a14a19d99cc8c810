/** What lies on disk: threat 22. */
import { inFile, type Mutation } from './mutation.ts';

const sealing = inFile('tests/unit/backup-sealing.test.ts');

export const FILE_MUTATIONS: readonly Mutation[] = [
  {
    threat: 22,
    without: 'the mode of log files',
    file: 'ingest/log/durable-files.ts',
    find: 'export const FILE_MODE = 0o600;',
    replace: 'export const FILE_MODE = 0o644;',
    tests: inFile('tests/unit/segment-log.test.ts')('gives nobody else a look into its files'),
  },
  {
    threat: 22,
    without: 'the mode of the files of the embedded store',
    file: 'ingest/store/embedded-file.ts',
    find: `for (const file of [path, \`\${path}.wal\`]) if (existsSync(file)) chmodSync(file, 0o600);`,
    replace: '',
    tests: inFile('tests/integration/store-embedded.test.ts')('keeps its files to their owner, whatever the umask'),
  },
  {
    threat: 22,
    without: 'the mode of key files',
    file: 'app/keys.ts',
    find: `const file = openSync(\`\${path}.new\`, 'w', 0o600);`,
    replace: `const file = openSync(\`\${path}.new\`, 'w', 0o644);`,
    tests: inFile('tests/unit/keys.test.ts')(
      'are made once, each its own, readable by their owner only, whatever the umask',
    ),
  },
  {
    threat: 22,
    without: 'the encryption of backups',
    file: 'app/backup/sealing.ts',
    find: 'return Buffer.concat([cipher.update(chunk), ',
    replace: 'return Buffer.concat([chunk, ',
    tests: sealing('never looks the same twice'),
  },
  {
    threat: 22,
    without: 'a key of its own for each file of a backup',
    file: 'app/backup/sealing.ts',
    find: `presage backup\\n\${headerHash}\\n\${path}`,
    replace: `presage backup\\n\${headerHash}\\n`,
    tests: sealing('is refused in the place of another one, in another backup, and under another header'),
  },
  {
    threat: 22,
    without: 'the check of the tags in a backup',
    file: 'app/backup/sealing.ts',
    find: '-TAG_BYTES)), decipher.final()]',
    replace: '-TAG_BYTES))]',
    tests: sealing('with %s is refused, with its name and part'),
  },
  {
    threat: 22,
    without: 'leaving the key out of the backup that it opens',
    file: 'app/backup/backup.ts',
    find: 'const withKey = options.plain === true;',
    replace: 'const withKey = options.plain !== undefined;',
    tests: inFile('tests/integration/backup.test.ts')(
      'copies everything, also after a kill that left the database running',
    ),
  },
];
