import { expect } from 'chai';
import fc from 'fast-check';
import { isoTime } from '../app/wire.ts';
import { canonicalNumber, isObject, type JsonError, parseJson } from '../db/json.ts';

describe('parseJson', () => {
  it('reads what JSON.parse reads, and prints it again the same', () => {
    fc.assert(
      fc.property(fc.json({ depthSize: 'medium', maxDepth: 8 }), (text) => {
        expect(JSON.stringify(parseJson(text))).to.equal(JSON.stringify(JSON.parse(text)));
      }),
    );
  });

  it('keeps the decimal value of every numeral', () => {
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

  it('says what is wrong: not JSON, too deep, or a value that jsonb refuses', () => {
    const kindOf = (text: string) => {
      try {
        parseJson(text);
        return 'fine';
      } catch (error) {
        return (error as JsonError).kind;
      }
    };
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
  it('is true of JSON objects only', () => {
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
