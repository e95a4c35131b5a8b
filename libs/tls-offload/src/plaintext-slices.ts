/** The pieces in which plaintext is encrypted and read. */

/** Plaintext encrypted at a time: bounds the ciphertext held for a peer that does not read. */
export const sliceBytes = 64 * 1024;
/** Chunks below this are joined, so that many small writes do not make many small records. */
const recordBytes = 16 * 1024;

let buffer = Buffer.allocUnsafeSlow(sliceBytes);

/** Shared by all connections of a thread: plaintext is read into it and leaves it before anything else runs. */
export function plaintextBuffer(): Buffer {
  return buffer;
}

/** What was read into the buffer. Small plaintext is copied out of it; a large one takes it with it. */
export function takePlaintext(bytes: number): Buffer {
  const plaintext = buffer.subarray(0, bytes);
  if (bytes < sliceBytes / 2) return Buffer.from(plaintext);
  buffer = Buffer.allocUnsafeSlow(sliceBytes);
  return plaintext;
}

/** Takes from the front what one slice holds: part of a large chunk, or several small ones joined. */
export function takeSlice(pending: Buffer[]): Buffer {
  const [first] = pending;
  if (pending.length === 1 || first.length >= recordBytes) {
    if (first.length <= sliceBytes) pending.shift();
    else pending[0] = first.subarray(sliceBytes);
    return first.subarray(0, sliceBytes);
  }
  let count = 0;
  let bytes = 0;
  while (count < pending.length && bytes + pending[count].length <= recordBytes) bytes += pending[count++].length;
  return Buffer.concat(pending.splice(0, count), bytes);
}
