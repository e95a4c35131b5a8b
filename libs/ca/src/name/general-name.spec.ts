import { emailAddress, uri } from './general-name.js';

const invalid = expect.objectContaining({ code: 'ERR_CA_NAME_INVALID' }) as Error;

test.each([
  ['ada@example.test', 'ada@example.test'],
  ['Ada.Lovelace+x@EXAMPLE.Test', 'Ada.Lovelace+x@example.test'],
  ['ada@münchen.test', 'ada@xn--mnchen-3ya.test'],
])('the mailbox %s is spelt %s', (text, spelling) => {
  expect(emailAddress(text).value).toBe(spelling);
});

test.each([
  ['nothing', ''],
  ['no local part', '@example.test'],
  ['no domain', 'ada@'],
  ['no @', 'ada.example.test'],
  ['a quoted string', '"a b"@example.test'],
  ['two dots', 'a..b@example.test'],
  ['a final dot', 'a.@example.test'],
  ['two @', 'a@b@example.test'],
  ['a space', 'a b@example.test'],
  ['letters that are not ASCII', 'ädä@example.test'],
  ['a wildcard', 'a@*.example.test'],
  ['an address literal', 'a@[127.0.0.1]'],
  ['a NUL', 'a\0@example.test'],
  ['a name around it', 'Ada <ada@example.test>'],
  ['a local part of 65', `${'a'.repeat(65)}@example.test`],
])('refuses a mailbox with %s', (_, text) => {
  expect(() => emailAddress(text)).toThrow(invalid);
});

test.each([
  ['https://Example.TEST/Path?q=1#f', 'https://example.test/Path?q=1#f'],
  ['SPIFFE://Trust.Example.test/ns/a', 'spiffe://trust.example.test/ns/a'],
  ['spiffe://trust.example.test', 'spiffe://trust.example.test'],
  ['urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6', 'urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6'],
  ['sip:alice', 'sip:alice'],
  ['http://192.0.2.1/', 'http://192.0.2.1/'],
])('the URI %s is spelt %s', (text, spelling) => {
  expect(uri(text).value).toBe(spelling);
});

test.each([
  ['nothing', ''],
  ['no scheme', '//example.test/a'],
  ['a relative path', 'a/b'],
  ['a scheme alone', 'urn:'],
  ['a path of no host', 'file:/etc/passwd'],
  ['an empty host', 'https:///a'],
  ['a single label', 'spiffe://prod/a'],
  ['user information', 'https://user@example.test/'],
  ['a port', 'https://example.test:8443/'],
  ['an IPv6 host', 'https://[::1]/'],
  ['a wildcard host', 'https://*.example.test/'],
  ['a dot segment', 'spiffe://example.test/ns/../admin'],
  ['an escaped dot segment', 'https://example.test/a/%2e%2E/b'],
  ['half an escape', 'https://example.test/%4'],
  ['a space', 'https://example.test/a b'],
  ['letters that are not ASCII', 'https://example.test/ä'],
  ['a NUL', 'https://example.test/\0'],
  ['a SPIFFE ID with a query', 'spiffe://example.test/a?b'],
  ['a SPIFFE ID with an empty segment', 'spiffe://example.test//a'],
  ['a SPIFFE ID with an escape', 'spiffe://example.test/%41'],
  ['a SPIFFE ID of an address', 'spiffe://192.0.2.1/a'],
  ['2049 characters', `https://example.test/${'a'.repeat(2028)}`],
])('refuses a URI with %s', (_, text) => {
  expect(() => uri(text)).toThrow(invalid);
});
