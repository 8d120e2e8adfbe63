/**
 * E2B names templates and snapshots `[namespace/]name[:tag]`, in lower case. The tag defaults to
 * `default`. Each user has a namespace.
 */
const pattern = /^(?:(?<namespace>[a-z0-9_-]+)\/)?(?<name>[a-z0-9_-]+)(?::(?<tag>[a-z0-9_.-]+))?$/;

type Parts = { namespace?: string; name: string; tag?: string };

/** Returns the namespace of the user with this name. */
export function namespaceOf(userName: string): string {
  return userName.toLowerCase().replace(/[^a-z0-9_-]/g, '-');
}

/**
 * Returns a reference in its stored form: in lower case, without the owner's namespace and without
 * the tag `default`.
 */
export function parseReference(text: string, ownNamespace: string): string {
  const { namespace, name, tag } = partsOf(text) as Parts;
  const isOwn = namespace === undefined || namespace === ownNamespace;
  return `${isOwn ? '' : `${namespace}/`}${name}${tag === undefined || tag === 'default' ? '' : `:${tag}`}`;
}

/** Returns the stored form of a name without namespace; null for a text that is none. */
export function globalName(text: string): string | null {
  const parts = partsOf(text);
  return parts === null || parts.namespace !== undefined ? null : parseReference(text, '');
}

/**
 * Returns a snapshot's name with its namespace, without and with its tag; null for a name that is
 * not a reference in its stored form.
 */
export function qualified(name: string | null, namespace: string): { name: string; withTag: string } | null {
  const parts = name === null ? null : partsOf(name);
  if (!parts || parts.namespace !== undefined || parseReference(name as string, namespace) !== name) return null;
  const full = `${namespace}/${parts.name}`;
  return { name: full, withTag: `${full}:${parts.tag ?? 'default'}` };
}

/** Returns the name without namespace and tag; the whole text if it is not a reference. */
export function aliasOf(reference: string): string {
  return partsOf(reference)?.name ?? reference;
}

/** Returns a stored reference without its tag. */
export function untagged(reference: string): string {
  return reference.replace(/:.*$/, '');
}

/** Returns the tag of a stored reference. */
export function tagOf(reference: string): string {
  return partsOf(reference)?.tag ?? 'default';
}

/** Returns the stored reference of an untagged one with a tag, which may be `default`. */
export function withTag(base: string, tag: string): string {
  return tag === 'default' ? base : `${base}:${tag}`;
}

/** Returns the name that tags of a snapshot are added to: its own without a tag, or its id. */
export function taggedName({ id, name }: { id: string; name: string | null }, namespace: string): string {
  return name !== null && qualified(name, namespace) ? untagged(name) : id;
}

function partsOf(text: string): Parts | null {
  return (pattern.exec(text.toLowerCase())?.groups as Parts | undefined) ?? null;
}
