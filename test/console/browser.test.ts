import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect } from 'chai';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { type Caller, startApp, type TestApp } from '../helpers/server.ts';
import { startRelay } from '../helpers/tunnel.ts';
import { until } from '../helpers/until.ts';
import { startBrowser } from './chromium.ts';

/** Only a run that names a browser needs one: e.g. Debian's /usr/bin/chromium. */
const isWanted = process.env.TEST_BROWSER !== undefined;
const axe = () => readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

type Visit = { app: TestApp; url: string; owner: Caller; page: Page };

(isWanted ? describe : describe.skip)('the console in a browser (skipped unless TEST_BROWSER names one)', function () {
  this.timeout(60_000);
  let browser: Browser;
  const contexts: BrowserContext[] = [];

  before(async () => {
    browser = await startBrowser();
  });
  afterEach(() => Promise.all(contexts.splice(0).map((context) => context.close())));
  after(() => browser?.close());

  /** Starts a server and opens the page. What the browser complains about fails the test. */
  async function visit(config: Parameters<typeof startApp>[0] = {}, options: object = {}): Promise<Visit> {
    const app = await startApp({ port: 0, ...config });
    app.clock.now = Date.now();
    const url = await app.server.start();
    const owner = await app.addUser('ann', 'secret');
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    contexts.push(context);
    const page = await context.newPage();
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => {
      // A browser reports each answer that is no success; tests provoke those.
      if (message.type() === 'error' && !/Failed to load resource/.test(message.text()))
        complaints.push(message.text());
    });
    await page.goto(`${url}/console/`);
    return { app, url, owner, page };
  }
  let complaints: string[] = [];
  beforeEach(() => {
    complaints = [];
  });
  afterEach(() => expect(complaints).to.deep.equal([]));

  async function signIn({ page, owner }: Visit): Promise<void> {
    await page.getByLabel('API key').last().fill(owner.key);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Sandboxes' }).waitFor();
  }

  it('signs in with a key or a password, says what is wrong, and signs out', async () => {
    const visited = await visit();
    const { page } = visited;
    await page.getByLabel('API key').last().fill('e2b_wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('Could not validate credentials').waitFor();
    await signIn(visited);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('a password').check();
    await page.getByLabel('User name').fill('ann');
    await page.getByLabel('Password', { exact: true }).fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('Incorrect username or password').waitFor();
    await page.getByLabel('Password', { exact: true }).fill('secret');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Sandboxes' }).waitFor();
    await page.reload();
    await page.getByRole('heading', { name: 'Sandboxes' }).waitFor();
    const other = await (contexts[0] as BrowserContext).newPage();
    await other.goto(page.url());
    await other.getByRole('button', { name: 'Sign in' }).waitFor();
  });

  it('signs in by the link of the first start, once, and leaves no trace of it', async () => {
    const { app, page, url, owner } = await visit();
    const token = app.server.context.links.create({ id: owner.id, name: owner.name });
    await page.goto('about:blank');
    await page.goto(`${url}/console/#link=${token}`);
    await page.getByRole('heading', { name: 'Sandboxes' }).waitFor();
    expect(page.url()).not.to.contain(token);
    const again = await (contexts[0] as BrowserContext).newPage();
    await again.goto(`${url}/console/#link=${token}`);
    await again.getByText('This link was used already').waitFor();
  });

  it('shows new sandboxes by itself, also after a broken stream; a revoked key signs out', async () => {
    const visited = await visit();
    const { app, page, owner } = visited;
    const way = await startRelay(Number(new URL(visited.url).port));
    await page.goto(`${way.url}/console/`);
    await signIn(visited);
    await page.getByText('live', { exact: true }).waitFor();
    const create = (name: string) =>
      app.http.post('/v1/vms').set('X-API-Key', owner.key).send({ metadata: { name } }).expect(201);
    await create('first');
    await page.getByRole('button', { name: 'name: first' }).waitFor();
    // The network is gone for as long as the second one takes.
    await contexts[0]?.setOffline(true);
    way.cut();
    await page.getByText('not live').waitFor();
    await create('second');
    await contexts[0]?.setOffline(false);
    await page.getByRole('button', { name: 'name: second' }).waitFor({ timeout: 30_000 });
    await app.http.delete('/v1/api-keys/1').set('X-API-Key', owner.key).expect(200);
    await page.getByText('You were signed out').waitFor({ timeout: 30_000 });
    way.end();
  });

  it("filters by a click and by JSON, shows the contract's error, and gives the same call to copy", async () => {
    const visited = await visit();
    const { app, page, owner } = visited;
    for (const [id, env] of [
      ['a1', 'dev'],
      ['a2', 'dev'],
      ['a3', "it's <b>prod</b> \u202Erlo"],
    ] as const)
      await app.insert(owner, { id, metadata: { env } });
    await signIn(visited);
    await page.getByRole('button', { name: 'env: dev' }).first().click();
    await until('the list is filtered', async () => (await page.locator('tbody tr').count()) === 2);
    const field = page.getByLabel('Metadata contains');
    expect(await field.inputValue()).to.equal('{"env":"dev"}');
    await page.getByText('The same from a program').click();
    expect(await page.locator('.snippets pre').textContent()).to.contain(`--data-urlencode 'metadata={"env":"dev"}'`);
    await field.fill('{env: 1}');
    await field.press('Enter');
    await page.getByText('Invalid JSON: Expecting property name enclosed in double quotes').waitFor();
    await page.getByRole('button', { name: 'Clear' }).click();
    await until('all are back', async () => (await page.locator('tbody tr').count()) === 3);
    await page.getByRole('button', { name: /env: it's/ }).click();
    await until('the hostile one is found', async () => (await page.locator('tbody tr').count()) === 1);
  });

  it('pages through more sandboxes than it draws', async () => {
    const visited = await visit();
    const { app, page, owner } = visited;
    for (let n = 0; n < 250; n++) await app.insert(owner, { id: `i${n}`, startedAt: app.clock.now - n * 1000 });
    await signIn(visited);
    await until('a page is drawn', async () => (await page.locator('tbody tr').count()) === 100);
    await page.getByRole('button', { name: 'Older' }).click();
    await page.getByRole('link', { name: 'i100', exact: true }).waitFor();
    await page.getByRole('button', { name: 'Older' }).click();
    await page.getByRole('link', { name: 'i249', exact: true }).waitFor();
    expect(await page.locator('tbody tr').count()).to.equal(50);
    await page.getByRole('button', { name: 'Newer' }).click();
    await page.getByRole('link', { name: 'i199', exact: true }).waitFor();
  });

  it('starts a sandbox, edits its metadata, extends, pauses, resumes and ends it', async () => {
    const visited = await visit();
    const { page } = visited;
    await signIn(visited);
    await page.getByRole('button', { name: 'Start a sandbox' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Metadata').fill('{"a":');
    await dialog.getByRole('button', { name: 'Start' }).click();
    await dialog.getByText('The metadata is no JSON').waitFor();
    await dialog.getByLabel('Metadata').fill('{"a":1}');
    await dialog.getByRole('button', { name: 'Start' }).click();
    // The sandbox's own page, and no longer the list, which has such a box as well.
    await page.getByRole('button', { name: 'Save' }).waitFor();
    const metadata = page.getByRole('textbox', { name: 'Metadata' });
    await metadata.fill('{"a": 2, "b": [null]}');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('vm.updated').first().waitFor();
    await page.getByRole('button', { name: /^Pause/ }).click();
    await page.getByText('vm.suspended').waitFor();
    await page.getByRole('button', { name: /^Resume/ }).click();
    await page.getByText('vm.resumed').waitFor();
    await page.getByRole('button', { name: /^End/ }).click();
    await page.getByRole('button', { name: 'End it', exact: true }).click();
    await page.getByText('vm.killed').waitFor();
    await page.getByText('it does not run').waitFor();
  });

  it('ends all that match, after it has said how many', async () => {
    const visited = await visit();
    const { app, page, owner } = visited;
    for (const [id, env] of [
      ['a1', 'dev'],
      ['a2', 'dev'],
      ['a3', 'prod'],
    ] as const)
      await app.insert(owner, { id, metadata: { env } });
    await signIn(visited);
    await page.getByLabel('Metadata contains').fill('{"env":"dev"}');
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.getByRole('button', { name: 'End all that match' }).click();
    await page.getByText('This ends the 2 active and paused sandboxes').waitFor();
    await page.getByRole('button', { name: 'End them' }).click();
    await page.getByText('No sandbox matches.').waitFor();
    await page.getByRole('button', { name: 'Clear' }).click();
    await page.getByRole('link', { name: 'a3' }).waitFor();
  });

  it('opens a terminal in a machine, and uploads, shows and removes its files', async () => {
    const visited = await visit({ machines: 'process' });
    const { app, page, owner, url } = visited;
    const created = await app.http.post('/v1/vms').set('X-API-Key', owner.key).send({});
    await signIn(visited);
    await page.goto(`${url}/console/#/sandboxes/${created.body.vm_id}`);
    await page.getByRole('button', { name: 'Open a terminal' }).click();
    const screen = page.locator('.xterm-rows');
    await screen.waitFor();
    // What is typed before the shell is there reaches it, too.
    await page.keyboard.type("echo $((6 * 7)); printf '\\e[38;2;255;100;0mcolour\\e[0m\\n'\n");
    await until('the shell has answered', async () => /42/.test((await screen.textContent()) ?? ''));
    await page.locator('.xterm-rows span[style*="rgb(255, 100, 0)"]').first().waitFor();
    const upload = { name: 'note.txt', mimeType: 'text/plain', buffer: Buffer.from('hello') };
    await page.getByLabel('Upload files').setInputFiles(upload);
    await page.getByRole('button', { name: 'note.txt', exact: true }).waitFor();
    const [saved] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'note.txt', exact: true }).click(),
    ]);
    expect(readFileSync(await saved.path(), 'utf8')).to.equal('hello');
    await page.getByRole('button', { name: 'Remove note.txt' }).click();
    await page.getByRole('button', { name: 'Remove it' }).click();
    await page.getByText('This folder is empty.').waitFor();
  });

  it('creates a key, which it shows once, and revokes it', async () => {
    const visited = await visit();
    const { page, url } = visited;
    await signIn(visited);
    await page.goto(`${url}/console/#/keys`);
    await page.getByLabel('Description').fill('<img src=x onerror=alert(1)>');
    await page.getByRole('button', { name: 'Create a key' }).click();
    expect(await page.locator('.secret pre').textContent()).to.match(/^e2b_[0-9a-f]{40}$/);
    await page.getByText('<img src=x onerror=alert(1)>').waitFor();
    await page
      .getByRole('button', { name: /^Revoke e2b_/ })
      .first()
      .click();
    await page.getByRole('button', { name: 'Revoke it' }).click();
    await page.getByText('revoked').first().waitFor();
  });

  it('is usable with a screen reader, on every page, in both themes and at the width of a phone', async () => {
    for (const options of [{ colorScheme: 'light' }, { colorScheme: 'dark', viewport: { width: 390, height: 800 } }]) {
      const visited = await visit({}, options);
      const { app, page, owner, url } = visited;
      await app.insert(owner, { id: 'a1', metadata: { env: 'dev', long: 'x'.repeat(65_000) } });
      await examine(page, 'sign-in');
      await signIn(visited);
      for (const path of ['sandboxes', 'sandboxes/a1', 'snapshots', 'keys', 'webhooks', 'audit', 'health', 'nowhere']) {
        await page.goto(`${url}/console/#/${path}`);
        await page.locator('h1').waitFor();
        await until('the page is loaded', async () => (await page.locator('[aria-busy]').count()) === 0);
        await examine(page, path);
      }
    }
  });

  /** Nothing serious for axe, and nothing wider than the page. */
  async function examine(page: Page, place: string): Promise<void> {
    await page.evaluate(axe());
    const serious = await page.evaluate(async () => {
      const { violations } = await (globalThis as unknown as { axe: { run: () => Promise<Found> } }).axe.run();
      return violations
        .filter(({ impact }) => impact === 'serious' || impact === 'critical')
        .map(({ id, nodes }) => [id, nodes[0]?.html]);
    });
    expect(serious, place).to.deep.equal([]);
    const isWider = await page.evaluate('document.documentElement.scrollWidth > innerWidth');
    expect(isWider, `${place} is wider than its window`).to.equal(false);
  }
});

type Found = { violations: { id: string; impact: string; nodes: { html: string }[] }[] };
