import { expect } from 'chai';
import { withBystander } from './helpers/bystander.ts';
import { useTarget } from './helpers/target.ts';
import { abuse } from './runner/record.ts';

const many = (count: number, text: (n: number) => string) => Array.from({ length: count }, (_, n) => text(n)).join();
const metadata = (json: string) => `{"metadata":${json}}`;

const bodies: [string, string | Buffer, string][] = [
  ['[ 500,000 deep', '['.repeat(500_000), '422'],
  ['{"a": 100,000 deep', '{"a":'.repeat(100_000), '422'],
  ['metadata 65 deep', metadata(`${'{"a":'.repeat(65)}1${'}'.repeat(65)}`), '422'],
  ['metadata 64 deep', metadata(`${'{"a":'.repeat(64)}1${'}'.repeat(64)}`), '201'],
  ['100,000 keys', `{${many(100_000, (n) => `"k${n}":1`)}}`, '413 or 422'],
  ['5,000 keys in metadata', metadata(`{${many(5000, (n) => `"k${n}":1`)}}`), '201'],
  ['10,000 keys in metadata', metadata(`{${many(10_000, (n) => `"k${n}":1`)}}`), '422'],
  ['60,000 times the same key', `{${many(60_000, () => '"vcpu_count":1')}}`, '201'],
  ['a key twice: the last one counts', '{"vcpu_count":0,"vcpu_count":1}', '201'],
  ['a key twice: the last one is wrong', '{"vcpu_count":1,"vcpu_count":0}', '422'],
  ['__proto__ of the body', '{"__proto__":{"vcpu_count":"x","isAdmin":true}}', '422'],
  [
    '__proto__ in metadata',
    metadata('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}'),
    '201',
  ],
  ['1e400', '{"vcpu_count":1e400}', '422'],
  ['a number of 100,000 digits', `{"vcpu_count":${'9'.repeat(100_000)}}`, '422'],
  ['1e999999999 in metadata', metadata('{"n":1e999999999}'), '422'],
  ['1e131071 in metadata', metadata('{"n":1e131071}'), '201'],
  ['a number of 60,000 digits in metadata', metadata(`{"n":${'7'.repeat(60_000)}}`), '201'],
  ['60,000 zeros, one in between', metadata(`{"n":1${'0'.repeat(30_000)}1${'0'.repeat(30_000)}}`), '201'],
  ['-0, 1E+2 and 0.1e-7', metadata('{"a":-0,"b":1E+2,"c":0.1e-7}'), '201'],
  ['NaN', metadata('{"n":NaN}'), '422'],
  ['a string of 1 MB', `{"snapshot_id":"${'x'.repeat(1_000_000)}"}`, '422'],
  ['a string of 64 KB of backslashes', metadata(`{"a":"${'\\\\'.repeat(32_000)}"}`), '201'],
  ['more than 1 MiB', `{"snapshot_id":"${'x'.repeat(2 ** 20)}"}`, '413'],
  ['NUL in a string', metadata('{"a":"\\u0000"}'), '422'],
  ['half a surrogate pair', metadata('{"a":"\\ud800"}'), '422'],
  ['bytes that are not UTF-8', Buffer.from('{"snapshot_id":"\xff\xfe"}', 'latin1'), '422'],
  ['a byte order mark', '\ufeff{}', '422'],
  ['two documents', '{}{}', '422'],
  ['a comment', '{/**/}', '422'],
  ['an array', '[]', '422'],
  ['a string', '"{}"', '422'],
  ['nothing but spaces', ' '.repeat(100_000), '422'],
];

/** Bodies of about 1 MiB in which every member is invalid. */
const wrongEverywhere: [string, string, string][] = [
  ['/v1/sessions/session', `{"api_key":"x","env":{${many(100_000, (n) => `"${n}":0`)}}}`, '422'],
  ['/v1/vms', `{"env":{${many(75_000, (n) => `"k${n}":1.5`)}}}`, '422'],
  ['/v1/vms', `{"env":{"a":[${many(260_000, () => '1e2')}]}}`, '422'],
  ['/v1/sandboxes/kill', `{${many(100_000, (n) => `"${n}":0`)}}`, '422'],
  ['/v1/webhooks/endpoints', `{"url":"http://a","event_patterns":[${many(500_000, () => '1')}]}`, '422'],
  ['/v1/webhooks/endpoints', `{"description":"${'x'.repeat(1_000_000)}"}`, '422'],
  ['/sandboxes', `{"templateID":"base","metadata":{${many(100_000, (n) => `"${n}":0`)}}}`, '400'],
  ['/sandboxes', `{"templateID":"base","network":{"allowOut":[${many(500_000, () => '1')}]}}`, '400'],
];

describe('abuse: JSON', () => {
  const target = useTarget();
  let key: string;
  before(async () => {
    key = await target().addUser('alice');
  });
  for (const [sent, body, expected] of bodies) {
    abuse('JSON', sent, expected, async () => {
      const headers = { 'X-API-Key': key };
      const { status, text } = await target().ask('POST', '/v1/vms', { headers, body });
      if (/polluted|isAdmin/.test(Object.keys(JSON.parse(text)).join())) return 'a prototype shows through';
      return String(status);
    });
  }
  for (const [path, body, expected] of wrongEverywhere) {
    const sent = `${body.slice(0, 40)}... to ${path}`;
    abuse('JSON, all of it wrong', sent, expected, () =>
      withBystander(sent, target(), key, async () => {
        const { status, text } = await target().ask('POST', path, { headers: { 'X-API-Key': key }, body });
        return text.length < 100_000 ? String(status) : `${status} and ${text.length} characters`;
      }),
    );
  }
  it('does not pollute prototypes: the next response is unchanged', async () => {
    const { text } = await target().ask('POST', '/v1/vms', { headers: { 'X-API-Key': key }, body: '{}' });
    expect(JSON.parse(text)).to.include({ vcpu_count: 2 }).and.not.to.have.any.keys('polluted', 'isAdmin');
  });
  abuse('JSON', 'a gzip of 200 MB', '413', async () => {
    const { gzipSync } = await import('node:zlib');
    const headers = { 'X-API-Key': key, 'Content-Encoding': 'gzip' };
    const body = gzipSync(Buffer.alloc(200_000_000, ' '), { level: 9 });
    return String((await target().ask('POST', '/v1/vms', { headers, body })).status);
  });
});
