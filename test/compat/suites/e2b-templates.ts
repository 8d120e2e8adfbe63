import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { eachSdk, rejection } from '../sdk.ts';

describe("compatibility with E2B's SDK: templates", () => {
  const { works, records, refused } = eachSdk();

  works('Template.exists', async ({ Sandbox, Template }) => {
    await (await Sandbox.create()).createSnapshot({ name: 'mine' });
    for (const name of ['base', 'mine', 'mine:default']) expect(await Template.exists(name), name).to.equal(true);
    expect(await Template.exists(`nonexistent-${randomUUID()}`)).to.equal(false);
  });

  records('Template.assignTags, getTags, removeTags', async ({ Sandbox, Template }) => {
    await (await Sandbox.create()).createSnapshot({ name: 'mine' });
    const { tags, buildId } = await Template.assignTags('mine:default', ['stable', 'v1']);
    expect(tags).to.deep.equal(['stable', 'v1']);
    const found = await Template.getTags('mine');
    expect(found.map(({ tag }) => tag)).to.deep.equal(['default', 'stable', 'v1']);
    for (const tag of found) expect(tag.buildId).to.equal(buildId);
    const { templateId } = await (await Sandbox.create('mine:stable')).getInfo();
    expect(templateId).to.equal('mine:stable');
    await Template.removeTags('mine', ['stable']);
    expect((await Template.getTags('mine')).map(({ tag }) => tag)).to.deep.equal(['default', 'v1']);
  });

  refused('Template.build', async ({ Template }) => {
    const error = await rejection(Template.build(Template().fromImage('debian:12'), 'mine'));
    expect(error.message).to.contain('Sandpit builds no templates here: that needs machines');
  });
});
