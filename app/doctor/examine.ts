/** Everything that must be right before and while Presage runs, each with what to do when it is not. */
import type { Config } from '../config.ts';
import { dataDirHolder } from '../data-lock.ts';
import { checkFiles } from './file-checks.ts';
import { type Finding, fail, ok } from './finding.ts';
import { checkServices, type DoctorTools } from './service-checks.ts';

const OLDEST_NODE = [20, 19] as const;

/** Looks at a running server through HTTP, at a stopped one through its files; changes nothing in either case. */
export async function examine(config: Config, tools: DoctorTools, nodeVersion: string): Promise<Finding[]> {
  const holder = dataDirHolder(config.dataDir);
  return [
    checkNode(nodeVersion),
    ...(await checkFiles(config, holder, tools.clock.now())),
    ...(await checkServices(config, holder, tools)),
  ];
}

function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const enough = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
  return enough
    ? ok('Node.js', version)
    : fail('Node.js', version, `Install Node.js ${OLDEST_NODE.join('.')} or newer.`);
}
