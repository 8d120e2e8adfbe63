/** A setting of the server: its names, its meaning, its default and its reader. */
export type Setting<T> = {
  variable: string;
  flag: string;
  argument: string;
  help: string;
  fallback: T;
  /** Returns the value of the text. Throws an Error whose message says which values are allowed. */
  read: (text: string) => T;
};
