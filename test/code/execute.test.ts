import { expect } from 'chai';
import { type Machine, startMachine, useMachine } from '../helpers/clients/machine-client.ts';
import { until } from '../helpers/until.ts';

type Line = { type: string; text?: string; name?: string; value?: string; execution_count?: number } & Record<
  string,
  unknown
>;
type Told = {
  stdout: string;
  stderr: string;
  results: Line[];
  error: Line | undefined;
  count: number | undefined;
  text: string;
};

const json = { 'Content-Type': 'application/json' };

describe("E2B's code interpreter in a machine", () => {
  const machine = useMachine();

  const send = (path: string, body?: object, method = 'POST', on: Machine = machine) =>
    on.call(`/code-interpreter${path}`, {
      method,
      headers: { ...on.headers, ...json },
      ...(body && { body: JSON.stringify(body) }),
    });
  const run = async (body: object, on = machine): Promise<Told> => {
    const { status, text } = await send('/execute', body, 'POST', on);
    expect(status, text).to.equal(200);
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Line);
    const printed = (type: string) =>
      lines
        .filter((line) => line.type === type)
        .map((line) => line.text)
        .join('');
    expect(lines.at(-1)?.type).to.equal('end_of_execution');
    return {
      stdout: printed('stdout'),
      stderr: printed('stderr'),
      results: lines.filter(({ type }) => type === 'result'),
      error: lines.find(({ type }) => type === 'error'),
      count: lines.find(({ type }) => type === 'number_of_executions')?.execution_count,
      text,
    };
  };
  const js = (code: string, more: object = {}) => run({ code, language: 'js', ...more });
  const bash = (code: string, more: object = {}) => run({ code, language: 'bash', ...more });

  it('keeps variables, shows the value of the last expression and counts', async () => {
    const first = await js('const x = 5; console.log("out"); console.error("err"); [x, {b: 1}]');
    expect(first).to.deep.include({ stdout: 'out\n', stderr: 'err\n', error: undefined });
    const [{ text, json: data, is_main_result: isMain } = {} as Line] = first.results;
    expect([text, data, isMain]).to.deep.equal(['[ 5, { b: 1 } ]', [5, { b: 1 }], true]);
    const second = await js('await Promise.resolve(x * 2)');
    expect(second.results[0]?.text).to.equal('10');
    expect(second.count).to.equal((first.count ?? 0) + 1);
    expect((await bash('cd /usr; y=7')).error).to.equal(undefined);
    expect((await bash('pwd; echo $y')).stdout).to.equal('/usr\n7\n');
  });

  it('gives code variables for one call, and takes them back', async () => {
    const env_vars = { A: 'é "\' $x' };
    expect((await bash('echo "$A"', { env_vars })).stdout).to.equal(`${env_vars.A}\n`);
    expect((await js('process.env.A', { env_vars })).results[0]?.text).to.equal(env_vars.A);
    expect((await bash('echo "[$A]"')).stdout).to.equal('[]\n');
    expect((await js('process.env.A')).results).to.deep.equal([]);
    const other = await startMachine(machine.app, machine.url, { envVars: { OWN: 'sandbox' } });
    expect((await run({ code: 'echo $OWN', language: 'bash' }, other)).stdout).to.equal('sandbox\n');
  });

  it('tells errors, and goes on after them', async () => {
    const thrown = await js('throw new TypeError("bad")');
    expect(thrown.error).to.include({ name: 'TypeError', value: 'bad' });
    expect(thrown.error?.traceback).to.match(/^TypeError: bad\n +at /);
    expect((await js('if (')).error?.name).to.equal('SyntaxError');
    const failed = await bash('echo half; false');
    expect([failed.stdout, failed.error?.value]).to.deep.equal(['half\n', 'The script ended with exit code 1']);
    expect((await bash('echo still')).stdout).to.equal('still\n');
  });

  it('says that the process of a context died, and starts it anew', async () => {
    await js('globalThis.kept = 1');
    const died = await js('process.exit(4)');
    expect(died.error).to.include({ name: 'KernelDied' });
    expect(died.error?.value).to.match(
      /javascript process .* exit code 4\. It is started anew: its variables are gone/,
    );
    expect((await js('typeof kept')).results[0]?.text).to.equal('undefined');
    expect((await bash('kill -9 $$')).error?.value).to.contain('signal 9');
    expect((await bash('exit 3; echo no')).error?.value).to.contain('exit code 3');
    expect((await bash('echo back')).stdout).to.equal('back\n');
  });

  it('answers in ASCII, so that no client finds a line break inside a line', async () => {
    const odd = 'a\u0085b\u2028c\u2029d\u{1f600}\0e\r';
    const { results, text } = await js(JSON.stringify(odd));
    expect(results[0]?.text).to.equal(odd);
    expect(text).to.match(/^[\x20-\x7e\n]*$/);
    expect((await bash("printf '\\xff\\0\\xc3'")).stdout).to.equal('\ufffd\0\ufffd');
  });

  it('runs one piece of code of a context after another, and those of others side by side', async () => {
    const { id } = (await send('/contexts', { language: 'bash' })).json() as unknown as { id: string };
    const order = await Promise.all(
      [1, 2, 3].map((n) => run({ code: `echo ${n} after $last; last=${n}`, context_id: id })),
    );
    expect(order.map(({ stdout }) => stdout)).to.deep.equal(['1 after\n', '2 after 1\n', '3 after 2\n']);
    const waiting = run({ code: 'until [ -e go ]; do sleep 0.01; done', context_id: id });
    await bash('touch go');
    expect((await waiting).error).to.equal(undefined);
  });

  it('interrupts code when its client leaves, and keeps the variables', async () => {
    for (const [language, code, check] of [
      ['bash', 'touch here; z=1; sleep 1000; touch never', '[ ! -e never ] && echo $z'],
      ['js', 'require("fs").writeFileSync("here", ""); var z = 1; while (true);', 'console.log(z)'],
    ]) {
      await bash('rm -f here');
      const leaving = new AbortController();
      const left = machine.call('/code-interpreter/execute', {
        method: 'POST',
        headers: { ...machine.headers, ...json },
        body: JSON.stringify({ code, language }),
        signal: leaving.signal,
      });
      const isHere = async () => (await machine.read('here')).status === 200;
      await until('the code begins', isHere);
      leaving.abort();
      await left.catch(() => {});
      expect((await run({ code: check, language })).stdout, language).to.equal('1\n');
    }
  });

  it('makes, lists, restarts and removes contexts', async () => {
    const made = await send('/contexts', { language: 'js', cwd: '/usr' });
    const { id, ...shown } = made.json() as unknown as { id: string };
    expect(shown).to.deep.equal({ language: 'javascript', cwd: '/usr' });
    const listed = (await send('/contexts', undefined, 'GET')).json() as unknown as { id: string }[];
    expect(listed.filter((each) => each.id === id)).to.deep.equal([{ id, ...shown }]);
    const here = (code: string) => run({ code, context_id: id });
    expect((await here('var own = 1; process.cwd()')).results[0]?.text).to.equal('/usr');
    expect((await js('typeof own')).results[0]?.text).to.equal('undefined');
    expect((await send(`/contexts/${id}/restart`)).status).to.equal(200);
    expect((await here('typeof own')).results[0]?.text).to.equal('undefined');
    expect((await send(`/contexts/${id}`, undefined, 'DELETE')).status).to.equal(200);
    const gone = await send('/execute', { code: '1', context_id: id });
    expect([gone.status, gone.json().message]).to.deep.equal([404, `Context ${id} not found`]);
    expect((await send(`/contexts/${id}/restart`)).status).to.equal(404);
    expect((await send(`/contexts/${id}`, undefined, 'DELETE')).status).to.equal(404);
  });

  it('400: an unknown language, both a context and a language, and what the system can not take', async () => {
    const unknown = await send('/execute', { code: '1', language: 'cobol' });
    expect([unknown.status, unknown.json().message]).to.deep.equal([
      400,
      "Unknown language 'cobol': use one of python, bash, javascript, typescript",
    ]);
    expect((await send('/contexts', { language: 'cobol' })).status).to.equal(400);
    expect((await send('/execute', { code: '1', language: 'js', context_id: 'x' })).status).to.equal(400);
    expect((await send('/execute', { code: 'echo a\0b', language: 'bash' })).status).to.equal(400);
    for (const env_vars of [{ '': 'x' }, { 'A=B': 'x' }, { A: 'x\0' }]) {
      expect((await send('/execute', { code: '1', language: 'js', env_vars })).status).to.equal(400);
    }
    expect((await js('1', { env_vars: { 'odd name': '' } })).error).to.equal(undefined);
  });

  it('429: more than 32 contexts, or more than 32 pieces of code for one', async () => {
    const other = await startMachine(machine.app, machine.url);
    const on = (path: string, body: object) => send(path, body, 'POST', other);
    const { id } = (await on('/contexts', { language: 'bash' })).json() as unknown as { id: string };
    const all = Array.from({ length: 33 }, () =>
      on('/execute', { code: 'until [ -e go ]; do sleep 0.01; done', context_id: id }),
    );
    const first = await Promise.race(all);
    expect(first.status).to.equal(429);
    await other.write('go', '');
    expect((await Promise.all(all)).filter(({ status }) => status === 200)).to.have.length(32);
    const made = await Promise.all(Array.from({ length: 36 }, () => on('/contexts', { language: 'bash' })));
    expect(made.map(({ status }) => status)).to.include(429);
    expect(made.filter(({ status }) => status === 200).length).to.be.within(31, 35);
  });

  it('401 without the access token; contexts are open to who may reach the port', async () => {
    const headers = { 'E2b-Sandbox-Id': machine.id, ...json };
    const body = JSON.stringify({ code: '1', language: 'js' });
    const bare = { headers: { 'E2b-Sandbox-Id': machine.id, ...json } };
    for (const [method, path, sent] of [
      ['POST', '/execute', body],
      ['GET', '/contexts'],
      ['POST', '/contexts', '{}'],
      ['DELETE', '/contexts/x'],
      ['POST', '/contexts/x/restart'],
    ]) {
      const asked = await machine.call(`/code-interpreter${path}`, {
        method,
        ...bare,
        ...(sent && { body: sent }),
      } as RequestInit & { headers: Record<string, string> });
      expect(asked.status, path).to.equal(401);
    }
    expect((await send('/health', undefined, 'GET')).status).to.equal(200);
    // The contract knows these paths with their prefix only.
    const anyone = async (path: string, init: RequestInit = {}, more = {}) =>
      (await fetch(machine.url + path, { ...init, headers: { ...headers, ...more } })).status;
    expect(await anyone('/code-interpreter/execute', { method: 'POST', body })).to.equal(401);
    expect(await anyone('/code-interpreter/contexts')).to.equal(401);
    const port = { 'E2b-Sandbox-Port': '49999' };
    expect(await anyone('/contexts', {}, port)).to.equal(200);
    expect(await anyone('/health', {}, port)).to.equal(200);
    expect(await anyone('/execute', { method: 'POST', body }, port)).to.equal(401);
    const closed = await startMachine(machine.app, machine.url, { network: { allowPublicTraffic: false } });
    expect(await anyone('/contexts', {}, { 'E2b-Sandbox-Id': closed.id, ...port })).to.equal(403);
  });

  it('the connection to the machine may break: contexts stay, and what ran is interrupted', async () => {
    const other = await startMachine(machine.app, machine.url);
    const { id } = (await send('/contexts', { language: 'bash' }, 'POST', other)).json() as unknown as { id: string };
    await run({ code: 'kept=yes', context_id: id }, other);
    const cut = send('/execute', { code: 'touch here; echo begun; sleep 1000', context_id: id }, 'POST', other);
    await until('the code begins', async () => (await other.read('here')).status === 200);
    const { machines } = machine.app.server.context;
    (await machines?.agentOf(other.id))?.close();
    expect((await cut).text).to.match(/SandboxError/);
    expect((await run({ code: 'echo $kept', context_id: id }, other)).stdout).to.equal('yes\n');
  });
});
