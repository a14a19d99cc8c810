/**
 * First file of a worker thread that runs from TypeScript sources: registers tsx, then imports the real entry, whose
 * address is the first argument. JavaScript, because Node ignores `--import tsx` for a worker's entry (seen on 20.20).
 */
import { register } from 'tsx/esm/api';

register();
await import(process.argv[2] ?? '');
