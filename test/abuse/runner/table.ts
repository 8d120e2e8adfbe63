import Mocha from 'mocha';
import { report } from './record.ts';

const { EVENT_RUN_END, EVENT_SUITE_BEGIN } = Mocha.Runner.constants;

/** A mocha reporter that shows progress, then prints the table and any failures. */
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
