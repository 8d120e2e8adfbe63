/** A header that authenticates a request; `shown` stands for its secret value in output. */
export type Credential = { header: string; value: string; shown: string };

export type Sent = {
  method: string;
  /** Absolute and percent-encoded. */
  url: string;
  credentials: Credential[];
  /** JSON text. */
  body?: string | undefined;
  /** `body` as a shell word, with secrets as variables. */
  shownBody?: string | undefined;
};

/** A request and its answer. */
export type Exchange = {
  sent: Sent;
  status: number;
  contentType: string;
  /** The header `WWW-Authenticate`. */
  challenge: string | null;
  retryAfter: string | null;
  body: string;
};

/** Returns a credential in `X-API-Key`; `shown` is its value in a shell command. */
export function apiKeyCredential(value: string, shown = '$API_KEY'): Credential {
  return { header: 'X-API-Key', value, shown };
}

/** Returns the credential of the other account. */
export function secondCredential(value: string): Credential {
  return apiKeyCredential(value, '$SECOND_API_KEY');
}

/** Returns a credential in `Authorization`; `shown` is the token in a shell command. */
export function bearerCredential(token: string, shown = '$BEARER'): Credential {
  return { header: 'Authorization', value: `Bearer ${token}`, shown: `Bearer ${shown}` };
}

/** Returns the request as a curl command, with credentials as shell variables. */
export function curlLine({ method, url, credentials, body, shownBody }: Sent): string {
  const words = ['curl -i'];
  if (method !== 'GET') words.push(`-X ${method}`);
  // curl drops a header without a value; a semicolon sends it empty.
  for (const { header, value, shown } of credentials)
    words.push(value === '' ? `-H "${header};"` : `-H "${header}: ${shown}"`);
  if (body !== undefined) words.push(`-H 'Content-Type: application/json' -d ${shownBody ?? quoted(body)}`);
  return [...words, quoted(url)].join(' ');
}

/** Returns the text as one word of a POSIX shell. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

const shownLength = 400;

/** Returns the answer as one line: its status, unusual headers, and the start of its body. */
export function answerLine({ status, contentType, challenge, body }: Exchange): string {
  const notes = [
    ...(contentType.startsWith('application/json') ? [] : [contentType || 'no content type']),
    ...(status === 401 ? [challenge ? `WWW-Authenticate: ${challenge}` : 'no WWW-Authenticate'] : []),
  ];
  const head = [status, ...notes.map((note) => `(${note})`)].join(' ');
  return `${head} ${body === '' ? 'and an empty body' : shortened(body)}`;
}

/** Returns the request's method and path, and the status of the answer. */
export function answered({ sent: { method, url }, status }: Exchange): string {
  return `${method} ${new URL(url).pathname} answered ${status}`;
}

/** Returns the text, or its start and its length. */
export function shortened(text: string, length = shownLength): string {
  return text.length <= length ? text : `${text.slice(0, length)}... (${text.length} characters)`;
}
