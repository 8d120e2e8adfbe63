import { expect } from 'chai';
import type { Printed } from '../../../app/machines/agent/processes.ts';
import { linesOf, maxLines } from '../../../app/machines/usage/lines.ts';

function printed(text: string | Buffer, { at = 1, pid = 1, source = 'stdout' as Printed['source'] } = {}): Printed {
  return { at, pid, source, bytes: Buffer.from(text) };
}

async function textsOf(...all: Printed[]): Promise<string[]> {
  return (await linesOf(all)).map(({ text }) => text);
}

describe('the lines of output', () => {
  it('are put together from pieces of one source of one process, with the time of the first', async () => {
    const lines = await linesOf([
      printed('a', { at: 1 }),
      printed('x', { at: 2, source: 'stderr' }),
      printed('b\nc', { at: 3 }),
      printed('other\n', { at: 4, pid: 2 }),
      printed('d\n', { at: 5 }),
    ]);
    expect(lines).to.deep.equal([
      { at: 1, pid: 1, source: 'stdout', text: 'ab' },
      { at: 2, pid: 1, source: 'stderr', text: 'x' },
      { at: 3, pid: 1, source: 'stdout', text: 'cd' },
      { at: 4, pid: 2, source: 'stdout', text: 'other' },
    ]);
  });

  it('keep characters whose bytes came apart, and show other bytes as U+FFFD', async () => {
    const [first, last] = [Buffer.from('é').subarray(0, 1), Buffer.from('é').subarray(1)];
    expect(await textsOf(printed(first), printed(last), printed('\n\xff'))).to.deep.equal(['é', 'ÿ']);
    expect(await textsOf(printed(Buffer.from([255])))).to.deep.equal(['\ufffd']);
  });

  it('lose the carriage return of a terminal; empty ones stay', async () => {
    expect(await textsOf(printed('a\r\n\r\nb\rc\n', { source: 'terminal' }))).to.deep.equal(['a', '', 'b\rc']);
  });

  it('have times that can be shown, whatever the machine says', async () => {
    const lines = await linesOf([printed('a', { at: -5 }), printed('b', { at: Number.MAX_SAFE_INTEGER, pid: 2 })]);
    expect(lines.map(({ at }) => new Date(at).toISOString())).to.deep.equal([
      '1970-01-01T00:00:00.000Z',
      '9999-12-31T23:59:59.999Z',
    ]);
  });

  it('are the newest, however much a machine sends', async () => {
    const flood = Array.from({ length: 300 }, (_, n) => printed('\n'.repeat(4096), { at: n }));
    const lines = await linesOf([...flood, printed('last', { at: 300 })]);
    expect(lines).to.have.length(maxLines);
    expect(lines.at(-1)?.text).to.equal('last');
  });
});
