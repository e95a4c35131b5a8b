import { Policy } from './policy.js';

test('the application that spawned the agent may do everything', () => {
  expect(Policy.unrestricted.allows('destroy', 'anything')).toBe(true);
});

test('an empty list allows nothing', () => {
  expect(Policy.allowing([]).allows('find', 'anything')).toBe(false);
});

const policy = Policy.allowing([
  { label: 'issuer', operations: ['sign', 'find'], mechanisms: ['ecdsa-sha384'] },
  { label: 'tenant-*', operations: ['encrypt', 'decrypt'] },
]);

test.each([
  ['a listed mechanism', 'sign', 'issuer', 'ecdsa-sha384', true],
  ['another mechanism', 'sign', 'issuer', 'ecdsa-sha256', false],
  ['an operation without mechanisms', 'find', 'issuer', undefined, true],
  ['an operation that is not listed', 'destroy', 'issuer', undefined, false],
  ['another label', 'sign', 'issuer-2', 'ecdsa-sha384', false],
  ['a label of the prefix', 'encrypt', 'tenant-7', undefined, true],
  ['the bare prefix', 'encrypt', 'tenant-', undefined, true],
  ['a label that ends like it', 'encrypt', 'my-tenant-7', undefined, false],
  ['a label with the star itself', 'encrypt', 'tenant-*', undefined, true],
  ['one rule’s operation on another’s label', 'sign', 'tenant-7', 'ecdsa-sha384', false],
] as const)('%s', (_name, operation, label, mechanism, allowed) => {
  expect(policy.allows(operation, label, mechanism)).toBe(allowed);
});

test.each([
  ['a listed recipient', 'aa', true],
  ['another recipient', 'bb', false],
] as const)('%s', (_name, recipient, allowed) => {
  const exporting = Policy.allowing([{ label: 'data', operations: ['export'], recipients: ['aa'] }]);
  expect(exporting.allows('export', 'data', 'rsa-oaep-sha256', recipient)).toBe(allowed);
});

test('the error names key, operation and mechanism', () => {
  expect(() => policy.require('sign', 'issuer', 'ecdsa-sha256')).toThrow(
    expect.objectContaining({
      code: 'ERR_HSM_POLICY_DENIED',
      message: 'key "issuer": policy does not allow this client to sign with ecdsa-sha256',
    }) as Error,
  );
});

test('the error does not name a key that the client may do nothing with', () => {
  expect(() => policy.require('sign', 'hidden', 'ecdsa-sha256')).toThrow(
    'key of another label: policy does not allow this client to sign with ecdsa-sha256',
  );
});

test('what a client may do with no key at all is refused before a key is known', () => {
  expect(() => policy.requireOnAny('destroy')).toThrow(
    expect.objectContaining({ code: 'ERR_HSM_POLICY_DENIED' }) as Error,
  );
  expect(() => policy.requireOnAny('encrypt')).not.toThrow();
  expect(() => Policy.unrestricted.requireOnAny('destroy')).not.toThrow();
});
