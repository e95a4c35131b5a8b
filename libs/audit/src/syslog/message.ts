/** RFC 5424 §6.2.1, table 2. */
export const severities = { alert: 1, error: 3, warning: 4, informational: 6 } as const;
export type Severity = keyof typeof severities;

export interface SyslogMessage {
  /** RFC 5424 §6.2.1, table 1: 13 is "log audit". */
  readonly facility: number;
  readonly severity: Severity;
  /** RFC 3339, at most six digits after the second. */
  readonly time: string;
  readonly hostname: string;
  readonly messageId: string;
  readonly structuredData: StructuredData;
  /** Sent as it is, but for control characters, which become `?`. */
  readonly text: Uint8Array;
}

export interface StructuredData {
  /** `name@` and a private enterprise number (RFC 5424 §6.3.2). */
  readonly id: string;
  readonly parameters: Readonly<Record<string, string>>;
}

const applicationName = 'nest-hsm-audit';
const questionMark = 0x3f;

/** @returns the octets of one message (RFC 5424 §6) with their count before them (RFC 6587 §3.4.1, RFC 5425 §4.3) */
export function formatMessage(message: SyslogMessage): Buffer {
  const { facility, severity, time, hostname, messageId, structuredData, text } = message;
  const priority = 8 * facility + severities[severity];
  const header = [`<${priority}>1`, time, name(hostname, 255), applicationName, '-', name(messageId, 32)].join(' ');
  const body = Buffer.concat([Buffer.from(`${header} ${formatData(structuredData)} `), withoutControls(text)]);
  return Buffer.concat([Buffer.from(`${body.length} `), body]);
}

/** Printable ASCII without spaces, as the fields of a header are; `-` when nothing is left. */
function name(value: string, maximumLength: number): string {
  return value.replaceAll(/[^\x21-\x7e]/g, '').slice(0, maximumLength) || '-';
}

function formatData({ id, parameters }: StructuredData): string {
  const escaped = (value: string) =>
    // eslint-disable-next-line no-control-regex -- control characters are what it is about
    value.replaceAll(/[\x00-\x1f\x7f]/g, '?').replaceAll(/["\\\]]/g, (character) => `\\${character}`);
  return `[${[id, ...Object.entries(parameters).map(([field, value]) => `${field}="${escaped(value)}"`)].join(' ')}]`;
}

/** A collector that writes lines to a file is given nothing that could end one. */
function withoutControls(text: Uint8Array): Uint8Array {
  return text.some((octet) => octet < 0x20) ? text.map((octet) => (octet < 0x20 ? questionMark : octet)) : text;
}
