/** How far a fault of a turbofan has moved each signal at its end of life, relative to the healthy engine. */
export interface TurbofanFault {
  readonly code: string;
  /** The signal whose limit ends the life: at severity 1 it stands exactly there, whatever the unit. */
  readonly endSignal: string;
  /** Change at severity 1, by signal, in the signal's unit. */
  readonly drift: Readonly<Record<string, number>>;
}
