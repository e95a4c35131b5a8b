interface Value {
  readonly tag: number;
  readonly content: Buffer;
  /** Identifier, length and content octets. */
  readonly raw: Buffer;
}

/**
 * What is not canonical in a certificate, a CRL or an OCSPResponse, each fault with the octet it begins at; none: it is as it must be.
 * A reader apart from the CA's own, which knows nothing of what was meant: only what X.690 and RFC 5280 want of the octets. What is in
 * the OCTET STRINGs of extensions and responses, and in the BIT STRINGs of RSA keys and ECDSA signatures, is read as well.
 */
export function faultsOfDer(octets: Uint8Array): string[] {
  const whole = Buffer.from(octets);
  const reader = new Reader(whole);
  reader.one(whole, '');
  return reader.faults;
}

/** Where a value is, as far as something else is canonical there: an OCSP response, or an extension. */
type Place = '' | 'response' | 'keyUsage' | 'basicConstraints' | 'invalidityDate' | 'nameConstraints';

const places: Readonly<Record<string, Place>> = {
  '551d0f': 'keyUsage',
  '551d13': 'basicConstraints',
  '551d18': 'invalidityDate',
  '551d1e': 'nameConstraints',
  '2b0601050507300101': 'response',
};

/** Parameters by algorithm (RFC 3279, RFC 4055, RFC 5480, RFC 5758, RFC 8410); those of SHA-1 and SHA-256 as CertIDs have them. */
const parameters: Readonly<Record<string, 'none' | 'NULL' | 'OBJECT IDENTIFIER'>> = {
  '2a864886f70d010101': 'NULL',
  '2a864886f70d01010b': 'NULL',
  '2a8648ce3d0201': 'OBJECT IDENTIFIER',
  '2a8648ce3d040302': 'none',
  '2a8648ce3d040303': 'none',
  '2b6570': 'none',
  '2b0e03021a': 'NULL',
  '608648016503040201': 'NULL',
};
const rsaKey = '300d06092a864886f70d0101010500';
const ecdsa = '300a06082a8648ce3d0403';
/** `[0]` version v3, which only a TBSCertificate begins with. */
const version3 = Buffer.from('a003020102', 'hex');

class Reader {
  readonly faults: string[] = [];

  constructor(private readonly whole: Buffer) {}

  /** Exactly one value and nothing behind it. */
  one(octets: Buffer, place: Place): void {
    const known = this.faults.length;
    const values = this.#split(octets);
    if (values.length !== 1 && this.faults.length === known)
      this.#fault(octets, `want one value, got ${values.length}`);
    for (const value of values) this.#value(value, place, place === 'basicConstraints');
  }

  #value(value: Value, place: Place, mayBeEmpty = false): void {
    if (value.tag === 0x30 || value.tag === 0x31) this.#constructed(value, place, mayBeEmpty);
    else if (value.tag >= 0x40) this.#tagged(value, place);
    else if (!isCanonical(value, place))
      this.#fault(value.raw, `want the canonical form, got ${value.raw.subarray(0, 40).toString('hex')}`);
  }

  #constructed({ tag, content, raw }: Value, place: Place, mayBeEmpty: boolean): void {
    const children = this.#split(content);
    const [first] = children;
    if (first === undefined && !mayBeEmpty) this.#fault(raw, 'want no empty SEQUENCE or SET');
    if (tag === 0x31 && children.some((child, at) => at > 0 && Buffer.compare(children[at - 1].raw, child.raw) >= 0))
      this.#fault(raw, 'want the elements of a SET OF in ascending order, each once');
    if (children.length > 0 && children.every(isExtension)) this.#extensions(children, raw);
    if (first?.tag === 0x06) this.#typed(first.content.toString('hex'), children, raw);
    this.#inBits(children);
    const isCertificate = first?.raw.equals(version3) === true;
    const within = isCertificate ? '' : first?.tag === 0x0a ? 'response' : place;
    // Of the fields of a certificate its subject may be empty.
    children.forEach((child, at) => this.#value(child, within, isCertificate && at === 5));
  }

  #tagged({ tag, content, raw }: Value, place: Place): void {
    if ((tag & 0x20) !== 0) {
      const children = this.#split(content);
      if (children.length === 0) this.#fault(raw, 'want no empty value under a tag');
      if (tag === 0xa0 && children[0]?.raw.equals(Buffer.of(2, 1, 0))) this.#fault(raw, 'want no DEFAULT written out');
      for (const child of children) this.#value(child, place);
      return;
    }
    // GeneralName as certificates have it: rfc822Name, dNSName, uniformResourceIdentifier, iPAddress.
    const isText = [0x81, 0x82, 0x86].includes(tag) && content.length !== 20;
    if (isText && !/^[\x21-\x7e]+$/.test(content.toString('latin1'))) this.#fault(raw, 'want a name in visible ASCII');
    const lengths = place === 'nameConstraints' ? [8, 32] : [4, 16];
    if (tag === 0x87 && !lengths.includes(content.length)) this.#fault(raw, 'want an address of whole length');
  }

  #extensions(extensions: readonly Value[], raw: Buffer): void {
    const types = extensions.map(({ content }) => this.#split(content)[0].raw.toString('hex'));
    if (new Set(types).size < types.length) this.#fault(raw, 'want each extension once');
  }

  /** What the OBJECT IDENTIFIER at its beginning says of the rest: an AlgorithmIdentifier, an Extension, or the ResponseBytes of OCSP. */
  #typed(type: string, [, ...rest]: readonly Value[], raw: Buffer): void {
    if (Object.hasOwn(parameters, type)) {
      const found = rest.map(({ tag }) => (tag === 0x05 ? 'NULL' : tag === 0x06 ? 'OBJECT IDENTIFIER' : 'others'));
      if ((found.join() || 'none') !== parameters[type])
        this.#fault(raw, `want parameters of ${type}: ${parameters[type]}, got ${found.join() || 'none'}`);
    }
    const last = rest.at(-1);
    if (last?.tag === 0x04) this.one(last.content, places[type] ?? '');
  }

  /** RSAPublicKey in a public key, Ecdsa-Sig-Value in a signature (RFC 3279 §2.2.3, §2.3.1). */
  #inBits(children: readonly Value[]): void {
    for (const [at, { tag, content }] of children.entries()) {
      const algorithm = children.at(at - 1)?.raw.toString('hex') ?? '';
      if (tag === 0x03 && at > 0 && (algorithm === rsaKey || algorithm.startsWith(ecdsa)))
        this.one(content.subarray(1), '');
    }
  }

  /** Values one after another, with low tags and definite lengths in the fewest octets (X.690 §10.1). */
  #split(content: Buffer): Value[] {
    const values: Value[] = [];
    for (let at = 0; at < content.length;) {
      const octets = content[at + 1] > 0x80 ? content[at + 1] - 0x80 : 0;
      const start = at + 2 + octets;
      const length = octets === 0 ? content[at + 1] : parseInt(content.toString('hex', at + 2, start), 16);
      const isShortest = octets === 0 ? length < 0x80 : length >= 0x80 && content[at + 2] !== 0;
      const end = start + length;
      if (!isShortest || (content[at] & 0x1f) === 0x1f || !(end <= content.length)) {
        this.#fault(content.subarray(at), 'want a low tag, the shortest definite length, and all of its octets');
        return values;
      }
      values.push({ tag: content[at], content: content.subarray(start, end), raw: content.subarray(at, end) });
      at = end;
    }
    return values;
  }

  #fault(at: Buffer, message: string): void {
    this.faults.push(`${at.byteOffset - this.whole.byteOffset}: ${message}`);
  }
}

/** Whether a primitive universal value has the one form that DER and RFC 5280 leave it; each FALSE of theirs is a DEFAULT. */
function isCanonical({ tag, content }: Value, place: Place): boolean {
  const text = content.toString('latin1');
  const isGeneralized = place === 'response' || place === 'invalidityDate';
  switch (tag) {
    case 0x01:
      return text === '\xff';
    case 0x02:
    case 0x0a:
      return text !== '' && !/^(?:\0[\0-\x7f]|\xff[\x80-\xff])/.test(text);
    case 0x03:
      return isBitString(content, place);
    case 0x04:
      return text !== '';
    case 0x05:
      return text === '';
    case 0x06:
      return /^(?:(?:[\x81-\xff][\x80-\xff]*)?[\0-\x7f])+$/.test(text);
    case 0x0c:
      return text !== '' && Buffer.from(content.toString('utf8')).equals(content);
    case 0x13:
      return /^[A-Za-z0-9 '()+,\-./:=?]+$/.test(text);
    case 0x16:
      return /^[\x21-\x7e]+$/.test(text);
    case 0x17:
      return !isGeneralized && isTime(`${text < '50' ? 20 : 19}${text}`);
    case 0x18:
      return isTime(text) && (isGeneralized || text >= '2050');
    default:
      return false;
  }
}

/** Padded with zeros; where its bits have names, without trailing zeros (X.690 §11.2). */
function isBitString(content: Buffer, place: Place): boolean {
  const [unused] = content;
  const last = content[content.length - 1];
  if (content.length < 2 || unused > 7 || (last & ((1 << unused) - 1)) !== 0) return false;
  return place === 'keyUsage' ? ((last >> unused) & 1) === 1 : unused === 0;
}

/** YYYYMMDDHHMMSSZ of a date that is one. */
function isTime(text: string): boolean {
  const written = text.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6.000Z');
  const at = new Date(written);
  return written !== text && !Number.isNaN(at.getTime()) && at.toISOString() === written;
}

/** SEQUENCE { OBJECT IDENTIFIER, BOOLEAN OPTIONAL, OCTET STRING }. */
function isExtension({ tag, content }: Value): boolean {
  const behind = content.subarray(2 + content[1]);
  return tag === 0x30 && content[0] === 0x06 && (behind[0] === 0x04 || (behind[0] === 0x01 && behind[3] === 0x04));
}
