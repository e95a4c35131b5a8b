export class ChainDto {
  /** Certificates in PEM: the issuing CA's, then those above it, the root last. */
  chain: string[];
}
