/** Rounds of the search: what CABF BR §6.1.1.3 wants. */
const rounds = 100;

/**
 * True when two primes of a modulus lie so close together that Fermat's method finds them (CVE-2022-26320): n = a² − b², where a is
 * the mean of the primes.
 * @param modulus  odd
 */
export function hasClosePrimes(modulus: bigint): boolean {
  let mean = squareRoot(modulus);
  if (mean * mean === modulus) return true;
  for (let round = 0; round < rounds; round += 1) {
    mean += 1n;
    if (isSquare(mean * mean - modulus)) return true;
  }
  return false;
}

function isSquare(value: bigint): boolean {
  // Squares end in these four bits; three numbers of four are told apart without a root.
  if (!squareEndings.has(Number(value & 15n))) return false;
  const root = squareRoot(value);
  return root * root === value;
}
const squareEndings = new Set([0, 1, 4, 9]);

/** The largest integer whose square is at most the value (Newton). */
function squareRoot(value: bigint): bigint {
  if (value < 2n) return value;
  let root = 1n << BigInt((value.toString(16).length * 4 + 1) >> 1);
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}
