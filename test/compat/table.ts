import Mocha from 'mocha';
import { writePart } from '../docs/marked.ts';
import { records } from './record.ts';

const { EVENT_RUN_END } = Mocha.Runner.constants;

/** A mocha reporter: writes the table into its page, or prints the failures if there are any. */
export default class CompatibilityTable extends Mocha.reporters.Base {
  constructor(runner: Mocha.Runner, options?: Mocha.MochaOptions) {
    super(runner, options);
    const { part, table } = records;
    runner.once(EVENT_RUN_END, () => {
      if (this.failures.length > 0) this.epilogue();
      else console.log(`${part.page}: ${writePart(part, table()) ? 'written' : 'up to date'}`);
    });
  }
}
