/**
 * `presage up` with modules of the product replaced: `node server.js log-disk,ack-first up`. For bugs planted on purpose,
 * which the verdict of a chaos run must catch, and for faults where the machine allows no better way. JavaScript,
 * because it must run before tsx does.
 */
import { register } from 'node:module';
import { register as registerTsx } from 'tsx/esm/api';

const [names] = process.argv.splice(2, 1);
registerTsx();
register('./replace-modules.js', import.meta.url, { data: names.split(',').filter(Boolean) });
await import('../../../app/cli.ts');
