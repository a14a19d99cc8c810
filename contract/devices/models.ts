/** The list of device models: adding one is one line here. Each name below is a model, and nothing else may stand here. */
export { combustionCar } from './combustion-car.ts';
export { electricVan } from './electric-van.ts';
export { heatPump } from './heat-pump.ts';
export { refrigerator } from './refrigerator.ts';
export { turbofan } from './turbofan.ts';
export { washingMachine } from './washing-machine.ts';
