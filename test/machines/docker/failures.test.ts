import { expect } from 'chai';
import { whileFreezable } from '../../../app/machines/docker/containers/freeze.ts';
import { machineError } from '../../../app/machines/docker/engine/failures.ts';

/** What dockerode throws when an engine refuses a call. */
function refusal(statusCode: number, message: string): Error {
  return Object.assign(new Error(`(HTTP code ${statusCode}) server error - ${message} `), {
    statusCode,
    json: { message },
  });
}

describe('the failures of a container engine', () => {
  const codes: [Error, string][] = [
    [Object.assign(new Error('connect ENOENT /run/docker.sock'), { code: 'ENOENT' }), 'unavailable'],
    [Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }), 'unavailable'],
    [Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' }), 'unavailable'],
    [refusal(404, 'No such image: some/image:latest'), 'no_image'],
    [refusal(404, 'failed to find image some/image: some/image: image not known'), 'no_image'],
    [refusal(500, 'mkdir /var/lib/docker/overlay2/x: no space left on device'), 'full'],
    [refusal(500, 'fork/exec /usr/bin/containerd-shim: cannot allocate memory'), 'full'],
    [refusal(500, 'could not find an available, non-overlapping IPv4 address pool among the defaults'), 'full'],
    [refusal(400, 'Unknown runtime specified runsc'), 'unsupported'],
    [refusal(400, 'Minimum memory limit allowed is 6MB'), 'unsupported'],
    [refusal(500, 'committing container: writing blob: no space left on device'), 'full'],
    [refusal(409, 'Container 4f is not running'), 'gone'],
    [refusal(409, 'Container 4f is paused, unpause the container before exec'), 'gone'],
    [refusal(404, 'No such container: 4f'), 'gone'],
    [refusal(500, 'something else'), 'failed'],
  ];
  for (const [error, code] of codes)
    it(`are ${code} for: ${error.message.trim()}`, () => {
      const mapped = machineError(error, 'start the machine');
      expect(mapped.code).to.equal(code);
      if (code !== 'unsupported') expect(mapped.message).to.not.include('/');
      expect((mapped.cause as Error).message).to.not.equal('');
    });

  it('are tried again, a few times, when processes were too busy to be frozen, and only then', async () => {
    const busy = machineError(new Error('Cannot pause container x: unable to freeze: unknown'), 'pause the machine');
    const other = machineError(new Error('Cannot pause container x: no such file'), 'pause the machine');
    for (const [error, failures, expected] of [
      [busy, 2, 'done after 3'],
      [busy, 9, 'failed after 5'],
      [other, 1, 'failed after 1'],
    ] as const) {
      let calls = 0;
      const work = async () => {
        if (calls++ < failures) throw error;
      };
      const outcome = await whileFreezable(work).then(
        () => 'done',
        () => 'failed',
      );
      expect(`${outcome} after ${calls}`).to.equal(expected);
    }
  });
});
