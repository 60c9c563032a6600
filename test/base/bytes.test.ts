/** The binary writer and reader: what is written is read again, and nothing else is. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter, DecodeError, varintBytes } from '../../src/base/bytes.js';

type Field =
  | { readonly kind: 'u8' | 'u16' | 'u32' | 'varint' | 'f64'; readonly value: number }
  | { readonly kind: 'bytes'; readonly value: Uint8Array }
  | { readonly kind: 'string'; readonly value: string };

const field: fc.Arbitrary<Field> = fc.oneof(
  fc.record({ kind: fc.constant('u8' as const), value: fc.nat(0xff) }),
  fc.record({ kind: fc.constant('u16' as const), value: fc.nat(0xffff) }),
  fc.record({ kind: fc.constant('u32' as const), value: fc.integer({ min: 0, max: 0xffffffff }) }),
  fc.record({ kind: fc.constant('varint' as const), value: fc.maxSafeNat() }),
  fc.record({ kind: fc.constant('f64' as const), value: fc.double() }),
  fc.record({ kind: fc.constant('bytes' as const), value: fc.uint8Array({ maxLength: 300 }) }),
  fc.record({ kind: fc.constant('string' as const), value: fc.string({ unit: 'grapheme', maxLength: 50 }) }),
);

function write(writer: ByteWriter, { kind, value }: Field): void {
  if (kind === 'bytes') writer.bytes(value);
  else if (kind === 'string') writer.string(value);
  else writer[kind](value);
}

function read(reader: ByteReader, kind: Field['kind']): number | string | number[] {
  return kind === 'bytes' ? [...reader.bytes()] : reader[kind]();
}

function encode(fields: readonly Field[]): Buffer {
  const writer = new ByteWriter(1);
  for (const each of fields) write(writer, each);
  return writer.take();
}

describe('writer and reader', () => {
  test('every sequence of fields is read as it was written', () => {
    fc.assert(
      fc.property(fc.array(field), (fields) => {
        const reader = new ByteReader(encode(fields));
        for (const { kind, value } of fields)
          expect(read(reader, kind)).toEqual(value instanceof Uint8Array ? [...value] : value);
        reader.end();
      }),
    );
  });

  test('a truncated encoding is refused, wherever it is cut', () => {
    fc.assert(
      fc.property(fc.array(field, { minLength: 1, maxLength: 5 }), (fields) => {
        const whole = encode(fields);
        for (let length = 0; length < whole.length; length++) {
          const reader = new ByteReader(whole, 0, length);
          expect(() => {
            for (const { kind } of fields) read(reader, kind);
          }).toThrow(DecodeError);
        }
      }),
      { numRuns: 50 },
    );
  });

  test('arbitrary bytes are read within bounds or refused with a decode error', () => {
    const kinds = fc.array(
      fc.constantFrom<Field['kind']>('u8', 'u16', 'u32', 'varint', 'f64', 'bytes', 'string'),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), kinds, (data, order) => {
        const reader = new ByteReader(Buffer.from(data));
        try {
          for (const kind of order) read(reader, kind);
          reader.end();
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
        expect(reader.position).toBeLessThanOrEqual(data.length);
        expect(reader.remainingBytes).toBe(data.length - reader.position);
      }),
    );
  });

  test('a reader of a part sees nothing outside it', () => {
    const reader = new ByteReader(Buffer.from([1, 2, 3, 4, 5]), 1, 3);
    expect([...reader.raw(2)]).toEqual([2, 3]);
    expect(() => reader.u8()).toThrow(DecodeError);
  });

  test('bytes left over are an error at the end', () => {
    expect(() => new ByteReader(Buffer.from([1])).end()).toThrow(DecodeError);
  });
});

describe('varint', () => {
  test('its announced size is its size', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const writer = new ByteWriter();
        writer.varint(value);
        expect(writer.lengthBytes).toBe(varintBytes(value));
      }),
    );
  });

  test('the largest safe integer fits and anything above is refused', () => {
    const writer = new ByteWriter();
    writer.varint(Number.MAX_SAFE_INTEGER);
    expect(new ByteReader(writer.take()).varint()).toBe(Number.MAX_SAFE_INTEGER);
    const above = Buffer.from([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]);
    expect(() => new ByteReader(above).varint()).toThrow(DecodeError);
    expect(() => new ByteReader(Buffer.alloc(12, 0xff)).varint()).toThrow(DecodeError);
  });
});

describe('handing over', () => {
  test('what was taken does not change when the writer goes on', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), fc.uint8Array({ maxLength: 5000 }), (first, second) => {
        const writer = new ByteWriter(16);
        writer.raw(first);
        const taken = writer.take();
        writer.raw(second);
        expect([...taken]).toEqual([...first]);
        expect([...writer.view()]).toEqual([...second]);
      }),
    );
  });

  test('a patched length stands where it was reserved', () => {
    const writer = new ByteWriter();
    writer.u8(7);
    const at = writer.lengthBytes;
    writer.u32(0);
    writer.string('after');
    writer.patchU32(at, 0xdeadbeef);
    const reader = new ByteReader(writer.take());
    expect([reader.u8(), reader.u32(), reader.string()]).toEqual([7, 0xdeadbeef, 'after']);
  });

  test('a writer that was reset starts anew', () => {
    const writer = new ByteWriter();
    writer.string('forgotten');
    writer.reset();
    writer.u8(1);
    expect([...writer.take()]).toEqual([1]);
  });
});
