/**
 * How a benchmark's sandboxes are distributed: one owner has all, or thirty owners share them,
 * the first with the most.
 */
export type Distribution = 'one' | 'thirty';

export type Dataset = { size: number; distribution: Distribution };

export type Metadata = {
  userId: string;
  env: string;
  region: string;
  team: string;
  git: { branch: string; sha: string };
};

export type Row = {
  id: string;
  /** counted from 0 */
  owner: number;
  templateId: string | null;
  metadata: Metadata;
  memoryMb: number;
  vcpuCount: number;
  startedAt: number;
  endAt: number | null;
  status: 'active' | 'paused' | 'killed';
};

export const firstStart = Date.parse('2025-01-01T00:00:00Z');
/** Active sandboxes end here, so that no sweeper changes them while something is measured. */
const farFuture = Date.parse('2100-01-01T00:00:00Z');
const alphabet = '0123456789abcdefghijklmnopqrstuvwxyz';

/** Returns a generator of numbers from 0 up to 1, the same for the same seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Returns how many owners there are. */
export function ownersOf({ distribution }: Dataset): number {
  return distribution === 'one' ? 1 : 30;
}

/**
 * Returns sandbox number `index`. It is deterministic, so that filters can use values of existing
 * rows.
 */
export function rowAt(index: number, dataset: Dataset): Row {
  const random = randomFrom(Math.imul(index + 1, 0x9e3779b1));
  const owner = ownerFor(random(), dataset);
  const status = random() < 1 / 3 ? 'active' : random() < 0.1 ? 'paused' : 'killed';
  const startedAt = firstStart + index * 1000 + below(random, 1000);
  return {
    id: `i${textOf(random, 19)}${alphabet[index % 36]}`,
    owner,
    templateId: random() < 0.1 ? null : `template-${below(random, 10)}`,
    metadata: metadataOf(random, owner, dataset),
    memoryMb: 512,
    vcpuCount: 2,
    startedAt,
    endAt: status === 'active' ? farFuture : startedAt + 300_000,
    status,
  };
}

/** Returns `count` of the owner's sandboxes, drawn with replacement from a fixed seed. */
export function sampleRows(dataset: Dataset, owner: number, count: number): Row[] {
  const random = randomFrom(dataset.size + owner);
  const rows: Row[] = [];
  for (let tries = 0; rows.length < count && tries < 2_000_000; tries++) {
    const row = rowAt(below(random, dataset.size), dataset);
    if (row.owner === owner) rows.push(row);
  }
  if (rows.length === 0) throw new Error(`owner ${owner} has nothing at size ${dataset.size}`);
  return Array.from({ length: count }, (_, at) => rows[at % rows.length] as Row);
}

/**
 * Some common pairs never occur together: env=prod with eu-9, and env=dev with branch main. A
 * user has about ten sandboxes.
 */
function metadataOf(random: () => number, owner: number, dataset: Dataset): Metadata {
  const users = Math.max(1, Math.round((dataset.size * shareOf(owner, dataset)) / 10));
  const kind = random();
  const env = kind < 0.7 ? 'prod' : kind < 0.9 ? 'staging' : 'dev';
  const region = env !== 'prod' && random() < 0.4 ? 'eu-9' : `us-${1 + below(random, 7)}`;
  const onMain = env !== 'dev' && random() < 0.8 / 0.9;
  return {
    userId: `u${owner}-${below(random, users)}`,
    env,
    region,
    team: `team-${below(random, 1000)}`,
    git: { branch: onMain ? 'main' : `feature/${below(random, 2000)}`, sha: shaOf(random) },
  };
}

function shareOf(owner: number, dataset: Dataset): number {
  const weights = Array.from({ length: ownersOf(dataset) }, (_, at) => 1 / (at + 1));
  return 1 / (owner + 1) / weights.reduce((sum, weight) => sum + weight, 0);
}

function ownerFor(point: number, dataset: Dataset): number {
  if (dataset.distribution === 'one') return 0;
  let owner = 0;
  for (let rest = point / shareOf(0, dataset); owner < 29; owner++) {
    rest -= 1 / (owner + 1);
    if (rest < 0) break;
  }
  return owner;
}

function below(random: () => number, bound: number): number {
  return Math.floor(random() * bound);
}

function textOf(random: () => number, length: number): string {
  let text = '';
  while (text.length < length) text += alphabet[below(random, 36)];
  return text;
}

function shaOf(random: () => number): string {
  let sha = '';
  while (sha.length < 40)
    sha += below(random, 2 ** 32)
      .toString(16)
      .padStart(8, '0');
  return sha;
}
