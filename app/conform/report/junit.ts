import type { Report, Result } from './report.ts';

/**
 * Returns a report as JUnit XML (the schema of Jenkins' xunit plugin). The libraries for it write
 * characters that XML forbids as they are.
 */
export function junitXml(report: Report): string {
  const { results, seconds, error, url, seed } = report;
  const count = (outcome: Result['outcome']) => results.filter((result) => result.outcome === outcome).length;
  const problems = [...(error === null ? [] : [error]), ...report.sandboxes.left.map((one) => `not ended: ${one}`)];
  const cases = [...results.map(caseXml), ...problems.map(errorXml)];
  const counts = attributes({
    name: 'sandpit conform',
    tests: cases.length,
    failures: count('fail'),
    skipped: count('skip'),
    errors: problems.length,
    time: seconds,
  });
  const properties = Object.entries({ url, seed }).map(([name, value]) => `<property${attributes({ name, value })}/>`);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites><testsuite${counts}>`,
    `<properties>${properties.join('')}</properties>`,
    ...cases,
    '</testsuite></testsuites>\n',
  ].join('\n');
}

function caseXml({ id, title, outcome, seconds, source, why, failure }: Result): string {
  const head = `<testcase${attributes({ classname: `conform.${id}`, name: title, time: seconds })}`;
  if (outcome === 'skip') return `${head}><skipped${attributes({ message: why ?? '' })}/></testcase>`;
  if (!failure) return `${head}/>`;
  const { request, expected, got } = failure;
  const text = [
    ...(request === null ? [] : [`request: ${request}`]),
    `expected: ${expected}`,
    `contract: ${source}`,
    `got: ${got}`,
  ];
  const message = attributes({ message: `expected ${expected}`, type: id });
  return `${head}><failure${message}>${escaped(text.join('\n'))}</failure></testcase>`;
}

function errorXml(message: string): string {
  const head = attributes({ classname: 'conform', name: 'the run itself' });
  return `<testcase${head}><error${attributes({ message })}/></testcase>`;
}

function attributes(values: Record<string, string | number>): string {
  return Object.entries(values)
    .map(([name, value]) => ` ${name}="${escaped(String(value)).replaceAll('\n', '&#10;')}"`)
    .join('');
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' };

/** Escapes text. XML 1.0 (2.2) cannot represent some characters: NUL becomes the text `\u0000`. */
function escaped(text: string): string {
  return text
    .toWellFormed()
    .replace(/[^\t\n\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, (character) => {
      return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
    })
    .replace(/[&<>"']/g, (character) => entities[character] as string);
}
