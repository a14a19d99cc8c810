/** First file of the fleet's thread; see `swarm-boot.js`. */
import { register } from 'tsx/esm/api';

register();
await import('./fleet-worker.ts');
