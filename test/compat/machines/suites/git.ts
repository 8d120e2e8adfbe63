import { expect } from 'chai';
import { rejection } from '../../sdk.ts';
import { eachSdkOnMachines, type Session } from '../session.ts';

/** Makes a repository with one commit. Returns its path. */
async function repository({ sandbox, folder }: Session, name = 'source'): Promise<string> {
  const path = `${folder}/${name}`;
  await sandbox.git.init(path, { initialBranch: 'main' });
  await sandbox.files.write(`${path}/a`, 'one\n');
  await sandbox.git.add(path);
  await sandbox.git.commit(path, 'First', { authorName: 'Ada', authorEmail: 'ada@example.com' });
  return path;
}

describe("E2B's SDK on machines: git", () => {
  const { works } = eachSdkOnMachines();

  works('git.init, add, commit', async (session) => {
    const { sandbox } = session;
    const path = await repository(session);
    const { stdout } = await sandbox.commands.run("git log --format='%an %ae %s'", { cwd: path });
    expect(stdout).to.equal('Ada ada@example.com First\n');
  });

  works('git.status', async (session) => {
    const { sandbox } = session;
    const path = await repository(session);
    expect(await sandbox.git.status(path)).to.deep.include({ currentBranch: 'main', isClean: true });
    await sandbox.files.write(`${path}/b`, 'new');
    await sandbox.files.write(`${path}/a`, 'two\n');
    await sandbox.git.add(path, { files: ['a'] });
    const status = await sandbox.git.status(path);
    expect(status).to.include({ isClean: false, hasStaged: true, hasUntracked: true, stagedCount: 1 });
    expect(status.fileStatus.map(({ name }) => name)).to.have.members(['a', 'b']);
  });

  works('git.branches, createBranch, checkoutBranch, deleteBranch', async (session) => {
    const { sandbox } = session;
    const path = await repository(session);
    await sandbox.git.createBranch(path, 'topic');
    const { branches, currentBranch } = await sandbox.git.branches(path);
    expect(branches).to.have.members(['main', 'topic']);
    expect(currentBranch).to.equal('topic');
    await sandbox.git.checkoutBranch(path, 'main');
    await sandbox.git.deleteBranch(path, 'topic');
    expect(await sandbox.git.branches(path)).to.deep.equal({ branches: ['main'], currentBranch: 'main' });
  });

  works('git.clone', async (session) => {
    const { sandbox, folder } = session;
    const path = await repository(session);
    await sandbox.git.clone(`file://${path}`, { path: `${folder}/copy`, depth: 1 });
    expect(await sandbox.files.read(`${folder}/copy/a`)).to.equal('one\n');
    const error = await rejection(sandbox.git.clone(`file://${folder}/none`, { path: `${folder}/other` }));
    expect(error).to.include({ exitCode: 128 });
  });

  works('git.remoteAdd, remoteGet, push, pull', async (session) => {
    const { sandbox, folder } = session;
    const path = await repository(session);
    await sandbox.git.init(`${folder}/bare`, { bare: true, initialBranch: 'main' });
    await sandbox.git.remoteAdd(path, 'origin', `file://${folder}/bare`);
    expect(await sandbox.git.remoteGet(path, 'origin')).to.equal(`file://${folder}/bare`);
    expect(await sandbox.git.remoteGet(path, 'none')).to.equal(undefined);
    await sandbox.git.push(path, { remote: 'origin', branch: 'main' });
    await sandbox.git.clone(`file://${folder}/bare`, { path: `${folder}/copy` });
    await sandbox.files.write(`${path}/a`, 'two\n');
    await sandbox.git.add(path);
    await sandbox.git.commit(path, 'Second', { authorName: 'Ada', authorEmail: 'ada@example.com' });
    await sandbox.git.push(path, { remote: 'origin', branch: 'main' });
    await sandbox.git.pull(`${folder}/copy`);
    expect(await sandbox.files.read(`${folder}/copy/a`)).to.equal('two\n');
  });

  works('git.reset, restore', async (session) => {
    const { sandbox } = session;
    const path = await repository(session);
    await sandbox.files.write(`${path}/a`, 'two\n');
    await sandbox.git.add(path);
    await sandbox.git.reset(path);
    expect((await sandbox.git.status(path)).hasStaged).to.equal(false);
    await sandbox.git.restore(path, { paths: ['a'] });
    expect(await sandbox.files.read(`${path}/a`)).to.equal('one\n');
  });

  works('git.setConfig, getConfig, configureUser', async (session) => {
    const { sandbox } = session;
    const path = await repository(session);
    await sandbox.git.setConfig('pull.rebase', 'false', { scope: 'local', path });
    expect(await sandbox.git.getConfig('pull.rebase', { scope: 'local', path })).to.equal('false');
    expect(await sandbox.git.getConfig('none.such', { scope: 'local', path })).to.equal(undefined);
    await sandbox.git.configureUser('Bob', 'bob@example.com');
    expect(await sandbox.git.getConfig('user.name')).to.equal('Bob');
    expect(await sandbox.git.getConfig('user.email')).to.equal('bob@example.com');
  });
});
