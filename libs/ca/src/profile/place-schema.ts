import { z } from 'zod';

/** Of RFC 3986, as linters and relying parties read it: a host without user information, a port, a path and a query in ASCII. */
const form =
  /^https?:\/\/(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:[/?](?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?$/;

/** A URL that is written into certificates, for relying parties to find something there. */
export const placeSchema = (protocol: RegExp) =>
  z.url({ protocol }).max(512).regex(form, 'want a host, a port and a path in the characters of RFC 3986');
