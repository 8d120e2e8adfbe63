import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sandpit } from '../../helpers/processes/process.ts';
import { preparePython } from '../../helpers/python.ts';

export const here = fileURLToPath(new URL('.', import.meta.url));

/** Returns the path of a Python that has InstaVM's package. */
export function preparedPython(): string {
  return preparePython('instavm', join(here, 'requirements.txt'));
}

/** Creates a user and returns an API key of theirs: `get_current_user` needs a user. */
export async function createKey(db: string): Promise<string> {
  await sandpit(['users', 'create', 'alice', '--db', db]);
  const { code, stdout, stderr } = await sandpit(['keys', 'create', '--user', 'alice', '--db', db]);
  if (code !== 0) throw new Error(`The key could not be made: ${stderr}`);
  return stdout.trim();
}
