/** One generation of an issuer. */
export class IssuerDto {
  /** Key identifier in hexadecimal (40 digits). */
  id: string;
  /** As in the configuration. */
  name: string;
  /** From 1. */
  generation: number;
  /** Whether it signs new certificates. */
  isActive: boolean;
  /** RFC 3339. */
  activeFrom: string;
  /** RFC 3339. */
  notAfter: string;
}
