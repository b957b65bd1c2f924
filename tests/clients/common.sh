# Shared by the tests of the client libraries. The caller has set `set -euo pipefail`.
#
# EDDYLINE names the program of the server, and EDDYLINE_TESTS_CACHE a folder for downloaded packages.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
cache="${EDDYLINE_TESTS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/eddyline-tests}"
export EDDYLINE="${EDDYLINE:-$root/target/debug/eddyline}"
scratch="$(mktemp -d)"
server=

clean_up() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$scratch"
}
trap clean_up EXIT

# Starts a server on a free port with an empty store, and sets `url`.
start_server() {
  "$EDDYLINE" serve --listen 127.0.0.1:0 --store "file:$scratch/data" >"$scratch/address" 2>"$scratch/log" &
  server=$!
  local _
  for _ in $(seq 600); do
    url="$(sed -n 's/^listening on //p' "$scratch/address" | head -n 1)"
    [ -n "$url" ] && return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  cat "$scratch/log" >&2
  return 1
}

# block LANGUAGE NUMBER README: prints a code block, counted from 1, with the addresses of this test in it.
block() {
  awk -v fence="\`\`\`$1" -v wanted="$2" '
    $0 == "```" { inside = 0 }
    inside { print }
    $0 == fence { count += 1; inside = count == wanted }
  ' "$3" | sed -e "s#http://127.0.0.1:8080#${url:-}#g" -e "s#\.\./eddyline/clients#$scratch/clients#g" \
    -e "s#\.\./\.\./target/debug/eddyline#$EDDYLINE#g" | grep . || {
    echo "$3 has no block $2 of $1" >&2
    return 1
  }
}

# Runs the commands of a shell block of the README.
run_block() {
  local commands
  commands="$(block sh "$1" "$readme")"
  bash -euxc "$commands"
}
