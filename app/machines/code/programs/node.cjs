/**
 * Runs JavaScript that arrives on standard input, as the console of a browser does, and keeps its
 * variables.
 *
 * Standard input has one JSON object a line, with `id`, `code`, `env` and `isTypeScript`.
 * An interrupt is the signal SIGINT.
 * Standard output and error are those of the code itself. Between them come messages, as
 * ../marked-output.ts describes, in the form of Jupyter's.
 */
const { Session } = require('node:inspector');
const { inspect } = require('node:util');
const { createInterface } = require('node:readline');
const nodeModule = require('node:module');
const { env: variables } = require('node:process');
const { pathToFileURL } = require('node:url');
const { Script } = require('node:vm');

const [mark] = process.argv.splice(1);
/** The bytes of a message that one write to a pipe keeps together (PIPE_BUF of pipe(7)). */
const piece = 4096 - mark.length - 16;

function send(type, content, stream = process.stdout) {
  const escaped = (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`;
  const text = JSON.stringify({ type, content }).replace(/[^\x20-\x7e]/g, escaped);
  for (let at = 0; at < text.length; at += piece) {
    const last = at + piece >= text.length ? '.' : '+';
    stream.write(`\0${mark}${last}${text.slice(at, at + piece)}\0`);
  }
}

const session = new Session();
session.connect();
/** What the inspector hands over: it gives values of this process as descriptions otherwise. */
let taken;
const [takeName, workName, importName] = ['take', 'work', 'import'].map((name) => `__${name}_${mark}`);
Object.defineProperty(globalThis, takeName, { value: take });
const require_ = nodeModule.createRequire(`${process.cwd()}/`);
globalThis.require = require_;
// A name without a path is a package, which is looked up where the code runs.
const addressOf = (name) => (/^[./]/.test(name) ? pathToFileURL(require_.resolve(name)).href : name);
Object.defineProperty(globalThis, importName, { value: (name) => import(addressOf(name)) });
let count = 0;
/** Ends the wait for code that awaits. */
let interruptWait = () => {};

/** Evaluates as the console of a browser does: `await` works, and names can be declared again. */
function evaluate(expression) {
  const wanted = { expression, replMode: true, awaitPromise: true };
  return new Promise((resolve, reject) => {
    const stop = () => reject(new Error('The execution was interrupted'));
    interruptWait = stop;
    const begin = () =>
      session.post('Runtime.evaluate', wanted, (error, answer) => {
        if (error) stop();
        else if (answer.exceptionDetails) reject(valueFrom(answer.exceptionDetails.exception));
        else resolve(valueFrom(answer.result));
      });
    try {
      // So that an interrupt ends code that never awaits.
      breakable(begin);
    } catch (error) {
      if (error.code !== 'ERR_SCRIPT_EXECUTION_INTERRUPTED') throw error;
      stop();
    }
  });
}

function breakable(work) {
  Object.defineProperty(globalThis, workName, { value: work, configurable: true });
  new Script(`${workName}()`).runInThisContext({ breakOnSigint: true });
}

function take(value) {
  taken = value;
}

/** Returns the value that the inspector describes. */
function valueFrom(described) {
  if (described.objectId === undefined) {
    return described.unserializableValue === undefined ? described.value : numberOf(described.unserializableValue);
  }
  const call = { objectId: described.objectId, functionDeclaration: `function () { ${takeName}(this) }` };
  session.post('Runtime.callFunctionOn', call);
  session.post('Runtime.releaseObject', { objectId: described.objectId });
  return taken;
}

function numberOf(text) {
  return text.endsWith('n') ? BigInt(text.slice(0, -1)) : Number(text);
}

async function run({ id, code, env, isTypeScript }) {
  send('began', { id });
  if (code !== '') count += 1;
  const usage = process.cpuUsage();
  const before = Object.fromEntries(Object.keys(env).map((name) => [name, variables[name]]));
  Object.assign(variables, env);
  let isOk = true;
  try {
    const value = await evaluate(withoutImports(isTypeScript ? withoutTypes(code) : code));
    if (value !== undefined) {
      send('execute_result', { data: mediaOf(value), execution_count: count });
    }
  } catch (error) {
    isOk = false;
    send('error', described(error));
  }
  for (const [name, value] of Object.entries(before)) {
    if (value === undefined) delete variables[name];
    else variables[name] = value;
  }
  send('done', { id }, process.stderr);
  const { user, system } = process.cpuUsage(usage);
  send('done', { id, ok: isOk, execution_count: count, cpu_seconds: (user + system) / 1e6 });
}

function withoutTypes(code) {
  if (!nodeModule.stripTypeScriptTypes) {
    throw new Error(`Node ${process.versions.node} of this image does not run TypeScript: it needs 22.13 or newer`);
  }
  // It warns that it is experimental.
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return nodeModule.stripTypeScriptTypes(code, { mode: 'transform' });
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** Returns code whose `import` statements, which only modules may have, are calls of `import()`. */
function withoutImports(code) {
  const statement =
    /^([ \t]*)import\s+(?:(?:([\w$]+)\s*,?\s*)?(?:\{([^}]*)\}|\*\s*as\s+([\w$]+))?\s*from\s*)?(["'][^"'\n]+["'])/gm;
  const called = code.replace(/(?<![.\w$])import\s*\(/g, `${importName}(`);
  return called.replace(statement, (_all, indent, byDefault, names, whole, source) => {
    const parts = [
      byDefault && `default: ${byDefault}`,
      names?.replace(/\bas\b/g, ':').replace(/(\S+)\s+:\s*/g, '$1: '),
    ];
    const wanted = parts.filter(Boolean).join(', ');
    const imported = `await ${importName}(${source})`;
    if (whole && byDefault) return `${indent}const ${whole} = ${imported}, ${byDefault} = ${whole}.default`;
    if (whole) return `${indent}const ${whole} = ${imported}`;
    return wanted ? `${indent}const {${wanted}} = ${imported}` : indent + imported;
  });
}

function mediaOf(value) {
  const data = { 'text/plain': typeof value === 'string' ? value : inspect(value) };
  const isPlain =
    value !== null &&
    typeof value === 'object' &&
    [Object.prototype, Array.prototype].includes(Object.getPrototypeOf(value));
  if (isPlain) {
    try {
      data['application/json'] = JSON.parse(JSON.stringify(value));
    } catch {
      // A value with a cycle or a BigInt has no JSON.
    }
  }
  return data;
}

function described(error) {
  if (!(error instanceof Error) && Object.prototype.toString.call(error) !== '[object Error]') {
    return { ename: 'Error', evalue: inspect(error), traceback: [inspect(error)] };
  }
  const lines = String(error.stack ?? error).split('\n');
  const own = lines.findIndex((line) => /node:internal|\[eval\]/.test(line));
  return { ename: error.name, evalue: error.message, traceback: own < 1 ? lines : lines.slice(0, own) };
}

process.on('uncaughtException', (error) => process.stderr.write(`${inspect(error)}\n`));
process.on('unhandledRejection', (error) => process.stderr.write(`${inspect(error)}\n`));
// Otherwise it would end the program between two executions.
process.on('SIGINT', () => interruptWait());

let last = Promise.resolve();
createInterface({ input: process.stdin })
  .on('line', (line) => {
    last = last.then(() => run(JSON.parse(line)));
  })
  .on('close', () => process.exit(0));
send('ready', {});
