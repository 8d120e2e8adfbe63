import { expect } from 'chai';
import { rejection } from '../../sdk.ts';
import { eachSdkOnMachines, type Sandbox, type Session } from '../session.ts';

const refusal = 'unauthorized access, please provide a valid access token or method signing if supported';

/** Returns the SDK's object for the same sandbox with another token. */
function withToken({ sdk, sandbox, url, key }: Session, token: string | null): Sandbox {
  const given = token === null ? {} : { envdAccessToken: token };
  const addresses = { apiKey: key, apiUrl: url, sandboxUrl: url };
  return new sdk.Sandbox({ ...addresses, sandboxId: sandbox.sandboxId, envdVersion: '0.6.13', ...given });
}

describe("E2B's SDK on machines: access tokens", () => {
  const { works } = eachSdkOnMachines();

  works('create: secure', async (session) => {
    const { sandbox, sdk } = session;
    for (const token of [null, 'wrong', '']) {
      const other = withToken(session, token);
      const error = await rejection(other.commands.run('true'));
      expect(error, String(error)).to.be.instanceOf(sdk.AuthenticationError);
      expect(await rejection(other.commands.list())).to.be.instanceOf(sdk.AuthenticationError);
      expect(await rejection(other.files.list('/'))).to.be.instanceOf(sdk.AuthenticationError);
      expect(await rejection(other.files.read('/etc/passwd'))).to.be.instanceOf(sdk.AuthenticationError);
      expect(await rejection(other.files.write('a', 'b'))).to.be.instanceOf(sdk.AuthenticationError);
      expect(await other.isRunning()).to.equal(true);
    }
    expect((await sandbox.commands.run('echo hi')).stdout).to.equal('hi\n');
  });

  works('create: secure: a token of its own', async (session) => {
    const { Sandbox, sandbox, url } = session;
    const other = await Sandbox.create();
    const list = (id: string, token: string) =>
      fetch(`${url}/process.Process/List`, {
        method: 'POST',
        headers: {
          'Content-Type': 'application/json',
          'Connect-Protocol-Version': '1',
          'E2b-Sandbox-Id': id,
          'E2b-Sandbox-Port': '49983',
          'X-Access-Token': token,
        },
        body: '{}',
      });
    const [mine, others] = [tokenOf(sandbox), tokenOf(other)];
    expect(mine).not.to.equal(others);
    expect((await list(sandbox.sandboxId, mine)).status).to.equal(200);
    const refused = await list(sandbox.sandboxId, others);
    expect(refused.status).to.equal(401);
    expect(((await refused.json()) as { message: string }).message).to.equal(refusal);
    await other.kill();
    expect((await list(other.sandboxId, others)).status).to.equal(502);
  });

  works('connect: the same token', async ({ Sandbox, sandbox }) => {
    expect(tokenOf(await Sandbox.connect(sandbox.sandboxId))).to.equal(tokenOf(sandbox));
  });
});

/** Returns the token that the SDK keeps in a protected member. */
function tokenOf(sandbox: Sandbox): string {
  const { envdAccessToken } = sandbox as unknown as { envdAccessToken?: string };
  if (envdAccessToken === undefined) throw new Error('the sandbox has no token');
  return envdAccessToken;
}
