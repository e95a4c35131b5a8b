import fc from 'fast-check';
import type { HsmError } from '../errors.js';
import { FrameReader, FrameSplitter, FrameWriter, maximumBodyBytes } from './frame.js';

const bytes = (maxLength = 200) => fc.uint8Array({ maxLength }).map((each) => Buffer.from(each));
const protocolError = expect.objectContaining({ code: 'ERR_HSM_PROTOCOL' }) as HsmError;
const tooLarge = expect.objectContaining({ code: 'ERR_HSM_ARGUMENT_INVALID' }) as HsmError;

/** The stream cut into chunks at the given places. */
function chunks(stream: Buffer, cuts: number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (stream.length + 1)))].sort((a, b) => a - b);
  return [...places, stream.length].map((end, index) => stream.subarray(index === 0 ? 0 : places[index - 1], end));
}

function split(splitter: FrameSplitter, parts: Buffer[]): Buffer[] {
  return parts.flatMap((part) => [...splitter.push(part)].map((body) => Buffer.from(body)));
}

describe('FrameSplitter', () => {
  it('finds the same frames however the stream is cut', () => {
    const input = fc.tuple(fc.array(bytes(), { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 20 }));
    fc.assert(
      fc.property(input, ([bodies, cuts]) => {
        const writer = new FrameWriter();
        for (const body of bodies) {
          for (const byte of body) writer.u8(byte);
          writer.endFrame();
        }
        expect(split(new FrameSplitter(), chunks(writer.frames, cuts))).toEqual(bodies);
      }),
    );
  });

  it('takes a frame of the largest size byte by byte', () => {
    const writer = new FrameWriter();
    writer.bytes(Buffer.alloc(maximumBodyBytes - 4, 3));
    writer.endFrame();
    const splitter = new FrameSplitter();
    const stream = writer.frames;
    let found = 0;
    for (let at = 0; at < stream.length; at++) found += [...splitter.push(stream.subarray(at, at + 1))].length;
    expect(found).toBe(1);
  });

  it.each([
    ['in one chunk', [0xff, 0xff, 0xff, 0xff, 0]],
    ['in pieces', [0x01, 0x00, 0x10, 0x00]],
  ])('refuses a frame that announces too much, %s, before there is anything to keep', (_, announced) => {
    const splitter = new FrameSplitter();
    const whole = () => split(splitter, [Buffer.from(announced)]);
    const pieces = () =>
      split(
        splitter,
        announced.map((byte) => Buffer.from([byte])),
      );
    expect(announced.length > 4 ? whole : pieces).toThrow(protocolError);
  });

  it('never uses a buffer twice, so that a body outlives the next one', () => {
    const splitter = new FrameSplitter();
    const frame = (byte: number) => new FrameWriter().u8(byte).u8(byte).finish();
    const kept = [...splitter.push(frame(1).subarray(0, 5)), ...splitter.push(frame(1).subarray(5))];
    split(splitter, [frame(2).subarray(0, 5), frame(2).subarray(5)]);
    expect(kept).toEqual([Buffer.from([1, 1])]);
  });
});

describe('FrameWriter and FrameReader', () => {
  it('carry every kind of field', () => {
    const fields = fc.record({
      small: fc.nat(255),
      large: fc.nat(2 ** 32 - 1),
      bytes: bytes(2_000),
      text: fc.string({ unit: 'grapheme' }),
      id: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((each) => Buffer.from(each).toString('hex')),
      json: fc.jsonValue(),
    });
    fc.assert(
      fc.property(fields, (sent) => {
        const writer = new FrameWriter(1).u8(sent.small).u32(sent.large).bytes(sent.bytes).text(sent.text).id(sent.id);
        const [body] = new FrameSplitter().push(writer.json(sent.json).finish());
        const reader = new FrameReader(body);
        expect(reader.u8()).toBe(sent.small);
        expect(reader.u32()).toBe(sent.large);
        expect(reader.bytes()).toEqual(sent.bytes);
        expect(reader.text()).toBe(sent.text);
        expect(reader.id()).toBe(sent.id);
        expect(JSON.stringify(reader.json())).toBe(JSON.stringify(sent.json));
        expect(() => reader.end()).not.toThrow();
      }),
    );
  });

  it('read nothing but ERR_HSM_PROTOCOL out of noise, and never past its end', () => {
    const reads = ['u8', 'u32', 'bytes', 'text', 'id', 'json', 'end'] as const;
    fc.assert(
      fc.property(bytes(64), fc.array(fc.constantFrom(...reads), { minLength: 1 }), (noise, wanted) => {
        const reader = new FrameReader(noise);
        try {
          for (const read of wanted) reader[read]();
        } catch (error) {
          expect(error).toEqual(protocolError);
        }
      }),
    );
  });

  it('refuse what is larger than a frame may be, and keep the frames before it', () => {
    const writer = new FrameWriter().u8(1);
    writer.endFrame();
    expect(() => writer.bytes(Buffer.alloc(maximumBodyBytes))).toThrow(tooLarge);
    writer.abandonFrame();
    // Room from large frames before does not let a too large one pass.
    for (let count = 0; count < 3; count++) {
      writer.bytes(Buffer.alloc(maximumBodyBytes - 4));
      writer.endFrame();
    }
    writer.bytes(Buffer.alloc(maximumBodyBytes - 4));
    expect(() => {
      writer.u8(0);
      writer.endFrame();
    }).toThrow(tooLarge);
    writer.abandonFrame();
    expect(split(new FrameSplitter(), [writer.frames]).map((body) => body.length)).toEqual([
      1,
      ...Array<number>(3).fill(maximumBodyBytes),
    ]);
  });

  it('leave no trace of a frame that was cleared, abandoned or outgrown', () => {
    const secret = Buffer.alloc(32, 0xaa);
    const writer = new FrameWriter(64).bytes(secret);
    writer.endFrame();
    const { buffer } = writer.frames;
    writer.bytes(secret).bytes(secret);
    expect(Buffer.from(buffer).includes(0xaa)).toBe(false);
    const grown = writer.frames.buffer;
    writer.abandonFrame();
    writer.clear();
    expect(writer.isEmpty).toBe(true);
    expect(Buffer.from(grown).includes(0xaa)).toBe(false);
  });

  it.each(['', '00', 'g'.repeat(32), '0'.repeat(33)])('refuse %p as an id', (id) => {
    expect(() => new FrameWriter().id(id)).toThrow(tooLarge);
  });
});
