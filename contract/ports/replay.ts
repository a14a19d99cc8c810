/** Decoding what stands in quarantine once more, after the catalogue, the decoder or the device's declaration was corrected. */
import type { ErrorCode } from '../kernel/errors.ts';
import type { RegisteredDevice } from './broker.ts';
import type { QuarantineRecord } from './registry.ts';

/** One entry of the quarantine with its payload. */
export interface ReplayRequest {
  /** As the registry knows it today. */
  readonly device: RegisteredDevice;
  readonly channel: string;
  /** Why it was refused. */
  readonly reason: QuarantineRecord['reason'];
  /** When it was received: the samples keep this time. */
  readonly receivedAt: number;
  /** The bytes as received; absent when they were not kept. */
  readonly payload?: Uint8Array;
  /** Model at the time of the refusal, under which the rest of the message may be stored. */
  readonly model?: string;
  /** Places of the refused samples; absent = nothing of the message was taken. */
  readonly places?: readonly number[];
}

export interface ReplayResult {
  /**
   * `replayed`: all that was refused is in the log now. `partly`: some of it. `alreadyThere`: all of it was there before,
   * from an earlier replay. `refused`: nothing entered; `reason` says why.
   */
  readonly outcome: 'replayed' | 'partly' | 'alreadyThere' | 'refused';
  /** Samples that entered the log now. */
  readonly entered: number;
  /** Samples that were there before. */
  readonly present: number;
  /** Places that are still refused; absent when nothing of the message is known by place. */
  readonly left?: readonly number[];
  readonly reason?: ErrorCode;
  /** Where in the payload, for example `s[3].compressorCurrentA`. */
  readonly at?: string;
  /** For people: what stands in the way. */
  readonly detail?: string;
}

/** Results in the order of the requests. @throws AppError NOT_READY or STORE_UNAVAILABLE; some may have entered then */
export type ReplayQuarantined = (requests: readonly ReplayRequest[]) => Promise<readonly ReplayResult[]>;
