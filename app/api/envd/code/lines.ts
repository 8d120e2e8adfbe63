import { StringDecoder } from 'node:string_decoder';
import { asciiJson } from '../../../http/json.ts';
import type { CodeEvent } from '../../../machines/code/context.ts';
import { type Message, tooLarge } from '../../../machines/code/marked-output.ts';
import { resultOf } from './results.ts';

/** A line of the answer to E2B's `/execute`. */
type Line = { type: string; [member: string]: unknown };

export const keepalive = '{"type":"keepalive"}\n';

/** Turns what happens while code runs into the lines that E2B's clients read. */
export class Lines {
  readonly #decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') };

  /** Returns the lines of an event as text; empty for one that E2B's clients are not told of. */
  of(event: CodeEvent): string {
    return this.#linesOf(event)
      .map((line) => `${asciiJson(line)}\n`)
      .join('');
  }

  #linesOf(event: CodeEvent): Line[] {
    if (event.type === 'output') return printed(event.source, this.#decoders[event.source].write(event.bytes));
    if (event.type === 'message') return lineOf(event.message);
    const rest = (['stdout', 'stderr'] as const).flatMap((source) => printed(source, this.#decoders[source].end()));
    return [...rest, ...endOf(event), { type: 'end_of_execution' }];
  }
}

function endOf(event: Extract<CodeEvent, { type: 'done' | 'died' }>): Line[] {
  if (event.type === 'died')
    return [{ type: 'error', name: 'KernelDied', value: event.reason, traceback: event.reason }];
  const { exitCode, count } = event;
  const failed = exitCode !== null && exitCode !== 0;
  const reason = `The script ended with exit code ${exitCode}`;
  return [
    ...(failed ? [{ type: 'error', name: 'ExitCode', value: reason, traceback: reason }] : []),
    { type: 'number_of_executions', execution_count: count },
  ];
}

function printed(source: 'stdout' | 'stderr', text: string): Line[] {
  return text === '' ? [] : [{ type: source, text, timestamp: new Date().toISOString() }];
}

function lineOf({ type, content }: Message): Line[] {
  if (type === 'error') {
    const { ename, evalue, traceback } = content;
    const lines = Array.isArray(traceback) ? traceback : [];
    return [{ type: 'error', name: String(ename), value: String(evalue), traceback: lines.join('\n') }];
  }
  if (type === 'too_large') {
    return [{ type: 'error', name: 'ResultTooLarge', value: tooLarge, traceback: tooLarge }];
  }
  const { data } = content;
  if (typeof data !== 'object' || data === null) return [];
  const members = resultOf(data as Record<string, unknown>);
  return [{ type: 'result', is_main_result: type === 'execute_result', ...members }];
}
