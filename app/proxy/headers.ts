/** Headers in the order they came: names and values in turn. */
export type RawHeaders = string[];

/** Headers of one connection, which a proxy never forwards (RFC 9110, 7.6.1). */
const hopByHop = ['connection', 'proxy-connection', 'keep-alive', 'te', 'transfer-encoding', 'upgrade'];

/** Returns the headers to forward, with their order, spelling and repetitions unchanged. */
export function endToEnd(raw: RawHeaders): RawHeaders {
  const named = valuesOf(raw, 'connection').flatMap((value) => value.split(','));
  const dropped = new Set([...hopByHop, ...named.map((name) => name.trim().toLowerCase())]);
  return pairsOf(raw)
    .filter(([name]) => !dropped.has(name.toLowerCase()))
    .flat();
}

/** Returns a request's headers to forward, with `Host` replaced by the target's. */
export function headersFor(host: string, raw: RawHeaders, method: string): RawHeaders {
  const kept = pairsOf(endToEnd(raw)).filter(([name]) => name.toLowerCase() !== 'host');
  const at = pairsOf(raw).findIndex(([name]) => name.toLowerCase() === 'host');
  return [...kept.toSpliced(Math.max(at, 0), 0, ['Host', host]).flat(), ...framing(raw, method)];
}

/** Returns all values of a header; `lowerName` is its name in lower case. */
export function valuesOf(raw: RawHeaders, lowerName: string): string[] {
  return pairsOf(raw)
    .filter(([name]) => name.toLowerCase() === lowerName)
    .map(([, value]) => value);
}

/**
 * A chunked body stays chunked. Without a body, `Content-Length: 0` keeps Node from adding a
 * chunked one.
 */
function framing(raw: RawHeaders, method: string): RawHeaders {
  if (valuesOf(raw, 'transfer-encoding').length > 0) return ['Transfer-Encoding', 'chunked'];
  const hasNoBody = valuesOf(raw, 'content-length').length === 0;
  return hasNoBody && !/^(GET|HEAD|DELETE|OPTIONS|TRACE)$/.test(method) ? ['Content-Length', '0'] : [];
}

function pairsOf(raw: RawHeaders): [string, string][] {
  return Array.from({ length: raw.length / 2 }, (_, at) => [raw[2 * at] ?? '', raw[2 * at + 1] ?? '']);
}
