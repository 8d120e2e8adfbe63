#!/usr/bin/env bash
# Tests what curl receives, in bash 4 or newer: ./client.sh
# SANDPIT is the path of the program; without it, `sandpit` must be on the PATH.
set -euo pipefail
cd "$(dirname "$0")"

# The server's standard input is a pipe of this script, so the server stops when the script does.
coproc SERVER { exec "${SANDPIT:-sandpit}" serve --test --random-seed 1 --seed seed.jsonl; }
read -r ready <&"${SERVER[0]}"
url=$(sed -E 's/.*"url":"([^"]*)".*/\1/' <<<"$ready")
key=$(sed -E 's/.*"apiKey":"([^"]*)".*/\1/' <<<"$ready")

list() { curl --silent --get "$url/v1/sessions/sandboxes" --header "X-API-Key: $key" --data-urlencode 'metadata={"userId":"123"}' "$@"; }
control() { curl --silent --fail --output /dev/null --header 'Content-Type: application/json' "$url/_test/$1" --data "$2"; }
expect() { [[ $1 == *"$2"* ]] || { echo "expected $2 in: $1"; exit 1; } }

expect "$(list)" '"sandbox_id":"vmid-abc-15"'
expect "$(list)" '"status":"active"'

control clock '{"advance_seconds": 300}'
expect "$(list)" '"status":"killed"'

control faults '{"path": "/v1/sessions/sandboxes", "status": 429, "retry_after": 2}'
expect "$(list --include)" 'Retry-After: 2'
expect "$(list --include)" '200 OK'

# With --random-seed the answer has the same bytes in every run, so it can be kept and compared.
curl --silent --request POST "$url/_test/reset" >/dev/null
expect "$(list)" '[{"sandbox_id":"vmid-abc-15","template_id":"snap2","name":"snap2","metadata":{"userId":"123","env":"dev"},"started_at":"2025-01-18T10:29:00.000Z","end_at":"2025-01-18T10:34:00.000Z","status":"active"}]'
echo 'all as expected'
