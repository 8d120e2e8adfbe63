/** What a check of the machines found. */
export type MachineFinding = {
  check:
    | 'engine'
    | 'limits'
    | 'restarts'
    | 'image'
    | 'machine'
    | 'command'
    | 'memory'
    | 'processes'
    | 'network'
    | 'pause'
    | 'snapshot'
    | 'removal';
  /** empty if all is well; otherwise what is wrong and how to fix it */
  problems: string[];
  /** what to report if all is well */
  note: string;
};
