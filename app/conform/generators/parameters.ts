import type fc from 'fast-check';
import type { Schema } from '../../../spec/load.ts';

type FastCheck = typeof fc;
/** Generates valid texts of a parameter. */
export function validTexts(fc: FastCheck, schema: Schema): fc.Arbitrary<string> {
  if (schema.anyOf)
    return fc.oneof(...schema.anyOf.filter(({ type }) => type !== 'null').map((one) => validTexts(fc, one)));
  if (schema.enum) return fc.constantFrom(...schema.enum.map(String));
  if (schema.type === 'integer') return fc.integer(bounds(schema)).map(String);
  if (schema.type === 'boolean') return fc.boolean().map(String);
  return fc.string({ unit: 'grapheme', maxLength: schema.maxLength ?? 40, minLength: schema.minLength ?? 0 });
}

/** Generates invalid texts of a parameter; returns null if every text is valid. */
export function invalidTexts(fc: FastCheck, schema: Schema): fc.Arbitrary<string> | null {
  if (schema.type !== 'integer') return null;
  const { minimum, maximum } = schema;
  const far = 2 ** 53;
  const outside = [
    ...(minimum === undefined ? [] : [fc.bigInt({ min: BigInt(-far) ** 2n * -1n, max: BigInt(minimum) - 1n })]),
    ...(maximum === undefined ? [] : [fc.bigInt({ min: BigInt(maximum) + 1n, max: BigInt(far) ** 2n })]),
  ].map((numbers) => numbers.map(String));
  const fractions = fc
    .tuple(fc.integer(bounds(schema)), fc.integer({ min: 1, max: 9 }))
    .map(([n, tenth]) => `${n}.${tenth}`);
  const words = fc
    .string({ unit: 'grapheme-ascii', maxLength: 12 })
    .filter((text) => !/^\s*[+-]?[\d_]*(\.0*)?\s*$/.test(text));
  return fc.oneof(...outside, fractions, words);
}

function bounds({ minimum, maximum }: Schema): { min?: number; max?: number } {
  return { ...(minimum !== undefined && { min: minimum }), ...(maximum !== undefined && { max: maximum }) };
}
