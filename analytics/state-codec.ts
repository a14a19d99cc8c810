/**
 * A device's state as short text, for the checkpoint: any JSON value, without loss. Written as plain JSON a state is mostly
 * names of fields and digits. Here a list of field names is written once and then referred to by number, an object that
 * stands in several places (parameters of a model) is written once, and each number takes as many bytes as it needs: whole
 * numbers and numbers that fit single precision take few, which is why detectors round what they remember to it.
 */
import { brief } from './stats/rounding.ts';

/** One byte before each value. Bytes from {@link FIRST_SHAPE} on are objects of a shape already written. */
const TAG = {
  null: 0,
  false: 1,
  true: 2,
  text: 3,
  list: 4,
  newShape: 5,
  shape: 6,
  repeat: 7,
  zero: 8,
  byte: 9,
  short: 10,
  int: 11,
  time: 12,
  single: 13,
  double: 14,
  brief: 15,
  near: 16,
  later: 17,
} as const;
/** Small whole numbers are their own tag. */
const FIRST_DIGIT = 18;
const DIGITS = 46;
const FIRST_SHAPE = FIRST_DIGIT + DIGITS;
const MAX_TIME = 2 ** 48;
/** Times are written as distances from the one before where that is shorter. */
const NEAR = 2 ** 23;
const LATER = 2 ** 31;

/** The bits of a number in single precision. */
const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

type Fields = Readonly<Record<string, unknown>>;

/** @example unpackJson(packJson({ a: [1, 0.5, null] })) // => { a: [1, 0.5, null] } */
export function packJson(value: unknown): string {
  const writer = createWriter();
  writeValue(writer, value);
  return writer.text();
}

/** @throws RangeError when `packed` was cut off or is none */
export function unpackJson(packed: string): unknown {
  const bytes = Buffer.from(packed, 'base64');
  return readValue({ bytes, at: 0, lastTime: 0, shapes: [], objects: [] });
}

interface Writer {
  readonly shapes: Map<string, { readonly id: number; readonly names: readonly string[] }>;
  shapesWritten: number;
  lastTime: number;
  readonly objects: Map<object, number>;
  byte(value: number): void;
  /** Whole number ≥ 0 in as many bytes as it needs, seven bits each. */
  count(value: number): void;
  string(value: string): void;
  number(tag: number, size: number, write: (view: Buffer, at: number) => void): void;
  text(): string;
}

function createWriter(): Writer {
  let buffer = Buffer.allocUnsafe(8_192);
  let at = 0;
  const reserve = (size: number): void => {
    if (at + size <= buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(buffer.length * 2, at + size));
    buffer.copy(larger, 0, 0, at);
    buffer = larger;
  };
  const byte = (value: number): void => {
    reserve(1);
    buffer[at++] = value;
  };
  const count = (value: number): void => {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) byte((rest % 128) + 128);
    byte(rest);
  };
  return {
    shapes: new Map(),
    shapesWritten: 0,
    lastTime: 0,
    objects: new Map(),
    byte,
    count,
    string(value) {
      const size = Buffer.byteLength(value);
      count(size);
      reserve(size);
      at += buffer.write(value, at);
    },
    number(tag, size, write) {
      byte(tag);
      reserve(size);
      write(buffer, at);
      at += size;
    },
    text: () => buffer.toString('base64', 0, at),
  };
}

function writeValue(writer: Writer, value: unknown): void {
  if (typeof value === 'number') writeNumber(writer, value);
  else if (typeof value === 'string') {
    writer.byte(TAG.text);
    writer.string(value);
  } else if (typeof value === 'boolean') writer.byte(value ? TAG.true : TAG.false);
  else if (value === null || value === undefined) writer.byte(TAG.null);
  else if (Array.isArray(value)) {
    writer.byte(TAG.list);
    writer.count(value.length);
    for (const one of value) writeValue(writer, one);
  } else writeObject(writer, value as Fields);
}

function writeObject(writer: Writer, value: Fields): void {
  const known = writer.objects.get(value);
  if (known !== undefined) {
    writer.byte(TAG.repeat);
    writer.count(known);
    return;
  }
  writer.objects.set(value, writer.objects.size);
  const all = Object.keys(value);
  const names = all.some((name) => value[name] === undefined) ? all.filter((name) => value[name] !== undefined) : all;
  writeShape(writer, names);
  for (const name of names) writeValue(writer, value[name]);
}

function writeShape(writer: Writer, names: readonly string[]): void {
  const key = names.join('\u0000');
  const known = writer.shapes.get(key);
  // A name that holds the separator could make two lists of names look alike.
  if (!known || known.names.length !== names.length || known.names.some((name, i) => name !== names[i])) {
    writer.shapes.set(key, { id: writer.shapesWritten++, names });
    writer.byte(TAG.newShape);
    writer.count(names.length);
    for (const name of names) writer.string(name);
  } else if (FIRST_SHAPE + known.id < 256) writer.byte(FIRST_SHAPE + known.id);
  else {
    writer.byte(TAG.shape);
    writer.count(known.id);
  }
}

/** Like JSON, −0 becomes 0 and what is not finite becomes null. */
function writeNumber(writer: Writer, value: number): void {
  if (value === 0) writer.byte(TAG.zero);
  else if (Number.isInteger(value) && Math.abs(value) < MAX_TIME) writeWhole(writer, value);
  else if (!Number.isFinite(value)) writer.byte(TAG.null);
  else if (brief(value) === value) writer.number(TAG.brief, 3, (view, at) => writeBrief(view, value, at));
  else if (Math.fround(value) === value) writer.number(TAG.single, 4, (view, at) => view.writeFloatLE(value, at));
  else writer.number(TAG.double, 8, (view, at) => view.writeDoubleLE(value, at));
}

function writeBrief(view: Buffer, value: number, at: number): void {
  float[0] = value;
  view.writeUIntLE((bits[0] as number) >>> 8, at, 3);
}

function writeWhole(writer: Writer, value: number): void {
  if (value > 0 && value <= DIGITS) writer.byte(FIRST_DIGIT + value - 1);
  else if (value >= -128 && value < 128) writer.number(TAG.byte, 1, (view, at) => view.writeInt8(value, at));
  else if (value >= -32_768 && value < 32_768) writer.number(TAG.short, 2, (view, at) => view.writeInt16LE(value, at));
  else if (value >= -(2 ** 31) && value < 2 ** 31)
    writer.number(TAG.int, 4, (view, at) => view.writeInt32LE(value, at));
  else if (value > 0) writeTime(writer, value);
  else writer.number(TAG.double, 8, (view, at) => view.writeDoubleLE(value, at));
}

function writeTime(writer: Writer, value: number): void {
  const distance = value - writer.lastTime;
  writer.lastTime = value;
  if (Math.abs(distance) < NEAR) writer.number(TAG.near, 3, (view, at) => view.writeIntLE(distance, at, 3));
  else if (Math.abs(distance) < LATER) writer.number(TAG.later, 4, (view, at) => view.writeInt32LE(distance, at));
  else writer.number(TAG.time, 6, (view, at) => view.writeUIntLE(value, at, 6));
}

interface Reader {
  lastTime: number;
  readonly bytes: Buffer;
  at: number;
  /** Field names by shape. */
  readonly shapes: (readonly string[])[];
  readonly objects: Record<string, unknown>[];
}

function readValue(reader: Reader): unknown {
  const tag = readByte(reader);
  if (tag >= FIRST_SHAPE) return readObject(reader, tag - FIRST_SHAPE);
  if (tag >= FIRST_DIGIT) return tag - FIRST_DIGIT + 1;
  switch (tag) {
    case TAG.null:
      return null;
    case TAG.false:
      return false;
    case TAG.true:
      return true;
    case TAG.text:
      return readText(reader);
    case TAG.list:
      return readMany(reader, readValue);
    case TAG.newShape:
      reader.shapes.push(readMany(reader, readText));
      return readObject(reader, reader.shapes.length - 1);
    case TAG.shape:
      return readObject(reader, readCount(reader));
    case TAG.repeat:
      return reader.objects[readCount(reader)];
    default:
      return readNumber(reader, tag);
  }
}

function readMany<One>(reader: Reader, readOne: (reader: Reader) => One): One[] {
  const many: One[] = [];
  for (let left = readCount(reader); left > 0; left--) many.push(readOne(reader));
  return many;
}

function readObject(reader: Reader, shape: number): Record<string, unknown> {
  const names = reader.shapes[shape];
  if (!names) throw new RangeError('not a packed state');
  const value: Record<string, unknown> = {};
  reader.objects.push(value);
  for (const name of names) {
    const field = readValue(reader);
    // A signal may be called so.
    if (name === '__proto__')
      Object.defineProperty(value, name, { value: field, enumerable: true, writable: true, configurable: true });
    else value[name] = field;
  }
  return value;
}

function readNumber(reader: Reader, tag: number): number {
  const { bytes, at } = reader;
  switch (tag) {
    case TAG.zero:
      return 0;
    case TAG.byte:
      reader.at += 1;
      return bytes.readInt8(at);
    case TAG.short:
      reader.at += 2;
      return bytes.readInt16LE(at);
    case TAG.int:
      reader.at += 4;
      return bytes.readInt32LE(at);
    case TAG.time:
      reader.at += 6;
      reader.lastTime = bytes.readUIntLE(at, 6);
      return reader.lastTime;
    case TAG.near:
      reader.at += 3;
      reader.lastTime += bytes.readIntLE(at, 3);
      return reader.lastTime;
    case TAG.later:
      reader.at += 4;
      reader.lastTime += bytes.readInt32LE(at);
      return reader.lastTime;
    case TAG.single:
      reader.at += 4;
      return bytes.readFloatLE(at);
    case TAG.brief:
      reader.at += 3;
      bits[0] = bytes.readUIntLE(at, 3) * 256;
      return float[0] as number;
    case TAG.double:
      reader.at += 8;
      return bytes.readDoubleLE(at);
    default:
      throw new RangeError('not a packed state');
  }
}

function readByte(reader: Reader): number {
  const byte = reader.bytes[reader.at++];
  if (byte === undefined) throw new RangeError('a packed state was cut off');
  return byte;
}

function readCount(reader: Reader): number {
  let value = 0;
  for (let factor = 1; ; factor *= 128) {
    const byte = readByte(reader);
    value += (byte % 128) * factor;
    if (byte < 128) return value;
  }
}

function readText(reader: Reader): string {
  const size = readCount(reader);
  if (reader.at + size > reader.bytes.length) throw new RangeError('a packed state was cut off');
  reader.at += size;
  return reader.bytes.toString('utf8', reader.at - size, reader.at);
}
