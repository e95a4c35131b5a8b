/** RFC 9457. */
export class ProblemDto {
  /** @example 'urn:nest-hsm:problem:ERR_CA_CSR_MALFORMED' */
  type: string;

  /** @example 'Bad Request' */
  title: string;

  /** @example 400 */
  status: number;

  /**
   * Stable; docs/ERRORS.md lists every one.
   * @example 'ERR_CA_CSR_MALFORMED'
   */
  code: string;

  detail: string;

  /** The request, as the log names it. */
  instance: string;
}
