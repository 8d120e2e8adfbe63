import type { PullProgress } from '../../driver.ts';

/** A line that an engine sends while it pulls. */
type PullLine = {
  id?: string;
  status?: string;
  error?: string;
  errorDetail?: { message?: string };
  progressDetail?: { current?: number; total?: number };
};
type Layer = { current: number; total: number; isDone: boolean };

const interval = 1000;
const mostLayers = 1000;

/** Sums up what an engine says while it pulls, and reports it in words. */
export class PullState {
  readonly #onProgress: PullProgress;
  readonly #layers = new Map<string, Layer>();
  #reportedAt = 0;
  #reportedLayers = '';

  constructor(onProgress: PullProgress) {
    this.#onProgress = onProgress;
  }

  /** Takes a line. Returns why the pull failed, in the engine's words; null if it goes on. */
  take(line: unknown): string | null {
    const { id, status = '', error, errorDetail, progressDetail } = line as PullLine;
    if (error !== undefined || errorDetail !== undefined) return errorDetail?.message ?? error ?? 'no reason given';
    if (id !== undefined && isLayer(status) && (this.#layers.has(id) || this.#layers.size < mostLayers)) {
      const { current, total } = this.#layers.get(id) ?? { current: 0, total: 0 };
      const isDownload = status === 'Downloading';
      this.#layers.set(id, {
        current: isDownload ? (progressDetail?.current ?? current) : current,
        total: isDownload ? (progressDetail?.total ?? total) : total,
        isDone: /^(Pull complete|Already exists)$/i.test(status),
      });
    }
    this.#report();
    return null;
  }

  get words(): string {
    const layers = [...this.#layers.values()];
    if (layers.length === 0) return 'asking the registry';
    const sum = (member: 'current' | 'total') => layers.reduce((bytes, layer) => bytes + layer[member], 0);
    const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
    const loaded = layers.reduce((bytes, layer) => bytes + (layer.isDone ? layer.total : layer.current), 0);
    const size = sum('total') > 0 ? `, ${megabytes(loaded)} of ${megabytes(sum('total'))}` : '';
    return `${this.#done()} of ${layers.length} layers${size}`;
  }

  #done(): number {
    return [...this.#layers.values()].filter(({ isDone }) => isDone).length;
  }

  #report(): void {
    const now = performance.now();
    const layers = `${this.#done()} of ${this.#layers.size}`;
    // Layers are reported at once, because an engine that waits for bytes sends nothing more.
    if (layers === this.#reportedLayers && now - this.#reportedAt < interval) return;
    this.#reportedAt = now;
    this.#reportedLayers = layers;
    this.#onProgress(this.words);
  }
}

/** Docker's words for a layer; Podman's for a blob that it copies. */
function isLayer(status: string): boolean {
  return /^(Pulling fs layer|Waiting|Downloading|Verifying Checksum|Download complete|Extracting|Pull complete|Already exists|Copying blob)/i.test(
    status,
  );
}
