import { statusesIn, useTarget } from './helpers/target.ts';
import { abuse } from './runner/record.ts';

/**
 * A hidden request: it is read as a second request if a proxy and the server disagree about where
 * the first one ends.
 */
const smuggled = 'GET /v1/vms/smuggled HTTP/1.1\r\nHost: x\r\n\r\n';
const post = 'POST /v1/auth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n';
const get = 'GET /health HTTP/1.1\r\nHost: x\r\n';
const chunked = `${post}Transfer-Encoding: chunked\r\n`;
const end = '\r\n\r\n';
const last = `${get}Connection: close${end}`;

/**
 * Each case with the statuses of all its responses. A second response would mean that the hidden
 * request was executed.
 */
const shapes: [string, string, string][] = [
  ['Content-Length and Transfer-Encoding', `${chunked}Content-Length: 4\r\n\r\n0${end}${smuggled}`, '400'],
  [
    'Transfer-Encoding and Content-Length',
    `${post}Content-Length: 4\r\nTransfer-Encoding: chunked${end}0${end}`,
    '400',
  ],
  ['two lengths that differ', `${post}Content-Length: 0\r\nContent-Length: 44\r\n\r\n${smuggled}`, '400'],
  ['two lengths that agree', `${post}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx`, '400'],
  ['two lengths in one header', `${post}Content-Length: 0, 44\r\n\r\n${smuggled}`, '400'],
  ['a negative length', `${post}Content-Length: -1\r\n\r\n${smuggled}`, '400'],
  ['a length with a sign', `${post}Content-Length: +1\r\n\r\nx`, '400'],
  ['a length in hexadecimal', `${post}Content-Length: 0x1\r\n\r\nx`, '400'],
  ['a length that no integer holds', `${post}Content-Length: 99999999999999999999\r\n\r\nx`, '400'],
  ['a length with a space before the colon', `${post}Content-Length : 44\r\n\r\n${smuggled}`, '400'],
  ['Transfer-Encoding: xchunked', `${post}Transfer-Encoding: xchunked\r\n\r\n0${end}`, 'closed'],
  ['Transfer-Encoding: chunked, identity', `${post}Transfer-Encoding: chunked, identity\r\n\r\n0${end}`, '400'],
  ['Transfer-Encoding with a tab before its colon', `${post}Transfer-Encoding\t: chunked\r\n\r\n0${end}`, '400'],
  ['Transfer-Encoding twice, chunked and identity', `${chunked}Transfer-Encoding: identity\r\n\r\n0${end}`, '400'],
  ['Transfer-Encoding folded onto the next line', `${post}Transfer-Encoding:\r\n chunked\r\n\r\n0${end}`, '400'],
  ['a chunk whose size is negative', `${chunked}\r\n-1\r\nx\r\n0${end}`, 'closed'],
  ['a chunk whose size is 0x1', `${chunked}\r\n0x1\r\nx\r\n0${end}`, 'closed'],
  ['a chunk whose size overflows', `${chunked}\r\nfffffffffffffffff\r\nx\r\n0${end}`, 'closed'],
  ['a chunk that is longer than it says', `${chunked}\r\n1\r\nxyz\r\n0${end}`, 'closed'],
  ['a chunk that ends in a bare LF', `${chunked}\r\n1\nx\n0\n\n`, 'closed'],
  ['a chunk extension of 20 KB', `${chunked}\r\n1;${'x'.repeat(20_000)}\r\nx\r\n0${end}`, 'closed'],
  ['a header folded onto the next line', `${get}X-Folded: a\r\n b${end}`, '400'],
  ['a header name with a space', `${get}X Y: z${end}`, '400'],
  ['a header without a colon', `${get}nonsense${end}`, '400'],
  ['a header without a name', `${get}: x${end}`, '400'],
  ['a NUL in a header', `${get}X-Nul: a\0b${end}`, '400'],
  ['a bare CR in a header', `${get}X-Cr: a\rb${end}`, '400'],
  ['a bare CR before a header', `${get}\rX-Cr: a${end}`, '400'],
  ['lines that end in a bare LF', 'GET /health HTTP/1.1\nHost: x\n\n', '400'],
  ['a space before the first header', `GET /health HTTP/1.1\r\n Host: x${end}`, '400'],
  ['two Hosts', `${get}Host: evil.example${end}`, '400'],
  ['HTTP/1.1 without a Host', `GET /health HTTP/1.1${end}`, '400'],
  ['HTTP/2.0 in plain text', `GET /health HTTP/2.0\r\nHost: x\r\nConnection: close${end}`, '505'],
  ['the preface of HTTP/2', `PRI * HTTP/2.0\r\n\r\nSM${end}`, '400'],
  ['HTTP/0.9', 'GET /health\r\n\r\n', '505'],
  [
    'HTTP/1.0 with keep-alive, twice',
    `GET /health HTTP/1.0\r\nConnection: keep-alive${end}GET /health HTTP/1.0${end}`,
    '200, 200',
  ],
  ['HTTP/1.0 with a chunked body', `${chunked.replace('1.1', '1.0')}\r\n0${end}${smuggled}`, 'closed'],
  ['three requests in one packet', `${get}\r\n${get}\r\n${last}`, '200, 200, 200'],
  ['a body on a GET, then a request', `${get}Content-Length: 5\r\n\r\nhello${last}`, '200, 200'],
  [
    'a target with a host in it',
    `GET http://evil.example/health HTTP/1.1\r\nHost: x\r\nConnection: close${end}`,
    '400',
  ],
  ['a target that is no path', `GET health HTTP/1.1\r\nHost: x${end}`, '400'],
  ['a target of *', `OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close${end}`, '404'],
  ['CONNECT', `CONNECT evil.example:443 HTTP/1.1\r\nHost: x${end}`, 'closed'],
  ['TRACE', `TRACE /health HTTP/1.1\r\nHost: x\r\nConnection: close${end}`, '405'],
  [
    'an upgrade to h2c',
    `${get}Connection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA${end}`,
    '200',
  ],
  ['an upgrade to WebSocket', `${get}Connection: close, Upgrade\r\nUpgrade: websocket${end}`, '200'],
  ['a method of its own', `HACK /health HTTP/1.1\r\nHost: x${end}`, '400'],
  ['a method in lower case', `get /health HTTP/1.1\r\nHost: x${end}`, '400'],
  ['Expect: of something else', `${get}Connection: close\r\nExpect: 200-maybe${end}`, '417'],
  ['the greeting of TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', '400'],
];

describe('abuse: framing and smuggling', () => {
  const target = useTarget('--request-seconds', '2');
  for (const [sent, bytes, expected] of shapes) {
    abuse('framing', sent, expected, async () => statusesIn(await target().say(Buffer.from(bytes, 'latin1'))));
  }
});
