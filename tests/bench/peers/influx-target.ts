/** The real InfluxDB that every program of the comparison writes to, and how many messages have arrived in it. */
import { type InfluxServer, startInfluxServer } from '../../../app/demo/influx-server.ts';

export interface InfluxTarget {
  readonly server: InfluxServer;
  createDatabase(name: string): Promise<void>;
  /** Messages (one point each) with a device time from `sinceMs` on. */
  arrived(database: string, sinceMs: number): Promise<number>;
}

/** What every program names its measurement: Presage takes the model. */
export const MEASUREMENT = 'refrigerator';
/** A field that every message has. */
const COUNTED_FIELD = 'freshFoodTempC';

export async function startInfluxTarget(binary: string): Promise<InfluxTarget> {
  const server = await startInfluxServer(binary);
  return {
    server,
    createDatabase: async (name) => void (await server.query(`CREATE DATABASE "${name}"`)),
    async arrived(database, sinceMs) {
      const statement = `SELECT COUNT("${COUNTED_FIELD}") FROM "${MEASUREMENT}" WHERE time >= ${sinceMs}ms`;
      const reply = JSON.stringify(await server.query(statement, database));
      return Number(/"values":\[\["[^"]*",(\d+)\]\]/.exec(reply)?.[1] ?? 0);
    },
  };
}
