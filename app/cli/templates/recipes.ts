/** What a template is built from, in the form of E2B's builds. */
export type Recipe = {
  /** what it is for, in a few words */
  about: string;
  /** the name that clients ask for */
  name: string;
  image: string;
  memoryMb: number;
  steps: { type: 'RUN'; args: string[] }[];
};

/** The packages for Python that E2B's code interpreter is expected to have. */
export const codePackages = ['ipykernel==7.4.0', 'matplotlib==3.11.2', 'pandas==3.1.1', 'e2b-charts==1.0.0'];

const asRoot = (text: string) => ({ type: 'RUN' as const, args: [text, 'root'] });

/** Each step does nothing if the image has what it adds. */
const code: Recipe = {
  about: "runs code for E2B's code interpreter and InstaVM's execute: Debian, Python, ipykernel, pandas, matplotlib",
  name: 'code-interpreter-v1',
  image: 'docker.io/library/python:3.13-slim-bookworm',
  memoryMb: 1024,
  steps: [
    asRoot('id -u user >/dev/null 2>&1 || useradd --create-home --shell /bin/bash user'),
    asRoot(
      'for program in bash python3 node git curl; do command -v $program >/dev/null || missing=yes; done\n' +
        'python3 -m pip --version >/dev/null 2>&1 || missing=yes\n' +
        '[ -z "$missing" ] || { apt-get update -q && ' +
        'DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends ' +
        'bash python3 python3-pip nodejs git curl ca-certificates && rm -rf /var/lib/apt/lists/*; }',
    ),
    asRoot(
      `PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --no-cache-dir --root-user-action ignore ${codePackages.join(' ')}`,
    ),
  ],
};

/** The templates that come with Sandpit, by the name to build them with. */
export const recipes: Record<string, Recipe> = { 'code-interpreter': code };
