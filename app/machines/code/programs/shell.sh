# Runs scripts that arrive on standard input in one bash, which keeps its variables and directory.
#
# Standard input has, each ended by a NUL: an id, the number of variables, each as NAME=value, and the
# script.
# Standard output and error are those of the script. Between them come messages, as ../marked-output.ts
# describes. An interrupt is the signal SIGINT.
__mark=$1
set --
exec 6<&0 7>&1 8>&2 0</dev/null

__send() { printf '\0%s.{"type":"%s","content":{%s}}\0' "$__mark" "$1" "$2"; }

# In a function, so that an interrupt can leave the script by `return`.
__run() {
  trap 'return 130' INT
  eval "$__script" 6<&- 7>&- 8>&-
}

__count=0
__send ready '' >&7
trap '' INT
while IFS= read -r -d '' __id <&6; do
  IFS= read -r -d '' __number <&6
  __before=()
  for ((; __number > 0; __number--)); do
    IFS= read -r -d '' __variable <&6
    __name=${__variable%%=*}
    if [[ -v $__name ]]; then __before+=("$__name=${!__name}"); else __before+=("$__name"); fi
    export "$__variable"
  done
  IFS= read -r -d '' __script <&6
  [[ $__script ]] && __count=$((__count + 1))
  __send began "\"id\":$__id" >&7
  __run 1>&7 2>&8
  __status=$? __ok=false
  [[ $__status = 0 ]] && __ok=true
  trap '' INT
  for __variable in "${__before[@]}"; do
    if [[ $__variable == *=* ]]; then export "$__variable"; else unset "$__variable"; fi
  done
  __send done "\"id\":$__id" >&8
  __send done "\"id\":$__id,\"ok\":$__ok,\"exit_code\":$__status,\"execution_count\":$__count" >&7
done
