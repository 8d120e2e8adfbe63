const { stderr } = process;
let shown = false;

/** Shows progress on one line of the terminal, which each call rewrites. */
export function progress(text: string): void {
  if (!stderr.isTTY) return;
  stderr.write(`\r\x1b[K${text.slice(0, (stderr.columns ?? 80) - 1)}`);
  shown = true;
}

/** Shows progress, or prints a line if standard error is not a terminal. */
export function trial(text: string): void {
  if (stderr.isTTY) progress(text);
  else stderr.write(`${text}\n`);
}

/** Prints a permanent line. */
export function note(text: string): void {
  clearProgress();
  stderr.write(`${text}\n`);
}

/** Clears the progress line. */
export function clearProgress(): void {
  if (shown) stderr.write('\r\x1b[K');
  shown = false;
}
