import { Argument, type Command } from 'commander';
import type { Terminal } from '../terminal/terminal.ts';

/** Add this command last: its script completes the commands that the program has. */
export function completionCommand(program: Command, { stdout }: Terminal): void {
  program
    .command('completion')
    .addArgument(new Argument('<shell>', 'the shell').choices(['bash']))
    .description('print a completion script: source <(sandpit completion bash)')
    .action(() => void stdout.write(bashScript(program)));
}

/** Commands typed so far, and the words that can follow them. */
type Completion = { path: string; words: string[] };

/** Returns the completions of a command and of its subcommands, the longest path first. */
function completionsOf(command: Command, path = ''): Completion[] {
  const subcommands = command.commands.map((child) => child.name());
  const flags = command.options.flatMap(({ long }) => long ?? []);
  const inner = command.commands.flatMap((child) => completionsOf(child, `${path} ${child.name()}`));
  return [...inner, { path, words: [...subcommands, ...flags, '--help'] }];
}

function bashScript(program: Command): string {
  const cases = completionsOf(program).map(({ path, words }) => `    "${path}"*) words="${words.join(' ')}" ;;`);
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
