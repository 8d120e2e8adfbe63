import Mocha from 'mocha';
import { mutantTable } from './all.ts';

const { EVENT_RUN_END } = Mocha.Runner.constants;

/** A reporter for mocha: prints the table of mutants when each was caught, else what was not. */
export default class MutantTable extends Mocha.reporters.Base {
  constructor(runner: Mocha.Runner, options?: Mocha.MochaOptions) {
    super(runner, options);
    runner.once(EVENT_RUN_END, () => {
      if (this.failures.length > 0) this.epilogue();
      else console.log(mutantTable());
    });
  }
}
