import { expect } from 'chai';
import { startInstavm } from '../../helpers/clients/instavm-client.ts';
import { until } from '../../helpers/until.ts';

describe("InstaVM's snapshots of images, with machines", () => {
  it('are ready once the engine has the image, and sandboxes start from them', async () => {
    const { get, post } = await startInstavm({ machines: 'process' });
    const made = await post('/v1/snapshots', { oci_image: 'debian:12', name: 'mine', memory_mb: 1024, vcpu_count: 4 });
    expect(made.status).to.equal(201);
    expect(made.body).to.include({ status: 'ready', last_error: null, oci_image: 'debian:12' });
    for (const snapshot_id of [made.body.id, 'mine']) {
      const { body: vm } = await post('/v1/vms', { snapshot_id });
      expect(vm).to.include({ status: 'active', memory_mb: 1024, vcpu_count: 4 });
      const ran = await post('/execute', { session_id: vm.session_id, command: 'echo in', language: 'bash' });
      expect(ran.body.stdout).to.equal('in\n');
    }
    expect((await get('/v1/snapshots')).body[0].status).to.equal('ready');
  });

  it('are building while the image is fetched, then failed with the reason', async () => {
    const { get, post } = await startInstavm({ machines: 'process' });
    const made = await post('/v1/snapshots', { oci_image: 'missing/image:1' });
    expect(made.status).to.equal(201);
    expect(made.body.status).to.be.oneOf(['building', 'failed']);
    let found = made.body;
    await until('the pull fails', async () => {
      found = (await get(`/v1/snapshots/${made.body.id}`)).body;
      return found.status === 'failed';
    });
    expect(found.last_error).to.contain('missing/image');
    expect((await get('/v1/snapshots')).body[0]).to.include({ status: 'failed', last_error: found.last_error });
    const refused = await post('/v1/vms', { snapshot_id: made.body.id });
    expect([refused.status, refused.body.detail]).to.deep.equal([refused.status, refused.body.detail]);
    expect(refused.status).to.be.oneOf([403, 503]);
  });

  it('403: an image that the operator does not allow', async () => {
    const few = await startInstavm({ machines: 'process', templateImages: 'templates' });
    const refused = await few.post('/v1/snapshots', { oci_image: 'missing/image' });
    expect([refused.status, refused.body.detail]).to.deep.equal([
      403,
      'The image missing/image can not be used: users may only use the images of templates here',
    ]);
    expect((await few.get('/v1/snapshots')).body).to.deep.equal([]);
  });
});
