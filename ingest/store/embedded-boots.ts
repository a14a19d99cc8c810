/**
 * What the embedded store knows of each boot of each device: its first and last sequence number and device time. Says at
 * once that a message is new, and where to look for one that may not be. What a batch changes stays in memory until the next
 * copy into the file, because a row for each device and batch would cost more than the samples; a restart works it out
 * again from the samples behind the copy.
 */
import {
  BIGINT,
  DOUBLE,
  type DuckDBConnection,
  type DuckDBType,
  type DuckDBValue,
  INTEGER,
  LIST,
  listValue,
  VARCHAR,
} from '@duckdb/node-api';
import { clientIdOf, type MessageIdentity } from '../../contract/kernel/ids.ts';
import type { MessageReceipt } from '../../contract/ports/telemetry-store.ts';
import type { Rows } from './embedded-append.ts';
import { columnsOf, scan } from './embedded-read.ts';
import { type ModelTable, type ModelTables, POSITION_COLUMN, quoted } from './embedded-tables.ts';

export type BootRef = Omit<MessageIdentity, 'seq'>;

interface BootSpan extends BootRef {
  firstSeq: number;
  lastSeq: number;
  firstAt: number;
  lastAt: number;
}

/** Spans that the file does not hold yet. The store copies them into it before they get too many. */
export class BootSpans {
  /** by model id, then boot */
  readonly #byModel = new Map<number, Map<string, BootSpan>>();

  get size(): number {
    let size = 0;
    for (const spans of this.#byModel.values()) size += spans.size;
    return size;
  }

  /** Takes in the rows of a batch that was committed. */
  note({ id }: ModelTable, { messages, samples }: Rows): void {
    const spans = this.#of(id);
    let span: BootSpan | undefined;
    messages.forEach((message, row) => {
      const { seq, ...ref } = message.identity;
      const at = samples[row]?.observedAt ?? 0;
      // Samples of one message follow each other.
      if (!span || message !== messages[row - 1]) span = joined(spans, { ...ref, ...spanOf(seq, at) });
      span.firstAt = Math.min(span.firstAt, at);
      span.lastAt = Math.max(span.lastAt, at);
    });
  }

  add({ id }: ModelTable, span: BootSpan): void {
    joined(this.#of(id), span);
  }

  /** A copy: it must be asked before the file, which may take the span over meanwhile. */
  get({ id }: ModelTable, ref: BootRef): BootSpan | undefined {
    const span = this.#byModel.get(id)?.get(keyOf(ref));
    return span && { ...span };
  }

  clear(): void {
    this.#byModel.clear();
  }

  /** Writes everything to the file, in the caller's transaction. `clear` when that is committed. */
  async save(connection: DuckDBConnection): Promise<void> {
    for (const [id, spans] of this.#byModel) {
      const all = [...spans.values()];
      for (let from = 0; from < all.length; from += SAVE_ROWS) {
        await saveSpans(connection, id, all.slice(from, from + SAVE_ROWS));
      }
    }
  }

  #of(id: number): Map<string, BootSpan> {
    const spans = this.#byModel.get(id) ?? new Map<string, BootSpan>();
    this.#byModel.set(id, spans);
    return spans;
  }
}

/** Spans of one statement. */
const SAVE_ROWS = 5_000;

function spanOf(seq: number, at: number) {
  return { firstSeq: seq, lastSeq: seq, firstAt: at, lastAt: at };
}

/** The span in `spans`, widened by another. */
function joined(spans: Map<string, BootSpan>, other: BootSpan): BootSpan {
  const key = keyOf(other);
  const span = spans.get(key) ?? { ...other };
  spans.set(key, span);
  widen(span, other);
  return span;
}

type Span = Omit<BootSpan, keyof BootRef>;

function widen(span: Span, other: Span): void {
  span.firstSeq = Math.min(span.firstSeq, other.firstSeq);
  span.lastSeq = Math.max(span.lastSeq, other.lastSeq);
  span.firstAt = Math.min(span.firstAt, other.firstAt);
  span.lastAt = Math.max(span.lastAt, other.lastAt);
}

function keyOf(ref: BootRef): string {
  return `${clientIdOf(ref)} ${ref.boot}`;
}

async function saveSpans(connection: DuckDBConnection, id: number, spans: readonly BootSpan[]): Promise<void> {
  const list = (type: DuckDBType, items: DuckDBValue[]) => [listValue(items), LIST(type)] as const;
  const values = [
    [id, INTEGER] as const,
    list(
      VARCHAR,
      spans.map(({ tenant }) => tenant),
    ),
    list(
      VARCHAR,
      spans.map(({ device }) => device),
    ),
    list(
      VARCHAR,
      spans.map(({ boot }) => boot),
    ),
    list(
      BIGINT,
      spans.map(({ firstSeq }) => BigInt(firstSeq)),
    ),
    list(
      BIGINT,
      spans.map(({ lastSeq }) => BigInt(lastSeq)),
    ),
    list(
      DOUBLE,
      spans.map(({ firstAt }) => firstAt),
    ),
    list(
      DOUBLE,
      spans.map(({ lastAt }) => lastAt),
    ),
  ];
  await connection.run(
    `INSERT INTO boots SELECT $1, unnest($2), unnest($3), unnest($4), unnest($5), unnest($6), unnest($7), unnest($8)
      ON CONFLICT DO UPDATE SET
        first_seq = least(first_seq, excluded.first_seq), last_seq = greatest(last_seq, excluded.last_seq),
        first_at = least(first_at, excluded.first_at), last_at = greatest(last_at, excluded.last_at)`,
    values.map(([value]) => value),
    values.map(([, type]) => type),
  );
}

/** The spans that the file does not hold: those of the samples behind its copy. @param position of the copy, if there is one */
export async function loadBoots(
  connection: DuckDBConnection,
  tables: ModelTables,
  position: number | undefined,
): Promise<BootSpans> {
  const boots = new BootSpans();
  for (const [, model] of tables.models()) {
    await completeBoots(connection, model);
    const sql = `SELECT tenant, device, boot, min(seq), max(seq), min(observed_at), max(observed_at) FROM ${model.table}
      WHERE ${quoted(POSITION_COLUMN)} > ${position ?? -1} GROUP BY 1, 2, 3`;
    await scan(connection, sql, [], (columns) => {
      const [tenants = [], devices = [], names = [], ...spans] = columns;
      tenants.forEach((tenant, row) => {
        const ref = { tenant: tenant as string, device: devices[row] as string, boot: names[row] as string };
        const [firstSeq = 0, lastSeq = 0, firstAt = 0, lastAt = 0] = spans.map((column) => Number(column[row]));
        boots.add(model, { ...ref, firstSeq, lastSeq, firstAt, lastAt });
      });
    });
  }
  return boots;
}

/** Fills the table for a model of an old version, which was stored before there was one. */
async function completeBoots(connection: DuckDBConnection, { id, table }: ModelTable): Promise<void> {
  await connection.run(
    `INSERT INTO boots SELECT $1, tenant, device, boot, min(seq), max(seq), min(observed_at), max(observed_at) FROM ${table}
      WHERE ${quoted(POSITION_COLUMN)} IS NULL AND NOT EXISTS (SELECT 1 FROM boots WHERE model_id = $1)
      GROUP BY tenant, device, boot`,
    [id],
    [INTEGER],
  );
}

/** The boot's span, or `undefined` when nothing of it was ever stored. */
export async function readBoot(
  connection: DuckDBConnection,
  model: ModelTable,
  boots: BootSpans,
  ref: BootRef,
): Promise<Span | undefined> {
  const { tenant, device, boot } = ref;
  const recent = boots.get(model, ref);
  const [[firstSeq] = [], [lastSeq] = [], [firstAt] = [], [lastAt] = []] = await columnsOf(
    connection,
    `SELECT first_seq, last_seq, first_at, last_at FROM boots
      WHERE model_id = $1 AND tenant = $2 AND device = $3 AND boot = $4`,
    [
      [model.id, INTEGER],
      [tenant, VARCHAR],
      [device, VARCHAR],
      [boot, VARCHAR],
    ],
  );
  if (firstSeq === undefined) return recent;
  const span = {
    firstSeq: Number(firstSeq),
    lastSeq: Number(lastSeq),
    firstAt: Number(firstAt),
    lastAt: Number(lastAt),
  };
  if (recent) widen(span, recent);
  return span;
}

/** What is stored of a message; only within the times of its boot, which are known. */
export async function readReceipt(
  connection: DuckDBConnection,
  model: ModelTable,
  boots: BootSpans,
  identity: MessageIdentity,
): Promise<MessageReceipt | undefined> {
  const { tenant, device, boot, seq } = identity;
  const span = await readBoot(connection, model, boots, identity);
  if (!span || seq < span.firstSeq || seq > span.lastSeq) return undefined;
  const [[samples] = [], [receivedAt] = [], [observedAt] = []] = await columnsOf(
    connection,
    `SELECT count(*), min(received_at), min(observed_at) FROM ${model.table}
      WHERE seq = $4 AND tenant = $1 AND device = $2 AND boot = $3 AND observed_at BETWEEN $5 AND $6`,
    [
      [tenant, VARCHAR],
      [device, VARCHAR],
      [boot, VARCHAR],
      [BigInt(seq), BIGINT],
      [span.firstAt, DOUBLE],
      [span.lastAt, DOUBLE],
    ],
  );
  if (Number(samples) === 0) return undefined;
  return { receivedAt: Number(receivedAt), observedAt: Number(observedAt), samples: Number(samples) };
}

export async function readHasMessage(
  connection: DuckDBConnection,
  model: ModelTable,
  boots: BootSpans,
  identity: MessageIdentity,
): Promise<boolean> {
  const { tenant, device, boot, seq } = identity;
  const span = await readBoot(connection, model, boots, identity);
  if (!span || seq < span.firstSeq || seq > span.lastSeq) return false;
  if (seq === span.firstSeq || seq === span.lastSeq) return true;
  const [found = []] = await columnsOf(
    connection,
    `SELECT true FROM ${model.table} WHERE seq = $4 AND tenant = $1 AND device = $2 AND boot = $3
      AND observed_at BETWEEN $5 AND $6 LIMIT 1`,
    [
      [tenant, VARCHAR],
      [device, VARCHAR],
      [boot, VARCHAR],
      [BigInt(seq), BIGINT],
      [span.firstAt, DOUBLE],
      [span.lastAt, DOUBLE],
    ],
  );
  return found.length > 0;
}
