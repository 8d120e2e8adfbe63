/** A request that is sent to both servers. */
export type Asked = {
  method: string;
  path: string;
  headers: Record<string, string | string[]>;
  body?: string;
};

/**
 * Returns the same requests at every call: hand-picked edge cases, and random ones from a fixed
 * seed. `key` is a valid API key.
 */
export function requestsFrom(seed: number, key: string): Asked[] {
  const random = generator(seed);
  const auth = { 'X-API-Key': key };
  return [
    ...limits(random).flatMap((limit) => [
      get(`/v1/sessions/sandboxes?limit=${encodeURIComponent(limit)}`, auth),
      ...(random() < 0.2 ? [get(`/v1/vms?limit=${encodeURIComponent(limit)}`, auth)] : []),
    ]),
    ...credentials(key).map((headers) => get('/v1/sessions/sandboxes?limit=0', headers)),
    ...filters.flatMap((filter) =>
      ['', '&limit=x', '&limit=1001'].map((more) =>
        get(`/v1/sessions/sandboxes?metadata=${encodeURIComponent(filter)}${more}`, auth),
      ),
    ),
    ...times(300, () => timeFrom(random))
      .concat(moments)
      .map((text) =>
        get(
          `/v1/audit/events?since=${encodeURIComponent(text)}&until=${encodeURIComponent(pick(random, moments))}&limit=${pick(random, ['0', '1'])}`,
          auth,
        ),
      ),
    ...queries.map((query) => get(`/v1/sessions/sandboxes?${query}`, auth)),
    ...paths.map((path) => get(path, auth)),
    ...paths.flatMap((path) => methods.map((method) => ({ method, path, headers: auth }))),
    ...forms(random).map((body) => ({
      method: 'POST',
      path: '/v1/auth/token',
      body,
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    })),
    // Creates come last, because FastAPI's lists are always empty.
    ...bodies(random).flatMap((body) => posts(random, body, auth)),
  ];
}

function get(path: string, headers: Asked['headers']): Asked {
  return { method: 'GET', path, headers };
}

/** Mulberry32. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function pick<T>(random: () => number, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)] as T;
}

function times<T>(count: number, make: () => T): T[] {
  return Array.from({ length: count }, make);
}

const blanks = [
  '\t',
  '\n',
  '\v',
  '\f',
  '\r',
  '\x1c',
  '\x1f',
  ' ',
  '\x85',
  '\xa0',
  '\u2003',
  '\u200b',
  '\u3000',
  '\ufeff',
];

function limits(random: () => number): string[] {
  const parts = ['0', '1', '5', '9', '_', '+', '-', '.', '.0', '00', ' ', 'e1', '0x', 'a', '１'];
  return [
    ...['', '0', '1', '5', '1000', '1001', '-1', '5.', '12.', '5.0', '1e2', 'NaN', 'true', 'null', '0b1', '1,2'],
    ...blanks.flatMap((blank) => [`${blank}5`, `5${blank}`, `5${blank}5`]),
    ...[16, 19, 20, 309, 310, 4299, 4300, 4301].flatMap((digits) => ['9'.repeat(digits), `-${'9'.repeat(digits)}`]),
    ...times(900, () => times(1 + Math.floor(random() * 4), () => pick(random, parts)).join('')),
  ];
}

const moments = [
  ...[
    '',
    'x',
    '2025',
    '1737196200',
    '1737196200000',
    '1737196200.5',
    '5.',
    '.5',
    '1e5',
    '1.5e5',
    '-1',
    '+1',
    ' 5',
    '0x10',
  ],
  ...['20000000000', '20000000001', '-20000000001', '253402300799999', '253402300800000', '-62135596800000', '1_000'],
  ...[
    '-62135596800001',
    '-62167219200000',
    '-62167219200001',
    '9223372036854775807',
    '9223372036854775808',
    '0'.repeat(30),
  ],
  ...['2025-01-18', '2025-02-29', '2024-02-29', '1900-02-29', '2025-13-01', '2025-01-00', '2025-1-18', '2025/01/18'],
  ...[
    '0000-01-01',
    '0000-02-30',
    '0000-01-01T00:00',
    '0001-01-01',
    '9999-12-31',
    '２０２５-01-18',
    '2025-01-1é',
    '😀😀😀',
  ],
  ...['2025-01-18T24:00', '2025-01-18T23:60', '2025-01-18T10', '2025-01-18_10:30', '2025-01-18T10:30:00,5', 'now'],
  ...['2025-01-18T10:30:00\u22120100', '2025-01-18T10:30+24:00', '2025-01-18T10:30+01:60', '2025-02-30T25:00', '\n'],
];

/** A part of a time, or a time with a character changed. */
function timeFrom(random: () => number): string {
  const whole = pick(random, [
    '2025-01-18T10:30:00.123456+01:30',
    '2024-02-29 23:59:59Z',
    '1737196200',
    '0000-12-31_00:00',
  ]);
  const at = Math.floor(random() * whole.length);
  return random() < 0.3
    ? whole.slice(0, at)
    : whole.slice(0, at) + pick(random, [...'0123459-:.,TtZz+_ x']) + whole.slice(at + 1);
}

function credentials(key: string): Asked['headers'][] {
  const wrong = ['x', `${key}x`, key.slice(1), key.toUpperCase(), `"${key}"`];
  const bearer = (text: string) => ({ Authorization: text });
  return [
    ...[{}, { 'X-API-Key': '' }, { 'X-API-Key': key }, { 'x-api-key': key }, bearer(`Bearer ${key}`)],
    ...[bearer(`bearer ${key}`), bearer(`BEARER ${key}`), bearer('Bearer'), bearer('Bearer '), bearer('')],
    ...[bearer(`Basic ${key}`), bearer(key), bearer(`Bearer ${key} x`), bearer(`Bearer x ${key}`)],
    ...[bearer(`Bearer  ${key}`), bearer(`Bearer\t${key}`), bearer(`Token ${key}`), bearer(`Bearer,${key}`)],
    ...[{ 'X-API-Key': [key, 'x'] }, { 'X-API-Key': ['x', key] }, { 'X-API-Key': key, ...bearer('Bearer x') }],
    ...wrong.flatMap((text) => [{ 'X-API-Key': text }, bearer(`Bearer ${text}`)]),
    ...wrong.map((text) => ({ 'X-API-Key': text, ...bearer(`Bearer ${key}`) })),
  ];
}

const filters = [
  ...['{}', '{"a":1}', '{"userId":"123","env":"dev"}', ' {"a" : [1, {"b": null}]} ', '{"é":"😀"}'],
  ...['', '[]', '1', '"a"', 'null', '{', '{"a":}', "{'a':1}", '{"a":1,}', 'a', '{"a":NaN}', '{"a":"\\u0000"}'],
];

const queries = [
  ...['', '&', '=', '?', 'limit', 'limit=', 'limit=5&limit=x', 'limit=x&limit=5', 'Limit=x', 'limit[]=x', 'limit[a]=5'],
  ...[
    'limit=%205',
    'limit=+5',
    'limit=5+',
    'limit=%zz',
    'limit=%ff',
    'limit=5%00',
    'l%69mit=x',
    'x=%ff&limit=0',
    'limit=5;',
  ],
  ...['metadata={}&limit=0', 'unknown=1', 'limit=5#x', 'limit=1&x[', '%5B', 'limit=0&limit', 'limit=%F0%9F%98%80'],
];

const methods = ['HEAD', 'OPTIONS', 'PUT', 'PATCH', 'DELETE', 'POST', 'TRACE'];

const paths = [
  ...['/v1/sessions/sandboxes', '/v1/sessions/sandboxe%73', '/v1/vms/none', '/v1/vms/n%6fne', '/health', '/h%65alth'],
  ...['/nope', '/v1', '/v1/', '/V1/vms', '/v1/vms/a/b', '/v1//vms', '/v1/vms/%F0%9F%98%80', '/v1/vms/a%20b', '/.'],
  ...[
    '/v1/vms/',
    '/health/',
    '/v1/sessions/sandboxes/',
    '/v1/vms%3Flimit=0',
    '/v1/vms/%25',
    '/v1/vms/..',
    '/%76%31/vms',
  ],
];

/** Values of every type at every edge, as JSON text. */
const values = [
  ...[
    'null',
    'true',
    'false',
    '0',
    '1',
    '2',
    '3',
    '8',
    '20',
    '19',
    '127',
    '128',
    '300',
    '8192',
    '8193',
    '86400',
    '86401',
  ],
  ...['-1', '-0', '1.0', '1.5', '300.0', '1e2', '1e16', '-2.5e-7', '0.1', '123456.789', '9007199254740993', '1e-5'],
  ...[
    '""',
    '"a"',
    '"active"',
    '"killed"',
    '"1"',
    '"é😀\\n\\u00e9"',
    '"a/b~c"',
    '[]',
    '[1]',
    '[[],{}]',
    '{}',
    '{"a":1}',
  ],
  ...['{"1":"x","0":"y"}', '{"1":1,"0":2}', '{"a/b":null,"":2}', '{"a":{"b":[1.0]}}', '"​"', `"${'x'.repeat(257)}"`],
];

const names = [
  ...[
    'vm_lifetime_seconds',
    'memory_mb',
    'vcpu_count',
    'metadata',
    'env',
    'snapshot_id',
    'auto_suspend',
    'status',
    'limit',
  ],
  ...[
    'older_than_seconds',
    'dry_run',
    'all',
    'oci_image',
    'name',
    'api_key',
    'unknown',
    'a/b',
    'a~1b',
    '~',
    '',
    '0',
    '10',
    '__proto__',
  ],
];

function bodies(random: () => number): string[] {
  const whole = times(420, () => {
    const members = times(
      Math.floor(random() * 4),
      () => `${JSON.stringify(pick(random, names))}:${pick(random, values)}`,
    );
    return `{${members.join(random() < 0.2 ? ' , ' : ',')}}`;
  });
  return [...values, ...whole, ...brokenJson, ...times(350, () => damaged(random, pick(random, whole)))];
}

const brokenJson = [
  ...[
    '',
    ' ',
    '\n',
    '{',
    '}',
    '[',
    ']',
    '"',
    '{"',
    '{"a',
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,',
    '{"a":1,}',
    '[1,]',
    '[,1]',
  ],
  ...[
    "{'a':1}",
    '{a:1}',
    '{"a" 1}',
    '{"a":1 "b":2}',
    '[1 2]',
    'nul',
    'nulll',
    'tru',
    'True',
    '01',
    '1.',
    '.5',
    '+1',
    '-',
    '1e',
  ],
  ...[
    '{"a":\t1}\n',
    '{}{}',
    '{} x',
    '{"a":"\t"}',
    '{"a":"\n"}',
    '{"a":"\\x"}',
    '{"a":"\\u12"}',
    '{"a":"\\u12x4"}',
    '"\\',
  ],
  ...[
    '{"😀😀😀":1,}',
    '{"é":}',
    '{"a":undefined}',
    '// x',
    '{/**/}',
    '\xa0{}',
    '{"a":1}\u2028',
    '[1,\n2,\n]',
    '"\\ud83d\\u12"',
  ],
];

function damaged(random: () => number, text: string): string {
  const at = Math.floor(random() * (text.length + 1));
  const inserted = pick(random, [
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    ' ',
    '1',
    '-',
    'e',
    '.',
    'x',
    '😀',
    '\n',
    '\t',
  ]);
  const rest = random() < 0.5 ? text.slice(at) : text.slice(at + 1 + Math.floor(random() * 3));
  return text.slice(0, at) + (random() < 0.7 ? inserted : '') + rest;
}

function posts(random: () => number, body: string, auth: Asked['headers']): Asked[] {
  const to = (method: string, path: string) => ({
    method,
    path,
    body,
    headers: { ...auth, 'Content-Type': 'application/json' },
  });
  const all = [
    ...[to('POST', '/v1/vms'), to('PATCH', '/v1/vms/none'), to('POST', '/v1/sandboxes/kill')],
    ...[to('POST', '/v1/snapshots'), to('POST', '/v1/sessions/session')],
  ];
  return all.filter(() => random() < 0.4);
}

function forms(random: () => number): string[] {
  const fields = [
    'username=a',
    'username=',
    'password=b',
    'password=',
    'grant_type=password',
    'grant_type=',
    'grant_type=x',
  ];
  const more = ['scope=', 'username=%ff', 'password=a+b', 'x=1', 'username', '', '&', '='];
  return times(60, () => times(Math.floor(random() * 4), () => pick(random, [...fields, ...more])).join('&'));
}
