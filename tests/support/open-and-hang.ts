/** A Presage that only opens its embedded database, says so, and waits to be killed. Run by api-embedded.test.ts. */
import { openDatabase } from '../../api/db/database.ts';
import { silentLogger } from './fake-services.ts';

const directory = process.argv[2];
if (!directory) throw new Error('give the directory');
const database = openDatabase({ embedded: directory }, { logger: silentLogger, clock: Date });
await database.start();
await database.withOwner((client) =>
  client.query('CREATE TABLE IF NOT EXISTS kept (n int); INSERT INTO kept VALUES (1)'),
);
process.stdout.write(`${database.url()}\n`);
setInterval(() => undefined, 1_000);
