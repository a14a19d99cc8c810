/** Tail of the normal distribution on the scale of surprise, exact far out where `1 - cdf` would be zero. */

const LOG10_SQRT_2PI = 0.5 * Math.log10(2 * Math.PI);
const LOG10_E = Math.LOG10E;

/**
 * Surprise −log10 P(Z > z) of a standard normal Z. Below z = 3 by the Taylor series of the distribution function around
 * zero, above by Laplace's continued fraction of the Mills ratio. Relative error below 1e-9. Finite for every finite z.
 * @example normalSurprise(0) // => 0.3010299956639812
 */
export function normalSurprise(z: number): number {
  if (z < -8) return 0;
  return z < 3 ? -Math.log10(upperTail(z)) : (z * z * LOG10_E) / 2 + LOG10_SQRT_2PI - Math.log10(millsRatio(z));
}

/** P(Z > z) for z < 3. */
function upperTail(z: number): number {
  let term = z;
  let sum = z;
  for (let k = 3; Math.abs(term) > 1e-17 * Math.abs(sum) && k < 400; k += 2) {
    term *= (z * z) / k;
    sum += term;
  }
  return 0.5 - (sum * Math.exp(-(z * z) / 2)) / Math.sqrt(2 * Math.PI);
}

/** P(Z > z) / density(z), for z ≥ 3: 1/(z + 1/(z + 2/(z + 3/…))). */
function millsRatio(z: number): number {
  let fraction = z;
  for (let k = 40; k >= 1; k--) fraction = z + k / fraction;
  return 1 / fraction;
}

/**
 * The standard normal deviate as surprising as `t` of Student's distribution with `degrees` degrees of freedom
 * (Wallace 1959, "Bounds on normal approximations to Student's and the chi-square distributions"). Error below 0.05 for
 * `degrees` ≥ 5 and |t| ≤ 6. Keeps a spread estimated from few blocks from crying wolf.
 * @example studentToNormal(0, 10) // => 0
 */
export function studentToNormal(t: number, degrees: number): number {
  const size = Math.sqrt(degrees * Math.log1p((t * t) / degrees)) * ((8 * degrees + 1) / (8 * degrees + 3));
  return t < 0 ? -size : size;
}
