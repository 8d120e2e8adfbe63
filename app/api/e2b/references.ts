/**
 * E2B names templates and snapshots `[namespace/]name[:tag]`, in lower case; the tag `default` goes without saying.
 * A namespace is an owner's.
 */
const pattern = /^(?:(?<namespace>[a-z0-9_-]+)\/)?(?<name>[a-z0-9_-]+)(?::(?<tag>[a-z0-9_.-]+))?$/;

/** Returns the namespace of a user of this name. */
export function namespaceOf(userName: string): string {
  return userName.toLowerCase().replace(/[^a-z0-9_-]/g, '-');
}

/** Returns a reference as it is kept: without the owner's namespace and the tag `default`, in lower case. */
export function parseReference(text: string, ownNamespace: string): string {
  const { namespace, name, tag } = partsOf(text) as Parts;
  const isOwn = namespace === undefined || namespace === ownNamespace;
  return `${isOwn ? '' : `${namespace}/`}${name}${tag === undefined || tag === 'default' ? '' : `:${tag}`}`;
}

/** Returns the full form of a snapshot's name, without and with its tag; null where it is not a reference as it is kept. */
export function qualified(name: string | null, namespace: string): { name: string; withTag: string } | null {
  const parts = name === null ? null : partsOf(name);
  if (!parts || parts.namespace !== undefined || parseReference(name as string, namespace) !== name) return null;
  const full = `${namespace}/${parts.name}`;
  return { name: full, withTag: `${full}:${parts.tag ?? 'default'}` };
}

/** Returns a reference's name alone; the whole if it isn't one. */
export function aliasOf(reference: string): string {
  return partsOf(reference)?.name ?? reference;
}

type Parts = { namespace?: string; name: string; tag?: string };

function partsOf(text: string): Parts | null {
  return (pattern.exec(text.toLowerCase())?.groups as Parts | undefined) ?? null;
}
