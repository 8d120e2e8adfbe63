/** The members of E2B's results, by the media types of Jupyter's. */
const memberOf: Record<string, string> = {
  'text/plain': 'text',
  'text/html': 'html',
  'text/markdown': 'markdown',
  'image/svg+xml': 'svg',
  'image/png': 'png',
  'image/jpeg': 'jpeg',
  'application/pdf': 'pdf',
  'text/latex': 'latex',
  'application/json': 'json',
  'application/javascript': 'javascript',
  'e2b/data': 'data',
  'e2b/chart': 'chart',
};

/**
 * Returns the data of one of Jupyter's results, by media type, as members of E2B's: `text` loses
 * the quotes around a text, media types without a member go to `extra`.
 */
export function resultOf(data: Record<string, unknown>): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  const extra: Record<string, unknown> = {};
  for (const [type, given] of Object.entries(data)) {
    const value = Array.isArray(given) && type !== 'application/json' ? given.join('') : given;
    const member = Object.hasOwn(memberOf, type) ? memberOf[type] : undefined;
    if (member === undefined) extra[type] = value;
    else result[member] = member === 'text' ? unquoted(String(value)) : value;
  }
  return Object.keys(extra).length > 0 ? { ...result, extra } : result;
}

function unquoted(text: string): string {
  const [, inner] = /^(?:'([\s\S]*)'|"([\s\S]*)")$/.exec(text)?.filter((part) => part !== undefined) ?? [];
  return inner ?? text;
}
