/**
 * The provisioning agent: a child process that does one thing to a whole token and ends. It is not a token agent with more
 * verbs: it is a program of its own, started by `nest-hsm` alone, that takes one line from the stream it was born with. The
 * security officer's PIN is in no other process.
 */
import { Socket } from 'node:net';
import { HsmError } from '../../../errors.js';
import {
  maximumLineBytes,
  type ProvisioningAnswer,
  type ProvisioningRequest,
  provisioningRequestSchema,
  type ProvisioningVerb,
} from '../../../provisioning/protocol.js';
import { endWithApplication } from '../addon.js';
import { makePinFile, randomPin } from '../pin/pin-file.js';
import { readPin } from '../pin/pin-source.js';
import { initialiseToken } from '../pkcs11/administration/initialisation.js';
import { inspectTokens, listKeys } from '../pkcs11/administration/inspection.js';
import { changePin } from '../pkcs11/administration/pin-change.js';
import { resetUserPin, revokeUser, setUserPin } from '../pkcs11/administration/user-pin.js';
import { recorded, type TokenChange } from './recorded.js';

const applicationPid = Number(process.argv[2]);
const streamDescriptor = 3;

// Ctrl-C reaches the whole terminal group; what was begun on a token is finished, since a half of it might lose the token.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);

const stream = new Socket({ fd: streamDescriptor, readable: true, writable: true, allowHalfOpen: true });
stream.on('error', () => stream.destroy());
const answer = await carryOut(await firstLine(stream)).catch(describeError);
stream.end(`${JSON.stringify(answer)}\n`, () => process.exit(0));

async function carryOut(line: string): Promise<ProvisioningAnswer<ProvisioningVerb>> {
  const request = parse(line);
  endWithApplication(applicationPid);
  switch (request.verb) {
    case 'makePinFile':
      return { isNew: await makeOrCopyPin(request) };
    case 'inspect':
      return { tokens: await inspectTokens(request) };
    case 'list':
      return listKeys(request);
    default:
      return recorded(request, () => change(request));
  }
}

async function change(request: TokenChange): Promise<ProvisioningAnswer<TokenChange['verb']>> {
  switch (request.verb) {
    case 'initialise':
      return { serial: await initialiseToken(request) };
    case 'setUserPin':
      await setUserPin(request);
      return {};
    case 'resetUserPin':
      await resetUserPin(request);
      return {};
    case 'revokeUser':
      await revokeUser(request);
      return {};
    case 'changePin':
      await changePin(request);
      return {};
  }
}

async function makeOrCopyPin({ file, from }: Extract<ProvisioningRequest, { verb: 'makePinFile' }>): Promise<boolean> {
  const pin = from === undefined ? randomPin() : await readPin({ file: from });
  try {
    return await makePinFile(file, pin);
  } finally {
    pin.fill(0);
  }
}

function parse(line: string): ProvisioningRequest {
  const parsed = provisioningRequestSchema.safeParse(JSON.parse(line));
  if (parsed.success) return parsed.data;
  throw new HsmError('ERR_HSM_PROTOCOL', 'provisioning agent: want one of its requests, got something else');
}

async function firstLine(source: Socket): Promise<string> {
  let text = '';
  for await (const chunk of source.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    text += chunk as string;
    const end = text.indexOf('\n');
    if (end >= 0) return text.slice(0, end);
    if (text.length > maximumLineBytes) break;
  }
  return process.exit(0);
}

function describeError(error: unknown): object {
  // A fault of ours: its name is enough for whoever reports it, its message might quote what it choked on.
  const name = error instanceof Error ? error.name : typeof error;
  const known =
    error instanceof HsmError ? error : new HsmError('ERR_HSM_PROTOCOL', `provisioning agent: unexpected ${name}`);
  const { code, message, returnValue, pkcs11Function, retryable } = known;
  return { error: { code, message, returnValue, pkcs11Function, retryable } };
}
