import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const types = {
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
};
const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Writes an image of one layer, which is the tar archive `layer`, as an archive of the OCI image
 * layout with the name `reference`.
 */
export function writeImageArchive(layer: string, reference: string, file: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'sandpit-oci-'));
  try {
    const blobs = join(folder, 'blobs/sha256');
    mkdirSync(blobs, { recursive: true });
    const layerHash = sha256(readFileSync(layer));
    copyFileSync(layer, join(blobs, layerHash));
    const layerPart = { mediaType: types.layer, digest: `sha256:${layerHash}`, size: statSync(layer).size };
    const add = (mediaType: string, value: unknown) => {
      const text = JSON.stringify(value);
      writeFileSync(join(blobs, sha256(text)), text);
      return { mediaType, digest: `sha256:${sha256(text)}`, size: Buffer.byteLength(text) };
    };
    const config = add(types.config, {
      architecture: 'amd64',
      os: 'linux',
      config: { Env: [path] },
      rootfs: { type: 'layers', diff_ids: [layerPart.digest] },
    });
    const manifest = add(types.manifest, {
      schemaVersion: 2,
      mediaType: types.manifest,
      config,
      layers: [layerPart],
    });
    const annotations = { 'org.opencontainers.image.ref.name': reference };
    const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] };
    writeFileSync(join(folder, 'index.json'), JSON.stringify(index));
    writeFileSync(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
    execFileSync('tar', ['-cf', file, '-C', folder, 'oci-layout', 'index.json', 'blobs']);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}
