import { stripTypeScriptTypes } from 'node:module';

/**
 * Returns TypeScript with its types blanked out, as Node runs it. Node 24 warns, on the first call,
 * that the function may change; users can do nothing about that, so the warning is dropped.
 */
export function stripTypes(code: string): string {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(code);
  } finally {
    process.emitWarning = emitWarning;
  }
}
