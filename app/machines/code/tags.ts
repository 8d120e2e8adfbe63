import { type Language, languageOf } from './languages.ts';

/**
 * What the tag of a kernel's process says. A server that has started anew finds the contexts of a
 * machine by the tags of its processes: it keeps no other record of them.
 */
export type KernelTag = { id: string; language: Language; isDefault: boolean; mark: string };

const prefix = 'sandpit-code';

/** Returns the tag of a kernel's process. */
export function tagOf({ id, language, isDefault, mark }: KernelTag): string {
  return [prefix, id, language, isDefault ? 'default' : 'own', mark].join(':');
}

/** Returns the meaning of a tag; null for a process that is no kernel. */
export function kernelOf(tag: string): KernelTag | null {
  const [found, id = '', name = '', use, mark = ''] = tag.split(':');
  const language = languageOf(name);
  if (found !== prefix || language === null) return null;
  return { id, language, isDefault: use === 'default', mark };
}
