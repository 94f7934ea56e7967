#!/usr/bin/env bash
# compare.sh [-n HOSTS] [-r RUNS] [-o TABLE] [PLAYBOOK...]: rappel, ansible-playbook, Mitogen and ansible-core-rs side by side.
#
# Starts HOSTS OpenSSH servers on 127.0.1.x, runs every playbook of benches/compare with every program that is installed,
# RUNS times, on fresh directories, and writes the table of medians as Markdown. A run counts only if all hosts come out
# alike; rappel's only if they come out as with the first program, another's gets an asterisk if they do not. Needs sshd, python3,
# a release build (or RAPPEL=…), and for the others any of
#   pip install ansible-core                found in PATH, or ANSIBLE_PLAYBOOK=…/bin/ansible-playbook
#   pip install mitogen                     found beside that, or MITOGEN_PLAYBOOK=… of an environment that has it
#   pip install ansible-core-rs             in an environment of its own: ANSIBLE_CORE_RS=…/bin/ansible
# Everybody gets pipelining, persistent connections and as many forks as there are hosts. ansible-core-rs has no `find` and is
# spared it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
hosts=10 runs=3 table=/dev/stdout
while getopts n:r:o: option; do
    case $option in n) hosts=$OPTARG ;; r) runs=$OPTARG ;; o) table=$OPTARG ;; *) exit 2 ;; esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- deploy20 loop-100-items loop-100-copies loop-100-tasks transfer facts
rappel=${RAPPEL:-$here/../target/release/rappel}
[ -x "$rappel" ] || { echo "no $rappel: run 'cargo build --release', or set RAPPEL" >&2; exit 1; }

. "$here/hosts.sh"

make_playbooks() {
    : >"$lab/ansible.cfg"
    cp -r "$here/compare" "$lab/playbooks"
    head -c 1048576 /dev/urandom >"$lab/playbooks/artifact.bin"
    head -c 33554432 /dev/urandom >"$lab/playbooks/blob-32m.bin"
    {
        printf -- '- hosts: fleet\n  gather_facts: false\n  tasks:\n'
        for i in $(seq 100); do printf -- '    - name: task %s\n      ansible.builtin.command: hostname\n' "$i"; done
    } >"$lab/playbooks/loop-100-tasks.yml"
    mkdir "$lab/playbooks/without-find"
    cp -r "$lab/playbooks"/*.bin "$lab/playbooks"/*.j2 "$lab/playbooks/without-find"
    for playbook in "$lab/playbooks"/*.yml; do
        python3 - "$playbook" >"$lab/playbooks/without-find/$(basename "$playbook")" <<'PYTHON'
import re, sys
pieces = re.split(r"(?m)^(?=    - )", open(sys.argv[1]).read())
print("".join(piece for piece in pieces if "ansible.builtin.find:" not in piece), end="")
PYTHON
    done
}

# The state of all hosts: one line when they are alike.
digest() {
    for host in "$lab"/work/h*; do
        (
            cd "$host"
            find . -printf '%y %m %p %l\n' | sed "s#$host#HOST#g" | sort
            find . -type f | sort | while read -r file; do
                if [ "$(stat -c %s "$file")" -gt 65536 ]; then sha256sum <"$file"; else sed "s#$host#HOST#g; s/\\b$(basename "$host")\\b/HOST/g" "$file" | sha256sum; fi
            done
        ) | sha256sum
    done | sort -u
}

# run PROGRAM PLAYBOOK: wall seconds, CPU seconds of the controller and its children, peak memory in MiB.
run() {
    local program=$1 playbook=$lab/playbooks/$2.yml
    rm -rf "$lab/work" && mkdir "$lab/work"
    for i in $(seq "$hosts"); do mkdir "$lab/work/h$i"; done
    local command=("$ansible" -f "$hosts" -i "$lab/hosts.ini" "$playbook")
    case $program in
        rappel) command=("$rappel" play -i "$lab/hosts.ini" "$playbook") ;;
        mitogen) command[0]=$with_mitogen ;;
        ansible-core-rs) command=("$core_rs" playbook -f "$hosts" -i "$lab/hosts.ini" "$lab/playbooks/without-find/$2.yml") ;;
    esac
    local strategy=linear
    [ "$program" != mitogen ] || strategy=mitogen_linear
    (
        cd "$lab"
        export ANSIBLE_PIPELINING=1 ANSIBLE_STRATEGY=$strategy ANSIBLE_CONFIG="$lab/ansible.cfg" ANSIBLE_HOME="$lab/ansible"
        export ANSIBLE_SSH_ARGS="-o ControlMaster=auto -o ControlPersist=60s" ANSIBLE_HOST_KEY_CHECKING=1
        [ "$program" != mitogen ] || export ANSIBLE_STRATEGY_PLUGINS=$plugins
        [ "$program" != rappel ] || unset ANSIBLE_STRATEGY
        python3 - "${command[@]}" <<'PYTHON'
import resource, subprocess, sys, time
begun = time.monotonic()
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
wall = time.monotonic() - begun
used = resource.getrusage(resource.RUSAGE_CHILDREN)
if done.returncode:
    sys.exit(done.stdout.decode(errors="replace")[-2000:])
print(f"{wall:.3f} {used.ru_utime + used.ru_stime:.3f} {used.ru_maxrss / 1024:.0f}")
PYTHON
    )
}

ansible=${ANSIBLE_PLAYBOOK:-$(command -v ansible-playbook || true)}
with_mitogen=${MITOGEN_PLAYBOOK:-$ansible}
core_rs=${ANSIBLE_CORE_RS:-}
plugins=
[ -z "$with_mitogen" ] || plugins=$("$(dirname "$(readlink -f "$with_mitogen")")/python3" -c \
    'import ansible_mitogen, os; print(os.path.join(os.path.dirname(ansible_mitogen.__file__), "plugins/strategy"))' 2>/dev/null || true)
programs=()
[ -z "$ansible" ] || programs+=(ansible-core)
[ -z "$plugins" ] || programs+=(mitogen)
[ -z "$core_rs" ] || programs+=(ansible-core-rs)
programs+=(rappel)

start_hosts "$hosts"
make_playbooks
{
    echo "$hosts hosts, median of $runs runs, $(nproc) cores, $(date +%F)"
    echo
    echo '| playbook | program | wall s | CPU s | memory MiB | wall, times rappel | CPU, times rappel |'
    echo '|---|---|--:|--:|--:|--:|--:|'
} >"$table"
for playbook in "$@"; do
    expected=
    rows=()
    for program in "${programs[@]}"; do
        results= label=$program
        for _ in $(seq "$runs"); do
            results+=$(run "$program" "$playbook")$'\n'
            state=$(digest)
            [ "$(wc -l <<<"$state")" = 1 ] || { echo "$playbook: hosts differ after $program" >&2; exit 1; }
            [ "${expected:=$state}" = "$state" ] || label="$program*"
        done
        [ "$label" != "rappel*" ] || { echo "$playbook: rappel leaves another state than ${programs[0]}" >&2; exit 1; }
        rows+=("$label $(sort -n <<<"${results%$'\n'}" | sed -n "$(((runs + 1) / 2))p")")
    done
    printf '%s\n' "${rows[@]}" | awk -v playbook="$playbook" '
        { name[NR] = $1; wall[NR] = $2; cpu[NR] = $3; memory[NR] = $4; if ($1 == "rappel") { w = $2; c = $3 } }
        END { for (i = 1; i <= NR; i++) printf "| %s | %s | %.2f | %.2f | %d | %.1f | %.1f |\n",
              playbook, name[i], wall[i], cpu[i], memory[i], wall[i] / w, cpu[i] / (c > 0 ? c : 0.001) }' >>"$table"
done
