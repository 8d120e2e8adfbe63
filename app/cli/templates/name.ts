import { globalName } from '../../api/e2b/references.ts';

/** The longest name that the contract lets a client ask for. */
const maxLength = 256;

/** Returns a template's name as it is stored. Throws an Error that says what a name is. */
export function nameOf(given: string): string {
  const name = given.length > maxLength ? null : globalName(given);
  if (name !== null) return name;
  throw new Error(`'${given}' is no name of a template: use letters, digits, - and _, and :tag at the end if you like`);
}
