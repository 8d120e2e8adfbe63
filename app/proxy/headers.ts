/** Headers as they came, names and values in turn. */
export type RawHeaders = string[];

/** What concerns one connection only and is never passed on (RFC 9110, 7.6.1), whether `Connection` names it or not. */
const hopByHop = ['connection', 'proxy-connection', 'keep-alive', 'te', 'transfer-encoding', 'upgrade'];

/** Returns the headers that are to be passed on, in their order, spelling and number. */
export function endToEnd(raw: RawHeaders): RawHeaders {
  const named = valuesOf(raw, 'connection').flatMap((value) => value.split(','));
  const dropped = new Set([...hopByHop, ...named.map((name) => name.trim().toLowerCase())]);
  return pairsOf(raw)
    .filter(([name]) => !dropped.has(name.toLowerCase()))
    .flat();
}

/** Returns a request's headers for the target: its own `Host` in the place of the old one. */
export function forTarget(raw: RawHeaders, method: string, host: string): RawHeaders {
  const kept = pairsOf(endToEnd(raw)).filter(([name]) => name.toLowerCase() !== 'host');
  const at = pairsOf(raw).findIndex(([name]) => name.toLowerCase() === 'host');
  return [...kept.toSpliced(Math.max(at, 0), 0, ['Host', host]).flat(), ...framing(raw, method)];
}

/** Returns all values of a header, whose name is given in lower case. */
export function valuesOf(raw: RawHeaders, wanted: string): string[] {
  return pairsOf(raw)
    .filter(([name]) => name.toLowerCase() === wanted)
    .map(([, value]) => value);
}

/** A body of unknown length stays one. Where there is none, Node would announce one after these methods. */
function framing(raw: RawHeaders, method: string): RawHeaders {
  if (valuesOf(raw, 'transfer-encoding').length > 0) return ['Transfer-Encoding', 'chunked'];
  const isBare = valuesOf(raw, 'content-length').length === 0;
  return isBare && !/^(GET|HEAD|DELETE|OPTIONS|TRACE)$/.test(method) ? ['Content-Length', '0'] : [];
}

function pairsOf(raw: RawHeaders): [string, string][] {
  return Array.from({ length: raw.length / 2 }, (_, at) => [raw[2 * at] ?? '', raw[2 * at + 1] ?? '']);
}
