import { expect } from 'chai';
import { AgentError } from '../../../app/machines/agent/error.ts';
import { frameTypes } from '../../../app/machines/agent/frames.ts';
import { ArgumentWriter } from '../../../app/machines/agent/values.ts';
import { explainStart, shellProblem } from '../../../app/machines/images/shell.ts';
import { connectFake } from '../agent/fake-agent.ts';
import { endMachines, startMachine } from '../process/machine.ts';

const advice =
  "This image has no /bin/bash, which E2B's clients start commands and terminals with: use an image that has it";

describe('the shell of an image', () => {
  afterEach(endMachines);

  /** Answers a question about a file with an error. */
  const problemAfter = async (code: number) => {
    const { fake, agent } = await connectFake();
    const problem = shellProblem(agent);
    problem.catch(() => {});
    const { call } = await fake.take(frameTypes.open);
    fake.send(call, frameTypes.error, new ArgumentWriter().u8(code).string('words').bytes());
    return problem;
  };

  it('is no problem when it is there', async () => {
    expect(await shellProblem((await startMachine()).agent)).to.equal(null);
  });

  it('is one in words when it is missing; other errors say nothing about it', async () => {
    expect(await problemAfter(2)).to.equal(advice);
    const other = await problemAfter(7).catch((error) => error);
    expect(other).to.be.instanceOf(AgentError).with.property('code', 'internal');
  });

  it('explains why a command could not start, and leaves other errors alone', () => {
    const missing = new AgentError('invalid_argument', "cannot run '/bin/bash': No such file or directory");
    expect(explainStart(missing, '/bin/bash')).to.include({ code: 'invalid_argument', message: advice });
    expect(explainStart(missing, '/bin/other')).to.equal(missing);
    const full = new AgentError('resource_exhausted', 'cannot start a process');
    expect(explainStart(full, '/bin/bash')).to.equal(full);
  });
});
