/** The list of simulated models: adding one is one line here. Each name below is a model, and nothing else may stand here. */
export { simulatedCombustionCar } from './combustion-car.ts';
export { simulatedElectricVan } from './electric-van.ts';
export { simulatedHeatPump } from './heat-pump.ts';
export { simulatedRefrigerator } from './refrigerator.ts';
export { simulatedTurbofan } from './turbofan.ts';
export { simulatedWashingMachine } from './washing-machine.ts';
