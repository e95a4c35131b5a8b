/** Primes whose residues give away a modulus made by the faulty generator (CVE-2017-15361; Nemec et al., CCS 2017, §3). */
const primes = [
  3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131,
  137, 139, 149, 151, 157, 163, 167,
]; // prettier-ignore

/** For each prime p, the residues 65537^i mod p: those that ROCA primes, and so their products, can have. */
const reachable = primes.map((prime) => {
  const residues = new Set<number>();
  for (let residue = 1; !residues.has(residue); residue = (residue * 65537) % prime) residues.add(residue);
  return residues;
});

/**
 * True for the fingerprint of a ROCA modulus. A sound modulus has it with a probability below 2^-27, so a match refuses
 * the key.
 */
export function hasRocaFingerprint(modulus: bigint): boolean {
  return primes.every((prime, index) => reachable[index].has(Number(modulus % BigInt(prime))));
}

/** The product of the primes below 752 (NIST SP 800-89 §5.3.3). */
const smallPrimes = productOfPrimes(752);

/** True when a prime below 752 divides the modulus, which no RSA key's does. */
export function hasSmallFactor(modulus: bigint): boolean {
  let [divisor, rest] = [smallPrimes, modulus % smallPrimes];
  while (rest !== 0n) [divisor, rest] = [rest, divisor % rest];
  return divisor !== 1n;
}

function productOfPrimes(bound: number): bigint {
  let product = 1n;
  for (let candidate = 2; candidate < bound; candidate += 1) {
    let divisor = 2;
    while (divisor * divisor <= candidate && candidate % divisor !== 0) divisor += 1;
    if (divisor * divisor > candidate) product *= BigInt(candidate);
  }
  return product;
}
