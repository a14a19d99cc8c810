/** The encryption of backups: what was changed, cut, moved or swapped is never taken for what was written. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { copyFile, hashFile, readCoded, writeCoded } from '../../app/backup/copy-tree.ts';
import { HEADER_FILE, newSealing, readHeader, sealingFor } from '../../app/backup/sealing.ts';

const MIB = 1024 * 1024;
const SEALED_CHUNK = MIB + 16;
const key = { version: 3, bytes: Buffer.alloc(32, 5) };
let folder: string;
const at = (name: string): string => join(folder, name);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'presage-sealing-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Bytes that differ from chunk to chunk. */
function content(bytes: number): Buffer {
  const data = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i += 997) data[i] = (i * 31 + (i >> 16)) & 0xff;
  return data;
}

describe('a sealed file', () => {
  it.each([0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB])('of %i bytes comes back as it was', async (bytes) => {
    const sealing = newSealing(key);
    writeFileSync(at('plain'), content(bytes));
    const sealed = await copyFile(at('plain'), at('sealed'), 0o600, sealing.seal('a/b'));
    const opened = await copyFile(at('sealed'), at('opened'), 0o600, sealing.open('a/b'));
    expect(readFileSync(at('opened')).equals(content(bytes))).toBe(true);
    expect(opened).toEqual(sealed);
    expect(sealed?.bytes).toBe(bytes);
    expect(readFileSync(at('sealed')).length).toBe(bytes + 16 * (Math.floor(bytes / MIB) + 1));
  });

  it('never looks the same twice', async () => {
    await writeCoded(at('one'), 'text', 0o600, newSealing(key).seal('x'));
    await writeCoded(at('two'), 'text', 0o600, newSealing(key).seal('x'));
    expect(readFileSync(at('one'))).not.toEqual(readFileSync(at('two')));
    expect(readFileSync(at('one')).includes('text')).toBe(false);
  });

  const damages: [what: string, damage: (sealed: Buffer) => Buffer, part: number][] = [
    ['a flipped bit', (all) => flipped(all, 100), 1],
    ['a flipped bit in the second chunk', (all) => flipped(all, SEALED_CHUNK + 5), 2],
    ['a flipped bit in a tag', (all) => flipped(all, all.length - 1), 3],
    ['a byte less', (all) => all.subarray(0, -1), 3],
    ['a cut between two chunks', (all) => all.subarray(0, 2 * SEALED_CHUNK), 3],
    ['a byte more', (all) => Buffer.concat([all, Buffer.from([0])]), 3],
    ['a chunk twice', (all) => Buffer.concat([all.subarray(0, SEALED_CHUNK), all]), 2],
    [
      'two chunks that changed places',
      (all) =>
        Buffer.concat([
          all.subarray(SEALED_CHUNK, 2 * SEALED_CHUNK),
          all.subarray(0, SEALED_CHUNK),
          all.subarray(2 * SEALED_CHUNK),
        ]),
      1,
    ],
    ['nothing', () => Buffer.alloc(0), 1],
  ];
  it.each(damages)('with %s is refused, with its name and part', async (_, damage, part) => {
    const sealing = newSealing(key);
    writeFileSync(at('plain'), content(2 * MIB + 500));
    await copyFile(at('plain'), at('sealed'), 0o600, sealing.seal('store/file'));
    writeFileSync(at('sealed'), damage(readFileSync(at('sealed'))));
    await expect(hashFile(at('sealed'), sealing.open('store/file'))).rejects.toThrow(
      `store/file was changed or cut short (part ${part},`,
    );
  });

  it('is refused in the place of another one, in another backup, and under another header', async () => {
    const sealing = newSealing(key);
    await writeCoded(at('a'), 'text', 0o600, sealing.seal('a'));
    expect((await readCoded(at('a'), sealing.open('a'))).toString()).toBe('text');
    await expect(readCoded(at('a'), sealing.open('b'))).rejects.toThrow('b was changed');
    await expect(readCoded(at('a'), newSealing(key).open('a'))).rejects.toThrow('a was changed');

    writeFileSync(at(HEADER_FILE), sealing.headerText);
    const found = await readHeader(folder);
    if (!found) throw new Error('no header');
    expect(found.header.key).toEqual({ version: 3, id: expect.stringMatching(/^[0-9a-f]{8}$/) });
    expect((await readCoded(at('a'), sealingFor(found, key.bytes).open('a'))).toString()).toBe('text');
    const changed = { ...found, text: found.text.replace('"version": 3', '"version": 4') };
    await expect(readCoded(at('a'), sealingFor(changed, key.bytes).open('a'))).rejects.toThrow('a was changed');
    expect(() => sealingFor(found, Buffer.alloc(32, 6))).toThrow('the key given is');
    writeFileSync(at(HEADER_FILE), sealing.headerText.replace('aes', 'rot'));
    await expect(readHeader(folder)).rejects.toThrow(HEADER_FILE);
  });
});

function flipped(all: Buffer, index: number): Buffer {
  const copy = Buffer.from(all);
  copy[index] = (copy[index] ?? 0) ^ 1;
  return copy;
}
