/**
 * A secret key's check value, by which it is told on every token as a private key is by its public half. CKA_CHECK_VALUE has
 * three bytes, which anybody can match with a key of his own; this one is made by the operation that the key's role allows:
 * HMAC keys: the MAC of `statement` (32 bytes) · KEKs: the envelope of `plaintext` with `statement` as associated data.
 */
export const checkValueStatement = Buffer.from('nest-hsm: check value of a key, version 1');
export const checkValuePlaintext = Buffer.alloc(32);
