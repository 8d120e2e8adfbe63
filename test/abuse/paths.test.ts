import { statusesIn, useTarget } from './helpers/target.ts';
import { abuse } from './runner/record.ts';

/**
 * Paths that a proxy and a server might read differently. None is another spelling of a valid
 * path.
 */
const paths: [string, string][] = [
  ['/v1/vms/../vms', '404'],
  ['/v1/vms/..', '404'],
  ['/v1/vms/%2e%2e', '404'],
  ['/v1/vms/..%2f..%2fhealth', '404'],
  ['/..%2f..%2f..%2fetc%2fpasswd', '404'],
  ['/docs/../openapi.yaml', '404'],
  ['/docs/%2e%2e%2fpackage.json', '404'],
  ['/docs/..\\..\\package.json', '404'],
  ['//health', '404'],
  ['//evil.example/health', '404'],
  ['/health//', '404'],
  ['/v1//vms', '404'],
  ['/./health', '404'],
  ['/health;jsessionid=1', '404'],
  ['/v1/vms;x=1/i1', '404'],
  ['/HEALTH', '404'],
  ['/v1/VMS', '404'],
  ['/health%00', '404'],
  ['/v1/vms/%00', '404'],
  ['/v1/vms/a%2fb', '404'],
  ['/v1/vms/%ff%fe', '404'],
  ['/v1/vms/%c0%ae%c0%ae', '404'],
  ['/v1/vms/%', '404'],
  ['/v1/vms/%zz', '404'],
  ['/v1/vms/%u002e', '404'],
  ['/v1/vms/%252e%252e', '404'],
  ['/v1/vms/%25', '404'],
  ['/v1/vms/_', '404'],
  ['/v1/vms/*', '404'],
  ['/v1/vms/%27', '404'],
  ["/v1/vms/'%20or%20'1'='1", '404'],
  ['/v1/vms/%22', '404'],
  ['/v1/vms/i%', '404'],
  ['/v1/vms/i____________________', '404'],
  ['/v1/vms/%E2%80%AE', '404'],
  ['/v1/vms/__proto__', '404'],
  ['/v1/vms/constructor', '404'],
  [`/v1/vms/${'x'.repeat(60_000)}`, '404'],
  ['/sandboxes/%25', '400'],
  ['/sandboxes/__proto__', '400'],
  ['/sandboxes/*', '400'],
  ['/health?', '200'],
  ['/health?a=%ff&%zz=%00', '200'],
  ['/health?__proto__[x]=1&constructor=2', '200'],
  [`/health?${'a=1&'.repeat(30_000)}`, '200'],
  ['/v1/sessions/sandboxes?limit=1&limit=abc', '422'],
  ['/v1/sessions/sandboxes?limit[]=1', '200'],
  ['/v1/sessions/sandboxes?limit=%00', '422'],
  ['/v1/sessions/sandboxes?limit=9007199254740993', '422'],
  ['/v1/sessions/sandboxes?metadata=%ff', '422'],
  ['/v1/sessions/sandboxes?metadata={"a":"%00"}', '422'],
  ['/v1/sessions/sandboxes?metadata={"a":"\\u0000"}', '422'],
  ['/v1/sessions/sandboxes?metadata={"__proto__":{"a":1}}', '200'],
  [`/v1/sessions/sandboxes?metadata=${'['.repeat(8000)}`, '422'],
  [`/v1/sessions/sandboxes?metadata=${'x'.repeat(100_000)}`, '422'],
  [`/v1/sessions/sandboxes?${'x'.repeat(140_000)}`, '431'],
];

describe('abuse: paths and queries', () => {
  const target = useTarget();
  let key: string;
  before(async () => {
    key = await target().addUser('alice');
  });
  for (const [path, expected] of paths) {
    const shown = path.length > 60 ? `GET ${path.slice(0, 40)}... (${path.length} characters)` : `GET ${path}`;
    abuse('path', shown, expected, async () => {
      const bytes = `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: ${key}\r\n\r\n`;
      return statusesIn(await target().say(bytes));
    });
  }
});

describe('abuse: headers', () => {
  const target = useTarget();
  const headers: [string, string, string][] = [
    ['one of 200 KB', `X-Large: ${'x'.repeat(200_000)}`, '431'],
    ['5,000 small ones', Array.from({ length: 5000 }, (_, n) => `X-${n}: ${n}`).join('\r\n'), '431 or closed'],
    ['20,000 small ones', Array.from({ length: 20_000 }, (_, n) => `X-${n}: ${n}`).join('\r\n'), '431 or closed'],
    ['a sandbox id with a line break in it', 'E2b-Sandbox-Id: i1%0d%0aSet-Cookie: a=b', '502'],
    ['an id that is SQL', "E2b-Sandbox-Id: i1' or '1'='1", '502'],
    ['an origin that is a header', 'Origin: https://x%0d%0aX-Injected: yes', '200'],
    ['a host that is another', 'Host: evil.example', '200'],
    [
      'X-Forwarded-* and X-Original-URL',
      'X-Forwarded-Host: evil\r\nX-Forwarded-For: 1.1.1.1\r\nX-Original-URL: /',
      '200',
    ],
    ['X-HTTP-Method-Override', 'X-HTTP-Method-Override: DELETE', '200'],
    ['a Range of a million parts', `Range: bytes=${'0-0,'.repeat(20_000)}`, '200'],
    ['an Accept-Encoding bomb', `Accept-Encoding: ${'gzip;q=1,'.repeat(10_000)}`, '200'],
  ];
  for (const [sent, header, expected] of headers) {
    abuse('header', sent, expected, async () => {
      const host = header.startsWith('Host:') ? '' : 'Host: x\r\n';
      const said = await target().say(`GET /health HTTP/1.1\r\nConnection: close\r\n${host}${header}\r\n\r\n`);
      if (/^(set-cookie|x-injected|location)|evil/im.test(said)) return `injected: ${said.slice(0, 200)}`;
      return statusesIn(said);
    });
  }
});
