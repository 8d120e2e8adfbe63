# Stands in for the scp of the image where there is none: both sides of the protocol of `scp -O`,
# for a shell of POSIX. Answers are a byte: 0 is yes, 1 and 2 begin a line that says why not.

# Copies so many bytes of the input, and reads no more.
scp_bytes() {
  [ "$1" -lt 65536 ] || dd bs=65536 count=$(($1 / 65536)) iflag=fullblock 2>/dev/null || return
  [ $(($1 % 65536)) -eq 0 ] || dd bs=$(($1 % 65536)) count=1 iflag=fullblock 2>/dev/null
}

# Reads an answer: whether it is yes.
scp_answer() {
  [ "$(dd bs=1 count=1 2>/dev/null | tr '\0' 0)" = 0 ]
}

# Says why something can't be copied.
scp_refuse() {
  printf '\1scp: %s\n' "$1"
  scp_failed=1
}

# Returns a path that no program takes for an option.
scp_plain() {
  case $1 in -*) printf './%s' "$1" ;; *) printf '%s' "$1" ;; esac
}

# Sets when a file was last changed, if the client has said it.
scp_date() {
  [ -z "$scp_times" ] || touch -m -d "@$scp_times" "$1"
}

# Takes what the client sends: into a directory, or as one file. Returns 0, 1 if something could not
# be written, or 2 if the rest can't be read.
scp_take() {
  printf '\0'
  scp_times=
  while IFS= read -r scp_line; do
    scp_rest=${scp_line#?}
    scp_mode=${scp_rest%% *}
    scp_rest=${scp_rest#* }
    scp_size=${scp_rest%% *}
    scp_name=${scp_rest#* }
    scp_path=$1
    [ ! -d "$1" ] || scp_path=$1/$scp_name
    case $scp_line in
    T*)
      # seconds of the last change, 0, and of the last use, 0
      scp_times=$scp_mode
      printf '\0'
      ;;
    [CD]*/* | [CD]*' .' | [CD]*' ..') scp_refuse "$scp_name: unexpected filename" ;;
    C*)
      if [ -d "$scp_path" ]; then
        scp_refuse "$scp_path: Is a directory"
      elif ! (: >"$scp_path") 2>/dev/null; then
        scp_refuse "$scp_path: can't be written"
      else
        printf '\0'
        if ! scp_bytes "$scp_size" >"$scp_path" || ! scp_answer; then
          scp_refuse "$scp_path: could not be written"
          return 2
        fi
        chmod "$scp_mode" "$scp_path"
        scp_date "$scp_path"
        printf '\0'
      fi
      scp_times=
      ;;
    D*)
      if [ -d "$scp_path" ] || mkdir "$scp_path" 2>/dev/null; then
        # A shell of its own, because variables are everybody's.
        (scp_take "$scp_path")
        case $? in
        0) ;;
        1) scp_failed=1 ;;
        *) return 2 ;;
        esac
        chmod "$scp_mode" "$scp_path"
        scp_date "$scp_path"
      else
        scp_refuse "$scp_path: can't be made"
      fi
      scp_times=
      ;;
    E*)
      printf '\0'
      return "$scp_failed"
      ;;
    *) return 2 ;;
    esac
  done
  return "$scp_failed"
}

# Sends a file, or a directory with all in it.
scp_send() {
  case $1 in
  *'
'*)
    scp_refuse "$(printf '%s' "$1" | tr '\n' '?'): a name with a line break can't be sent"
    return
    ;;
  esac
  if [ ! -r "$1" ]; then
    if [ -e "$1" ]; then scp_refuse "$1: Permission denied"; else scp_refuse "$1: No such file or directory"; fi
    return
  fi
  if [ -d "$1" ] && [ -z "$scp_recursive" ] || [ ! -d "$1" ] && [ ! -f "$1" ]; then
    scp_refuse "$1: not a regular file"
    return
  fi
  if [ -n "$scp_keep" ]; then
    printf 'T%s 0 %s 0\n' "$(stat -L -c %Y "$1")" "$(stat -L -c %X "$1")"
    scp_answer || return
  fi
  if [ -d "$1" ]; then
    printf 'D%04d 0 %s\n' "$(stat -L -c %a "$1")" "$(basename "$1")"
    scp_answer || return
    for scp_each in "$1"/* "$1"/.[!.]* "$1"/..?*; do
      { [ ! -e "$scp_each" ] && [ ! -L "$scp_each" ]; } || (scp_send "$scp_each"; exit "$scp_failed") || scp_failed=1
    done
    printf 'E\n'
  else
    scp_size=$(wc -c <"$1")
    printf 'C%04d %d %s\n' "$(stat -L -c %a "$1")" "$scp_size" "$(basename "$1")"
    scp_answer || return
    # One that gets shorter meanwhile is filled up: the client waits for all bytes.
    cat "$1" /dev/zero 2>/dev/null | scp_bytes "$scp_size"
    printf '\0'
  fi
  scp_answer || scp_failed=1
}

command -v scp >/dev/null 2>&1 || scp() {
  scp_failed=0 scp_recursive= scp_keep= scp_is_target= scp_sends=
  while [ "$#" -gt 0 ]; do
    case $1 in
    --)
      shift
      break
      ;;
    -*)
      case $1 in *r*) scp_recursive=1 ;; esac
      case $1 in *p*) scp_keep=1 ;; esac
      case $1 in *d*) scp_is_target=1 ;; esac
      case $1 in *f*) scp_sends=1 ;; esac
      shift
      ;;
    *) break ;;
    esac
  done
  if [ -n "$scp_sends" ]; then
    scp_answer || return
    for scp_each in "$@"; do scp_send "$(scp_plain "$scp_each")"; done
    return "$scp_failed"
  fi
  if [ -n "$scp_is_target" ] && [ ! -d "$1" ]; then
    scp_refuse "$1: Not a directory"
    return 1
  fi
  scp_take "$(scp_plain "$1")"
}
