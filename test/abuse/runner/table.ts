import Mocha from 'mocha';
import { report } from './record.ts';

const { EVENT_RUN_END, EVENT_SUITE_BEGIN } = Mocha.Runner.constants;

/** A reporter for mocha: says what it is at, then prints the table, and the failures where there are any. */
export default class AbuseTable extends Mocha.reporters.Base {
  constructor(runner: Mocha.Runner, options?: Mocha.MochaOptions) {
    super(runner, options);
    runner.on(EVENT_SUITE_BEGIN, ({ title }) => void (title && console.error(`... ${title}`)));
    runner.once(EVENT_RUN_END, () => {
      console.log(report());
      if (this.failures.length > 0) this.epilogue();
    });
  }
}
