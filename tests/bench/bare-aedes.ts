/** A bare Aedes as a process of its own, so that its memory and its core are its own. Prints its port. */
import { startBareAedes } from './swarm.ts';

const { port } = await startBareAedes();
process.stdout.write(`port ${port}\n`);
