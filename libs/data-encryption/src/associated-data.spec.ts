import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { dataKeyAssociatedData, rowAssociatedData } from './associated-data.js';
import type { DataKeyId } from './envelope.js';

const vectors = JSON.parse(readFileSync(new URL('../test/vectors/cells.json', import.meta.url), 'utf8')) as {
  dataKeyId: DataKeyId;
  commitment: string;
  wrapAssociatedData: string;
  indexWrapAssociatedData: string;
  scopedWrapAssociatedData: { cell: string; index: string };
};

describe('associated data', () => {
  it('of a data key is as other software makes it', () => {
    const key = {
      id: vectors.dataKeyId,
      databaseId: 'clinic',
      tableId: 'Patient',
      tenant: '',
      kekVersion: '0f'.repeat(16),
      commitment: Buffer.from(vectors.commitment, 'hex'),
    };
    const ofCells = dataKeyAssociatedData({ ...key, purpose: 'cell', columnId: '', algorithm: 'aes-256-gcm' });
    expect(ofCells.toString('hex')).toBe(vectors.wrapAssociatedData);
    const ofIndex = dataKeyAssociatedData({
      ...key,
      purpose: 'index',
      columnId: 'name',
      algorithm: 'hmac-sha-256/email',
    });
    expect(ofIndex.toString('hex')).toBe(vectors.indexWrapAssociatedData);
    const scoped = { ...key, columnId: 'name', tenant: 'north' };
    for (const [purpose, algorithm] of [
      ['cell', 'aes-256-gcm'],
      ['index', 'hmac-sha-256/email'],
    ] as const) {
      const made = dataKeyAssociatedData({ ...scoped, purpose, algorithm });
      expect(made.toString('hex')).toBe(vectors.scopedWrapAssociatedData[purpose]);
    }
  });

  it('of two different keys is never the same', () => {
    const key = fc.array(fc.string({ maxLength: 4 }), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(key, key, (left, right) => {
        const isSame = JSON.stringify(left) === JSON.stringify(right);
        expect(rowAssociatedData(left).equals(rowAssociatedData(right))).toBe(isSame);
      }),
    );
  });
});
