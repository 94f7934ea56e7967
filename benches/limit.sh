#!/usr/bin/env bash
# limit.sh [HOSTS] [TURNS] [RUNS]: rappel beside the smallest program over the same SSH library.
#
# Both log in on HOSTS OpenSSH servers and make TURNS round trips on each; rappel's start its worker and run a module. Prints wall
# and CPU seconds of the medians, and how many times more rappel takes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
hosts=${1:-10} turns=${2:-20} runs=${3:-5}
rappel=${RAPPEL:-$here/../target/release/rappel}
[ -x "$rappel" ] || { echo "no $rappel: run 'cargo build --release', or set RAPPEL" >&2; exit 1; }
limit=${LIMIT:-$(cd "$here/.." && cargo bench --bench limit --no-run --message-format json 2>/dev/null |
    python3 -c 'import json, sys; print([line for line in map(json.loads, sys.stdin) if line.get("executable")][-1]["executable"])')}
. "$here/hosts.sh"
start_hosts "$hosts"
addresses=$(sed -n 's/^h.*ansible_host=\([^ ]*\).*/\1:2322/p' "$lab/hosts.ini")

# The worker is on the hosts already, as it is in every run but the first.
"$rappel" bench -i "$lab/hosts.ini" --tasks 1 >/dev/null
median() { sort -n | sed -n "$(((runs + 1) / 2))p"; }
for _ in $(seq "$runs"); do
    "$limit" "$lab/login" "$(id -un)" "$turns" $addresses >>"$lab/smallest"
    "$rappel" bench -i "$lab/hosts.ini" --tasks "$turns" --json |
        python3 -c 'import json, sys; m = json.load(sys.stdin); print(m["seconds"], m["cpu_ms_per_host"] * m["hosts"] / 1000)' >>"$lab/rappel"
done
paste -d' ' <(median <"$lab/smallest") <(median <"$lab/rappel") | awk -v hosts="$hosts" -v turns="$turns" '{
    printf "%d hosts, %d round trips each: the smallest program %.3f s wall, %.3f s CPU; rappel %.3f s, %.3f s; %.2f and %.2f times\n",
        hosts, turns, $1, $2, $3, $4, $3 / $1, $4 / $2 }'
