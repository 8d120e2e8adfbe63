import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import { openStore, type SqliteStore } from '../../db/sqlite/open.ts';
import { inTransaction, type Trx } from '../../db/store.ts';
import { temporaryDirectory } from '../helpers/server.ts';

describe('changes that wait for the disk together', () => {
  let store: SqliteStore;
  let commits: number;
  beforeEach(() => {
    store = openStore(join(temporaryDirectory(), 'sandpit.db'));
    commits = 0;
    store.onCommit(() => {
      commits++;
    });
  });
  afterEach(() => store.close());

  const addUser = (trx: Trx, name: string) =>
    trx.insertInto('users').values({ name, password_hash: null, created_at: 0 }).execute();
  const add = (name: string) => inTransaction(store.db, (trx) => addUser(trx, name));
  const names = async () =>
    (await store.db.selectFrom('users').select('name').orderBy('id').execute()).map((u) => u.name);
  const fails = (name: string) =>
    inTransaction(store.db, async (trx) => {
      await addUser(trx, name);
      throw new Error(`${name} fails`);
    });
  const outcomes = async (changes: Promise<unknown>[]) =>
    (await Promise.allSettled(changes)).map((each) => (each.status === 'rejected' ? each.reason.message : 'done'));

  it('share a commit, in the order in which they came, and at most 64 of them', async () => {
    await Promise.all(Array.from({ length: 10 }, (_, n) => add(`user${n}`)));
    expect(commits).to.equal(1);
    expect(await names()).to.deep.equal(Array.from({ length: 10 }, (_, n) => `user${n}`));
    await Promise.all(Array.from({ length: 100 }, (_, n) => add(`more${n}`)));
    expect(commits).to.be.within(3, 101);
    expect(await names()).to.have.length(110);
  });

  it('one that fails is taken back alone, the first one as well', async () => {
    expect(await outcomes([fails('a'), add('b'), fails('c'), add('d'), fails('e')])).to.deep.equal([
      'a fails',
      'done',
      'c fails',
      'done',
      'e fails',
    ]);
    expect(await names()).to.deep.equal(['b', 'd']);
    expect(await outcomes([fails('f')])).to.deep.equal(['f fails']);
    expect(await outcomes([add('b'), add('g')])).to.deep.equal(['UNIQUE constraint failed: users.name', 'done']);
    expect(await outcomes([add('h'), add('b'), add('i')])).to.deep.equal([
      'done',
      'UNIQUE constraint failed: users.name',
      'done',
    ]);
    expect(await names()).to.deep.equal(['b', 'd', 'g', 'h', 'i']);
  });

  it('nobody is told of a change before it is committed', async () => {
    const seen: number[] = [];
    const see = () => void seen.push(commits);
    // One that fails may have seen what is not committed yet.
    await Promise.all([add('user1').then(see), add('user1').catch(see), add('user2').then(see)]);
    expect(seen).to.deep.equal([1, 1, 1]);
  });

  it('one that waits for something holds up those behind it, and no later one is lost', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const slow = inTransaction(store.db, async (trx) => {
      await promise;
      await addUser(trx, 'slow');
    });
    const waiting = add('behind');
    await nextTurn();
    const late = add('late');
    resolve();
    await Promise.all([slow, waiting, late]);
    expect(await names()).to.deep.equal(['slow', 'behind', 'late']);
    for (let n = 0; n < 50; n++) await add(`after${n}`).then(() => add(`then${n}`));
    expect(await names()).to.have.length(103);
  });

  it('a failing disk fails all of a commit, and the next ones work', async () => {
    await add('before');
    store.sqlite.pragma('query_only = on');
    expect(new Set(await outcomes([add('a'), add('b'), add('c')])).size).to.equal(1);
    store.sqlite.pragma('query_only = off');
    expect(await outcomes([add('after')])).to.deep.equal(['done']);
    expect(await names()).to.deep.equal(['before', 'after']);
  });
});
