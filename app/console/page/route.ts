import { useEffect, useState } from 'preact/hooks';

/** The parts of the address after `#/`, e.g. `['sandboxes', 'i1a2']`. */
export type Route = string[];

function read(): Route {
  const path = location.hash.replace(/^#\/?/, '').split('?', 1)[0] ?? '';
  return path.split('/').filter(Boolean).map(decode);
}

/** Somebody may have typed the address: what does not decode stays as it is. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Returns the current route, and draws again when it changes. */
export function useRoute(): Route {
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const look = () => setRoute(read());
    addEventListener('hashchange', look);
    return () => removeEventListener('hashchange', look);
  }, []);
  return route;
}

/** Returns the address of a page. */
export function hrefOf(...parts: string[]): string {
  return `#/${parts.map(encodeURIComponent).join('/')}`;
}

export function goTo(...parts: string[]): void {
  location.hash = hrefOf(...parts);
}
