import { expect } from 'chai';
import fc from 'fast-check';
import { MarkedOutput, type Message } from '../../app/machines/code/marked-output.ts';

const mark = 'c0ffee';

/** Returns a message as a program writes it, in pieces of this length. */
function written(message: Message, length: number): Buffer {
  const text = JSON.stringify(message);
  const pieces = text.match(new RegExp(`.{1,${length}}`, 'gs')) ?? [];
  return Buffer.from(pieces.map((piece, n) => `\0${mark}${n === pieces.length - 1 ? '.' : '+'}${piece}\0`).join(''));
}

/** Returns the output and the messages in a text that arrives in chunks of these lengths. */
function split(bytes: Buffer, lengths: number[]): { output: string; messages: Message[] } {
  const marked = new MarkedOutput(mark);
  const output: Buffer[] = [];
  const messages: Message[] = [];
  let at = 0;
  for (let n = 0; at < bytes.length; n++) {
    const chunk = bytes.subarray(at, at + (lengths[n % lengths.length] ?? 1));
    at += chunk.length;
    for (const part of marked.push(chunk)) Buffer.isBuffer(part) ? output.push(part) : messages.push(part);
  }
  return { output: Buffer.concat(output).toString('latin1'), messages };
}

describe('messages between the output of code', () => {
  // NUL and parts of the mark, which look like the beginning of a message.
  const output = fc.array(fc.constantFrom('\0', 'c', `\0${mark.slice(0, 3)}`, 'text', '.', '\n'), { maxLength: 8 });
  const parts = fc.array(
    fc.oneof(
      output.map((all) => all.join('')),
      fc.record({ text: fc.string({ unit: 'grapheme-ascii' }) }),
    ),
    {
      maxLength: 6,
    },
  );

  it('are told from it, however both arrive', () => {
    fc.assert(
      fc.property(
        parts,
        fc.integer({ min: 1, max: 9 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
        (all, length, lengths) => {
          const messages = all
            .filter((part) => typeof part === 'object')
            .map((content) => ({ type: 'error', content }));
          const sent = all.map((part) =>
            typeof part === 'string' ? Buffer.from(part) : written({ type: 'error', content: part }, length),
          );
          // A text that would go on as the next message is not complete before it.
          const found = split(Buffer.concat([...sent, Buffer.from('end')]), lengths);
          expect(found.messages).to.deep.equal(messages);
          expect(found.output).to.equal(`${all.filter((part) => typeof part === 'string').join('')}end`);
        },
      ),
    );
  });

  it('may be spoilt by code that knows the mark, which costs that code its messages only', () => {
    const found = split(
      Buffer.from(`a\0${mark}.no JSON\0b\0${mark}?\0c\0${mark}.[]\0d\0${mark}${'x'.repeat(5000)}`),
      [7],
    );
    expect(found.messages).to.deep.equal([]);
    expect(found.output.replace(/[^a-d]/g, '')).to.match(/^abcd/);
  });
});
