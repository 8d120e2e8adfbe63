/** One instruction of a template. What its arguments mean depends on the type. */
export type BuildStep = {
  type: 'COPY' | 'ENV' | 'RUN' | 'USER' | 'WORKDIR';
  /**
   * COPY: source, target, and perhaps owner and mode, which may be empty; ENV: names and values in
   * turn; RUN: the command, and perhaps the user; USER: the user; WORKDIR: the directory
   */
  args: string[];
  /** the archive with the files of a COPY; null: any other type */
  filesHash: string | null;
  /** whether to run it although an earlier build has done so */
  force: boolean;
};

/** What to build. */
export type BuildSpec = {
  /** an image, or a template in the stored form of E2B's references */
  from: { image: string } | { template: string };
  steps: BuildStep[];
  /** variables of all steps and of the start command; a `$` in a value means nothing */
  env: Record<string, string>;
  startCmd: string | null;
  readyCmd: string | null;
  /** whether to run all steps although an earlier build has done so */
  force: boolean;
};
