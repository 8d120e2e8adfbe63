import { expect } from 'chai';
import fc from 'fast-check';
import { asPythonJson } from '../../app/contract/pydantic/python-json.ts';
import { plainValue } from '../../app/contract/sent-values.ts';
import { canonicalNumber, isObject, type JsonError, parseJson } from '../../db/json/json.ts';
import { readJson, type SentObject } from '../../db/json/reader.ts';
import { isoTime } from '../../spec/time.ts';

describe('parseJson', () => {
  it('reads what JSON.parse reads, and prints it unchanged', () => {
    fc.assert(
      fc.property(fc.json({ depthSize: 'medium', maxDepth: 8 }), (text) => {
        expect(JSON.stringify(parseJson(text))).to.equal(JSON.stringify(JSON.parse(text)));
      }),
    );
  });

  it('keeps the decimal value of every number', () => {
    const digits = fc.stringMatching(/^(0|[1-9]\d{0,30})$/);
    const numeral = fc
      .tuple(
        fc.constantFrom('', '-'),
        digits,
        fc.option(fc.stringMatching(/^\d{1,30}$/)),
        fc.option(fc.integer({ min: -400, max: 400 })),
      )
      .map(
        ([sign, whole, fraction, exponent]) =>
          `${sign}${whole}${fraction === null ? '' : `.${fraction}`}${exponent === null ? '' : `e${exponent}`}`,
      );
    fc.assert(
      fc.property(numeral, (text) => {
        expect(canonicalNumber(JSON.stringify(parseJson(text)))).to.equal(canonicalNumber(text));
      }),
      { numRuns: 1000 },
    );
  });

  it('reports where the text is not JSON, in the words of CPython 3.11', () => {
    const name = 'Expecting property name enclosed in double quotes';
    const told: [string, string, number][] = [
      ['', 'Expecting value', 0],
      [' ', 'Expecting value', 1],
      ['{', name, 1],
      ['[', 'Expecting value', 1],
      ['[1,]', 'Expecting value', 3],
      ['{"a":1,}', name, 7],
      ["{'a':1}", name, 1],
      ['{"a"', "Expecting ':' delimiter", 4],
      ['{"a" 1}', "Expecting ':' delimiter", 5],
      ['{"a":', 'Expecting value', 5],
      ['{"a":1 "b":2}', "Expecting ',' delimiter", 7],
      ['nul', 'Expecting value', 0],
      ['01', 'Extra data', 1],
      ['1.', 'Extra data', 1],
      ['{}{}', 'Extra data', 2],
      ['-', 'Expecting value', 0],
      ['\u00a0{}', 'Expecting value', 0],
      ['[1,\n2,\n]', 'Expecting value', 7],
      ['{"a":"\t"}', 'Invalid control character at', 6],
      ['"\\x"', 'Invalid \\escape', 1],
      ['"\\u12"', 'Invalid \\uXXXX escape', 2],
      ['"\\u12x4"', 'Invalid \\uXXXX escape', 2],
      ['"abc', 'Unterminated string starting at', 0],
      ['"\\', 'Unterminated string starting at', 0],
      ['{"😀😀😀":1,}', name, 9],
      ['{"é":}', 'Expecting value', 5],
    ];
    for (const [text, message, position] of told) {
      const error = failureOf(text);
      expect([error.kind, error.message, error.position], text).to.deep.equal(['syntax', message, position]);
    }
  });

  it('keeps the order of members and the spelling of numbers', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), (text) => {
        expect(plainValue(readJson(text))).to.deep.equal(JSON.parse(text));
      }),
    );
    const read = readJson('{"1":1.0,"a":2,"0":1e400,"a":3}') as SentObject;
    expect([...read.keys()]).to.deep.equal(['1', 'a', '0']);
    expect(JSON.stringify(asPythonJson(read))).to.equal('{"0":1e400,"1":1.0,"a":3}');
  });

  it('says whether the text is not JSON, nests too deep or has a value that jsonb refuses', () => {
    const kindOf = (text: string) => failureOf(text).kind ?? 'fine';
    expect(['', '{', 'nul', "'a'", '01', '\ufeff{}'].map(kindOf)).to.deep.equal(Array(6).fill('syntax'));
    expect(kindOf('['.repeat(64) + ']'.repeat(64))).to.equal('fine');
    expect(kindOf('['.repeat(65) + ']'.repeat(65))).to.equal('depth');
    expect(kindOf(`["${'['.repeat(65)}", "\\"${'{'.repeat(65)}"]`)).to.equal('fine');
    expect(
      ['{"a":"\\u0000","a":1}', '{"\\u0000":1}', '"\\udc00\\ud800"', '1e131072', '1e-16384'].map(kindOf),
    ).to.deep.equal(Array(5).fill('value'));
    const fine = ['"\\ud83d\\ude00"', '1e131071', '1e-16383', '"\\\\u0000"', '0.1e131072', '0e999999'];
    expect(fine.map(kindOf)).to.deep.equal(fine.map(() => 'fine'));
  });
});

describe('canonicalNumber', () => {
  it('spells equal numbers alike and different ones differently', () => {
    expect(['1', '1.0', '1.00', '10e-1', '0.1e1', '1E0', '1e+0'].map(canonicalNumber)).to.deep.equal(
      Array(7).fill('1e0'),
    );
    expect(['0', '-0', '0.0', '0e5', '-0.00e-3'].map(canonicalNumber)).to.deep.equal(Array(5).fill('0'));
    fc.assert(
      fc.property(
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        (a, b) => {
          expect(canonicalNumber(String(a)) === canonicalNumber(String(b))).to.equal(a === b);
        },
      ),
    );
  });
});

describe('isObject', () => {
  it('returns true for JSON objects only', () => {
    expect([{}, parseJson('{"rawJSON":"1"}')].every(isObject)).to.equal(true);
    expect([null, [], 'a', 1, parseJson('12345678901234567890')].some(isObject)).to.equal(false);
  });
});

describe('isoTime', () => {
  it('prints what toISOString prints', () => {
    fc.assert(
      fc.property(fc.oneof(fc.date({ noInvalidDate: true }).map(Number), fc.nat()), (milliseconds) => {
        expect(isoTime(milliseconds)).to.equal(new Date(milliseconds).toISOString());
      }),
      { numRuns: 1000 },
    );
  });
});

/** Returns the error for a text, or undefined if it is accepted. */
function failureOf(text: string): Partial<JsonError> {
  try {
    parseJson(text);
    return {};
  } catch (error) {
    return error as JsonError;
  }
}
