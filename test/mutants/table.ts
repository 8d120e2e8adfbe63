import Mocha from 'mocha';
import { writePart } from '../docs/marked.ts';
import { mutantTable, part } from './all.ts';

const { EVENT_RUN_END } = Mocha.Runner.constants;

/** A reporter for mocha: writes the table of mutants into its page if each was caught, else prints the failures. */
export default class MutantTable extends Mocha.reporters.Base {
  constructor(runner: Mocha.Runner, options?: Mocha.MochaOptions) {
    super(runner, options);
    runner.once(EVENT_RUN_END, () => {
      if (this.failures.length > 0) this.epilogue();
      else console.log(`${part.page}: ${writePart(part, mutantTable()) ? 'written' : 'up to date'}`);
    });
  }
}
