/** Ports for the demo. */
import { once } from 'node:events';
import { createServer } from 'node:net';

/** `wanted` when nobody listens there on loopback, else 0 = any free one. */
export async function freePortOr(wanted: number): Promise<number> {
  const server = createServer();
  const free = new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(wanted, '127.0.0.1', () => resolve(true));
  });
  if (!(await free)) return 0;
  server.close();
  await once(server, 'close');
  return wanted;
}
