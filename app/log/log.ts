import { type DestinationStream, type Logger, pino } from 'pino';
import type { Config } from '../config/settings.ts';
import { Output } from '../terminal/output.ts';
import { LineOutput } from './line-output.ts';

/** Returns a log that writes JSON lines to the destination. */
export function createLog(level: string, destination: DestinationStream): Logger {
  return pino({ level, base: null, serializers: { err: pino.stdSerializers.errWithCause } }, destination);
}

export type OpenLog = {
  log: Logger;
  /** Returns the number of lines that could not be written. */
  lostLogLines: () => number;
  /** Resolves when all lines are written or lost, or when `giveUp` aborts. */
  close: (giveUp: AbortSignal) => Promise<void>;
};

/**
 * Opens the program's log on standard output (1) or standard error (2), in the configured format.
 */
export async function openLog({ logLevel, logFormat }: Config, descriptor: 1 | 2): Promise<OpenLog> {
  const output = new Output(descriptor);
  const isPretty = logFormat === 'pretty' || (logFormat === 'auto' && output.isTTY);
  const format = isPretty ? (await import('./pretty.ts')).prettyLines(output.isTTY) : undefined;
  const destination = new LineOutput(output, format);
  const log = createLog(logLevel, destination);
  destination.onRecovery = (lost) => log.error({ lost }, 'log lines were lost because they could not be written');
  return { log, lostLogLines: () => destination.lost, close: (giveUp) => output.finish(giveUp) };
}
