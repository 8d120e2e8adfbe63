#!/usr/bin/env bash
# A test of what curl gets, in bash 4 or newer: ./client.sh. SANDPIT says where the program is, unless it is on the PATH.
set -euo pipefail
cd "$(dirname "$0")"

# The server's standard input is a pipe of this script: it stops when the script does, however that ends.
coproc SERVER { exec "${SANDPIT:-sandpit}" serve --test --random-seed 1 --seed seed.jsonl; }
read -r ready <&"${SERVER[0]}"
url=$(sed -E 's/.*"url":"([^"]*)".*/\1/' <<<"$ready")
key=$(sed -E 's/.*"apiKey":"([^"]*)".*/\1/' <<<"$ready")

list() { curl --silent --get "$url/v1/sessions/sandboxes" --header "X-API-Key: $key" --data-urlencode 'metadata={"userId":"123"}' "$@"; }
steer() { curl --silent --fail --output /dev/null --header 'Content-Type: application/json' "$url/_test/$1" --data "$2"; }
expect() { [[ $1 == *"$2"* ]] || { echo "expected $2 in: $1"; exit 1; } }

expect "$(list)" '"sandbox_id":"vmid-abc-15"'
expect "$(list)" '"status":"active"'

steer clock '{"advance_seconds": 300}'
expect "$(list)" '"status":"killed"'

steer faults '{"path": "/v1/sessions/sandboxes", "status": 429, "retry_after": 2}'
expect "$(list --include)" 'Retry-After: 2'
expect "$(list --include)" '200 OK'

# The same bytes each time, so that an answer can be kept and compared.
curl --silent --request POST "$url/_test/reset" >/dev/null
expect "$(list)" '[{"sandbox_id":"vmid-abc-15","template_id":"snap2","name":"snap2","metadata":{"userId":"123","env":"dev"},"started_at":"2025-01-18T10:29:00.000Z","end_at":"2025-01-18T10:34:00.000Z","status":"active"}]'
echo 'all as expected'
