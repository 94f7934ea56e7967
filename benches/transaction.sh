#!/usr/bin/env bash
# transaction.sh [HOSTS] [RUNS]: what a transaction costs: deploy20 without and with `--atomic`, in turns, on fresh directories.
#
# Starts HOSTS OpenSSH servers (10) on 127.0.1.x; prints the median wall seconds of RUNS runs (9) of each, and how much more the
# transaction takes. Needs sshd, python3 and a release build (or RAPPEL=…).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
rappel=${RAPPEL:-$here/../target/release/rappel}
[ -x "$rappel" ] || { echo "no $rappel: run 'cargo build --release', or set RAPPEL" >&2; exit 1; }

. "$here/hosts.sh"
start_hosts "${1:-10}"
cp "$here"/compare/* "$lab"
head -c 1048576 /dev/urandom >"$lab/artifact.bin"
cd "$lab"
python3 - "$rappel" "${1:-10}" "${2:-9}" <<'PYTHON'
import os, shutil, statistics, subprocess, sys, time
rappel, hosts, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def run(*options):
    shutil.rmtree("work", ignore_errors=True)
    for host in range(1, hosts + 1):
        os.makedirs(f"work/h{host}")
    begun = time.monotonic()
    done = subprocess.run([rappel, "play", "-i", "hosts.ini", "deploy20.yml", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(done.stdout.decode(errors="replace")[-2000:])
    return time.monotonic() - begun
run()
plain, atomic = [], []
for turn in range(runs):
    for times, options in [(plain, []), (atomic, ["--atomic"])][:: 1 if turn % 2 else -1]:
        times.append(run(*options))
plain, atomic = statistics.median(plain), statistics.median(atomic)
print(f"{hosts} hosts, median of {runs} runs: {plain:.3f} s, as a transaction {atomic:.3f} s, {(atomic / plain - 1) * 100:+.0f} %")
PYTHON
