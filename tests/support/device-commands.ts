/** The commands `sim` and `replay` alone, as a program that tests can run and kill. */
import { Command } from 'commander';
import * as replay from '../../app/commands/replay.ts';
import * as sim from '../../app/commands/sim.ts';

const program = new Command('presage');
for (const command of [sim, replay]) command.register(program);
await program.parseAsync();
