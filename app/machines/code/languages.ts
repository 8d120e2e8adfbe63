import { readAsset } from '../../../spec/assets.ts';

/** The languages that code can be in. */
export const languages = ['python', 'bash', 'javascript', 'typescript'] as const;
export type Language = (typeof languages)[number];

/** What E2B's and InstaVM's clients call them as well. */
const aliases: Record<string, Language> = {
  py: 'python',
  python3: 'python',
  sh: 'bash',
  shell: 'bash',
  js: 'javascript',
  node: 'javascript',
  ts: 'typescript',
};

/** One piece of code to run. `id` tells its messages from those of others. */
export type Execution = { id: number; code: string; env: Record<string, string> };

type Program = {
  /** The program of the image that runs the one in `programs/`. */
  name: string;
  args: (mark: string) => string[];
  encode: (execution: Execution) => string;
};

const node: Program = {
  name: 'node',
  args: (mark) => ['node', '-e', programText('code.cjs'), mark],
  encode: (execution) => `${JSON.stringify(execution)}\n`,
};

const programs: Record<Language, Program> = {
  python: {
    name: 'python3',
    args: (mark) => ['python3', '-c', programText('code.py'), mark],
    encode: (execution) => `${JSON.stringify(execution)}\n`,
  },
  bash: {
    name: 'bash',
    args: (mark) => ['bash', '-c', programText('code.sh'), 'bash', mark],
    encode: ({ id, code, env }) => {
      const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
      return [id, variables.length, ...variables, code].map((part) => `${part}\0`).join('');
    },
  },
  javascript: node,
  typescript: { ...node, encode: (execution) => `${JSON.stringify({ ...execution, isTypeScript: true })}\n` },
};

/** Returns the language of this name, in any case; null if there is none. */
export function languageOf(name: string): Language | null {
  const wanted = name.toLowerCase();
  return languages.find((each) => each === wanted) ?? aliases[wanted] ?? null;
}

/** Returns the program that the image must have. */
export function programOf(language: Language): string {
  return programs[language].name;
}

/** Returns the program and arguments that run code. Its messages bear the mark. */
export function argumentsOf(language: Language, mark: string): string[] {
  return programs[language].args(mark);
}

/** Returns the bytes that make that program run a piece of code. */
export function requestOf(language: Language, execution: Execution): Buffer {
  return Buffer.from(programs[language].encode(execution));
}

const texts = new Map<string, string>();

function programText(name: 'code.py' | 'code.sh' | 'code.cjs'): string {
  const text = texts.get(name) ?? readAsset(name).toString();
  texts.set(name, text);
  return text;
}
