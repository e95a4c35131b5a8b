import { caKeyId, findCaKey, findOrGenerateCaKey } from '../authority/ca-key.js';
import { type ConfiguredCa, configuredCas } from '../authority/configured-ca.js';
import { certify, type HierarchyContext, hierarchyContext, type HierarchyOptions } from '../authority/hierarchy.js';
import { trustedChains } from '../authority/load-ca.js';
import { signDocument } from '../authority/signed-document.js';
import type { ParsedCaConfig } from '../config.js';
import { CaError } from '../errors.js';
import { type Issuer, issuer } from '../issuance/issuer.js';
import { signedOctets, type TranscriptLine, type TranscriptStep } from './transcript.js';
import { TranscriptFile } from './transcript-file.js';
import { replay, type VerifiedCeremony } from './verify-transcript.js';

export interface CeremonyOptions extends HierarchyOptions {
  readonly title: string;
  readonly witnesses: readonly string[];
  /** SHA-256 of the script's file in hexadecimal: a transcript goes on with no other one. */
  readonly scriptSha256: string;
  /** The file the transcript is written to, or is continued in. */
  readonly transcript: string;
}

/**
 * Makes every CA of the configuration, root first, and writes down each step before the next one: what was made, and the root key's
 * signature on it. Made again after a crash it goes on where the transcript ends; made again after its end it checks the transcript and does
 * nothing.
 * @throws {CaError} ERR_CA_CEREMONY_REFUSED when a key is there already, or the transcript is another ceremony's;
 * ERR_CA_TRANSCRIPT_INVALID | ERR_CA_ISSUER_UNUSABLE | ERR_CA_STORE_UNAVAILABLE
 * @throws {HsmError} the token could not make a key or sign; the ceremony can be continued
 */
export async function holdCeremony(options: CeremonyOptions): Promise<VerifiedCeremony> {
  const context = hierarchyContext(options);
  if (context.config.authority.root.external)
    return refuse('want a root of our own, which signs the transcript, got an external one');
  return context.certificates.exclusively(async () => {
    const file = await TranscriptFile.open(options.transcript);
    try {
      return await new Ceremony(context, options, file).hold();
    } finally {
      await file.close();
    }
  });
}

class Ceremony {
  #root: Issuer | undefined;

  constructor(
    private readonly context: HierarchyContext,
    private readonly options: CeremonyOptions,
    private readonly file: TranscriptFile,
  ) {}

  async hold(): Promise<VerifiedCeremony> {
    const cas = configuredCas(this.context.config.authority);
    if (this.#has('begin')) this.#assertSameScript();
    else await this.#begin(cas);
    for (const ca of cas) {
      await this.#makeKey(ca);
      await this.#makeCertificate(ca);
    }
    if (!this.#has('end')) await this.#write({ step: 'end' });
    return replay(this.file.lines);
  }

  async #begin(cas: readonly ConfiguredCa[]): Promise<void> {
    // From here on a key with such a label was made by this ceremony, and none that was there is ever used or replaced.
    for (const { label } of cas) {
      if ((await this.context.token.listKeys({ label })).length > 0)
        refuse(`want a token without key ${label}, got one that has it`);
    }
    const { title, witnesses, scriptSha256 } = this.options;
    const authority = asJson(this.context.config.authority);
    await this.#write({ step: 'begin', title, witnesses: [...witnesses], script: scriptSha256, authority });
  }

  #assertSameScript(): void {
    const { script } = replay(this.file.lines);
    if (script !== this.options.scriptSha256)
      refuse(`want the script ${script} that the transcript was begun with, got ${this.options.scriptSha256}`);
  }

  async #makeKey(ca: ConfiguredCa): Promise<void> {
    const { name, label, algorithm } = ca;
    const { token, observer } = this.context;
    if (!this.#has('intent', name)) await this.#write({ step: 'intent', ca: name, label, algorithm });
    if (this.#has('key', name)) {
      await this.#assertKey(ca);
      return;
    }
    const { uri, spki = Buffer.alloc(0) } = await findOrGenerateCaKey(token, ca, observer);
    await this.#write({ step: 'key', ca: name, label, algorithm, uri, publicKey: spki.toString('base64') });
  }

  /** A key that the transcript says was made may not have become another one. */
  async #assertKey(ca: ConfiguredCa): Promise<void> {
    const made = this.#line('key', ca.name);
    const key = await findCaKey(this.context.token, ca);
    if (made?.step !== 'key' || key?.spki?.toString('base64') !== made.publicKey)
      refuse(`want key ${ca.label} of the transcript on the token, got ${key === undefined ? 'none' : 'another'}`);
  }

  async #makeCertificate(ca: ConfiguredCa): Promise<void> {
    const key = await findCaKey(this.context.token, ca);
    if (key === undefined) return refuse(`want key ${ca.label} on the token, got none`);
    await certify(this.context, ca, key);
    const [chain] = await trustedChains(this.context, ca, caKeyId(key));
    this.#root ??= issuer(key, chain);
    if (this.#has('certificate', ca.name)) return;
    const certificate = chain[0].der.toString('base64');
    await this.#write({
      step: 'certificate',
      ca: ca.name,
      ...(ca.parent !== undefined && { parent: ca.parent }),
      certificate,
    });
  }

  async #write(step: TranscriptStep): Promise<void> {
    const time = this.context.now().toISOString();
    const line: TranscriptLine = { ...this.file.next, time, ...step };
    const signature = this.#root && (await signDocument(this.context, this.#root, 'transcript', signedOctets(line)));
    await this.file.append({ ...line, ...(signature && { signature: signature.toString('base64') }) });
    this.context.observer.step?.('transcript-written', `${line.seq}`);
  }

  #has(step: TranscriptStep['step'], ca?: string): boolean {
    return this.#line(step, ca) !== undefined;
  }

  #line(step: TranscriptStep['step'], ca?: string): TranscriptLine | undefined {
    return this.file.lines.find(({ line }) => line.step === step && (!('ca' in line) || line.ca === ca))?.line;
  }
}

/** As it is written down: what was left out is left out there too. */
function asJson(authority: ParsedCaConfig['authority']): Extract<TranscriptStep, { step: 'begin' }>['authority'] {
  return JSON.parse(JSON.stringify(authority)) as Extract<TranscriptStep, { step: 'begin' }>['authority'];
}

function refuse(message: string): never {
  throw new CaError('ERR_CA_CEREMONY_REFUSED', `ceremony: ${message}`);
}
