/** Numbers that are remembered for their meaning, not for their last digit, rounded so that a checkpoint can be short. */

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/**
 * Rounds to sixteen binary digits (an error of at most 1 in 100,000), which take three bytes. For what is looked at, not
 * for what is summed up.
 * @example Math.abs(brief(0.1) - 0.1) < 1e-6 // => true
 */
export function brief(value: number): number {
  float[0] = value;
  // The carry runs into the exponent, as it should.
  bits[0] = ((bits[0] as number) + 0x80) & 0xffffff00;
  return float[0] as number;
}
