/**
 * First file of the swarm's thread: registers tsx there, then goes on in TypeScript. JavaScript, because Node 20 does
 * not apply `--import tsx` to the first file of a worker.
 */
import { register } from 'tsx/esm/api';

register();
await import('./swarm-worker.ts');
