import { Argument, type Command } from 'commander';
import type { Terminal } from '../terminal/terminal.ts';

/** Must be given the program with all its other commands. */
export function completionCommand(program: Command, { stdout }: Terminal): void {
  const scripts: Record<string, (program: Command) => string> = { bash, zsh, fish };
  program
    .command('completion')
    .addArgument(new Argument('<shell>', 'which shell').choices(Object.keys(scripts)))
    .description('print completions: source <(sandpit completion bash), or sandpit completion fish | source')
    .action((shell) => void stdout.write(scripts[shell]?.(program) ?? ''));
}

/** What may follow the words typed so far. */
type Place = { words: string[]; commands: readonly Command[]; options: { flag: string; help: string }[] };

/** Returns every place there is, the deepest first. */
function placesOf(command: Command, words: string[] = []): Place[] {
  const options = command.options.flatMap(({ long, description }) => (long ? [{ flag: long, help: description }] : []));
  const inner = command.commands.flatMap((child) => placesOf(child, [...words, child.name()]));
  return [
    ...inner,
    { words, commands: command.commands, options: [...options, { flag: '--help', help: 'show help' }] },
  ];
}

function bash(program: Command): string {
  const cases = placesOf(program).map(({ words, commands, options }) => {
    const candidates = [...commands.map((command) => command.name()), ...options.map(({ flag }) => flag)];
    return `    "${words.map((word) => ` ${word}`).join('')}"*) words="${candidates.join(' ')}" ;;`;
  });
  return `_sandpit() {
  local i path="" words=""
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ \${COMP_WORDS[i]} == -* ]] || path+=" \${COMP_WORDS[i]}"
  done
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _sandpit sandpit
`;
}

/** zsh runs bash's. */
function zsh(program: Command): string {
  return `autoload -Uz compinit bashcompinit && compinit && bashcompinit\n${bash(program)}`;
}

function fish(program: Command): string {
  const lines = placesOf(program).flatMap(({ words, commands, options }) => {
    const others = commands.map((command) => command.name()).join(' ');
    const inside = words.map((word) => `__fish_seen_subcommand_from ${word}`);
    const condition = [...inside, ...(others ? [`not __fish_seen_subcommand_from ${others}`] : [])].join('; and ');
    const when = condition ? `-n ${quoted(condition)} ` : '';
    return [
      ...commands.map((c) => `complete -c sandpit ${when}-a ${c.name()} -d ${quoted(c.description())}`),
      ...options.map(({ flag, help }) => `complete -c sandpit ${when}-l ${flag.slice(2)} -d ${quoted(help)}`),
    ];
  });
  return `${lines.join('\n')}\n`;
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
