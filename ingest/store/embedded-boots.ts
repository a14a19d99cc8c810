/**
 * What the embedded store knows of each boot of each device: its first and last sequence number and device time, kept with
 * every batch in the same transaction. Says at once that a message is new, and where to look for one that may not be.
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
import { columnsOf } from './embedded-read.ts';
import type { ModelTable } from './embedded-tables.ts';

export type BootRef = Omit<MessageIdentity, 'seq'>;

interface BootSpan extends BootRef {
  firstSeq: number;
  lastSeq: number;
  firstAt: number;
  lastAt: number;
}

/** Takes the rows of a batch in; runs in the caller's transaction. */
export async function noteBoots(connection: DuckDBConnection, { id }: ModelTable, rows: Rows): Promise<void> {
  const spans = spansOf(rows);
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

function spansOf({ messages, samples }: Rows): BootSpan[] {
  const spans = new Map<string, BootSpan>();
  let span: BootSpan | undefined;
  messages.forEach((message, row) => {
    const { seq, ...ref } = message.identity;
    const at = samples[row]?.observedAt ?? 0;
    // Samples of one message follow each other.
    if (!span || message !== messages[row - 1]) {
      const key = `${clientIdOf(ref)} ${ref.boot}`;
      span = spans.get(key) ?? { ...ref, firstSeq: seq, lastSeq: seq, firstAt: at, lastAt: at };
      spans.set(key, span);
      span.firstSeq = Math.min(span.firstSeq, seq);
      span.lastSeq = Math.max(span.lastSeq, seq);
    }
    span.firstAt = Math.min(span.firstAt, at);
    span.lastAt = Math.max(span.lastAt, at);
  });
  return [...spans.values()];
}

/** Fills the table for a model that was stored before there was one. */
export async function completeBoots(connection: DuckDBConnection, { id, table }: ModelTable): Promise<void> {
  await connection.run(
    `INSERT INTO boots SELECT $1, tenant, device, boot, min(seq), max(seq), min(observed_at), max(observed_at) FROM ${table}
      WHERE NOT EXISTS (SELECT 1 FROM boots WHERE model_id = $1) GROUP BY tenant, device, boot`,
    [id],
    [INTEGER],
  );
}

/** The boot's span, or `undefined` when nothing of it was ever stored. */
export async function readBoot(
  connection: DuckDBConnection,
  { id }: ModelTable,
  { tenant, device, boot }: BootRef,
): Promise<Omit<BootSpan, keyof BootRef> | undefined> {
  const [[firstSeq] = [], [lastSeq] = [], [firstAt] = [], [lastAt] = []] = await columnsOf(
    connection,
    `SELECT first_seq, last_seq, first_at, last_at FROM boots
      WHERE model_id = $1 AND tenant = $2 AND device = $3 AND boot = $4`,
    [
      [id, INTEGER],
      [tenant, VARCHAR],
      [device, VARCHAR],
      [boot, VARCHAR],
    ],
  );
  if (firstSeq === undefined) return undefined;
  return {
    firstSeq: Number(firstSeq),
    lastSeq: Number(lastSeq),
    firstAt: Number(firstAt),
    lastAt: Number(lastAt),
  };
}

/** What is stored of a message; only within the times of its boot, which are known. */
export async function readReceipt(
  connection: DuckDBConnection,
  model: ModelTable,
  identity: MessageIdentity,
): Promise<MessageReceipt | undefined> {
  const { tenant, device, boot, seq } = identity;
  const span = await readBoot(connection, model, identity);
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
  identity: MessageIdentity,
): Promise<boolean> {
  const { tenant, device, boot, seq } = identity;
  const span = await readBoot(connection, model, identity);
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
