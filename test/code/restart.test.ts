import { join } from 'node:path';
import { expect } from 'chai';
import { serve } from '../helpers/processes/process.ts';
import { temporaryDirectory } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';

const key = `e2b_${'5'.repeat(40)}`;

describe('code of a server that is killed', () => {
  it('is interrupted when the next server looks; contexts keep their variables, and nothing is left over', async () => {
    const db = join(temporaryDirectory(), 'sandpit.db');
    const start = () => serve(['--db', db, '--api-key', key, '--machines', 'process']);
    let server = await start();
    const owned = async (path: string, body?: object) => {
      const headers = { 'X-API-Key': key, 'Content-Type': 'application/json' };
      const init = body ? { method: 'POST', body: JSON.stringify(body) } : {};
      return (await fetch(server.url + path, { ...init, headers })).json() as Promise<Record<string, string>>;
    };
    const { sandboxID: id, envdAccessToken: token } = await owned('/v2/sandboxes', {
      templateID: 'base',
      timeout: 600,
    });
    const headers = {
      'E2b-Sandbox-Id': id as string,
      'X-Access-Token': token as string,
      'Content-Type': 'application/json',
    };
    const ask = async (path: string, body: object) =>
      (
        await fetch(`${server.url}/code-interpreter${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
      ).text();
    const { id: context_id } = JSON.parse(await ask('/contexts', { language: 'bash' }));
    const { session_id } = await owned(`/v1/vms/${id}`);
    const background = await owned('/execute_async', {
      session_id,
      command: 'touch began; sleep 600',
      language: 'bash',
    });
    const cut = ask('/execute', { code: 'kept=yes; touch here; exec 5>busy; sleep 600', context_id }).catch(
      () => 'cut',
    );
    const hasBegun = async () =>
      (await ask('/execute', { code: 'ls', language: 'bash' })).includes('here') &&
      (await ask('/execute', { code: 'ls', language: 'bash' })).includes('began');
    await until('both have begun', hasBegun);
    await server.stop('SIGKILL');
    expect(await cut).to.not.contain('end_of_execution');
    server = await start();
    expect(await ask('/execute', { code: 'echo $kept', context_id })).to.contain('"text":"yes\\n"');
    const ended = await owned(`/v1/executions/${background.task_id}`);
    expect(ended).to.deep.include({ is_complete: true, exit_code: -1 });
    const count = 'cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" " " | grep -c "touch began; sleep [6]00"';
    const sleeping = await ask('/execute', { code: count, language: 'bash' });
    expect(sleeping).to.contain('"text":"0\\n"');
    await owned('/kill', { session_id });
    await server.stop();
  });
});
