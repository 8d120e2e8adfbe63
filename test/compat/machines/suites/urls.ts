import { expect } from 'chai';
import { until } from '../../../helpers/until.ts';
import { eachSdkOnMachines } from '../session.ts';

/** Returns a form with one file. */
function formOf(text: string): FormData {
  const form = new FormData();
  form.append('file', new Blob([text]), 'file');
  return form;
}

describe("E2B's SDK on machines: signed URLs", () => {
  const { works } = eachSdkOnMachines();

  works('uploadUrl', async ({ sandbox, folder, url }) => {
    const address = await sandbox.uploadUrl(`${folder}/a`);
    expect(address.startsWith(`${url}/files?`), address).to.equal(true);
    const answer = await fetch(address, { method: 'POST', body: formOf('text') });
    expect(answer.status).to.equal(200);
    expect(await answer.json()).to.have.nested.property('[0].path', `${folder}/a`);
    expect(await sandbox.files.read(`${folder}/a`)).to.equal('text');
    // Its signature permits no reading.
    expect((await fetch(address)).status).to.equal(401);
  });

  works('downloadUrl', async ({ sandbox, folder }) => {
    await sandbox.files.write(`${folder}/ä b`, '0123456789');
    const address = await sandbox.downloadUrl(`${folder}/ä b`);
    const answer = await fetch(address);
    expect([answer.status, await answer.text()]).to.deep.equal([200, '0123456789']);
    const part = await fetch(address, { headers: { Range: 'bytes=2-4' } });
    expect([part.status, await part.text()]).to.deep.equal([206, '234']);
    expect(part.headers.get('content-range')).to.equal('bytes 2-4/10');
    const since = answer.headers.get('last-modified') ?? '';
    expect((await fetch(address, { headers: { 'If-Modified-Since': since } })).status).to.equal(304);
    const upload = await fetch(address, { method: 'POST', body: formOf('text') });
    expect(upload.status).to.equal(401);
    const other = address.replace(encodeURIComponent('ä b'), 'other').replace('%C3%A4+b', 'other');
    expect((await fetch(other)).status).to.equal(401);
  });

  works('downloadUrl: useSignatureExpiration', async ({ sandbox, folder }) => {
    await sandbox.files.write(`${folder}/a`, 'text');
    const long = await sandbox.downloadUrl(`${folder}/a`, { useSignatureExpiration: 600 });
    const short = await sandbox.downloadUrl(`${folder}/a`, { useSignatureExpiration: 1 });
    expect(await (await fetch(long)).text()).to.equal('text');
    await until('it has expired', async () => (await fetch(short)).status === 401);
    const expired = (await (await fetch(short)).json()) as { message: string };
    expect(expired.message).to.match(/expired/);
    // The expiry is signed as well.
    const until2100 = short.replace(/signature_expiration=\d+/, 'signature_expiration=4102444800');
    expect((await fetch(until2100)).status).to.equal(401);
    expect((await fetch(long)).status).to.equal(200);
  });

  works('uploadUrl: useSignatureExpiration', async ({ sandbox, folder }) => {
    const short = await sandbox.uploadUrl(`${folder}/a`, { useSignatureExpiration: 1 });
    const post = () => fetch(short, { method: 'POST', body: formOf('text') });
    await until('it has expired', async () => (await post()).status === 401);
  });

  works(
    'downloadUrl: user',
    async ({ sandbox, folder }) => {
      const upload = await sandbox.uploadUrl(`${folder}/a`, { user: 'root' });
      expect((await fetch(upload, { method: 'POST', body: formOf('text') })).status).to.equal(200);
      expect((await sandbox.files.getInfo(`${folder}/a`)).owner).to.equal('root');
      const address = await sandbox.downloadUrl(`${folder}/a`, { user: 'root' });
      expect((await fetch(address)).status).to.equal(200);
      expect((await fetch(address.replace('username=root', 'username=user'))).status).to.equal(401);
    },
    { engine: true },
  );
});
