import Mocha from 'mocha';
import { table } from './record.ts';

const { EVENT_RUN_END } = Mocha.Runner.constants;

/** A reporter for mocha: prints the compatibility table when everything passed, else the failures. */
export default class CompatibilityTable extends Mocha.reporters.Base {
  constructor(runner: Mocha.Runner, options?: Mocha.MochaOptions) {
    super(runner, options);
    runner.once(EVENT_RUN_END, () => {
      if (this.failures.length > 0) this.epilogue();
      else console.log(table());
    });
  }
}
