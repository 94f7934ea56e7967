#!/usr/bin/env bash
# compare.sh [-n HOSTS] [-r RUNS] [-o TABLE] [PLAYBOOK...]: rappel, ansible-playbook and Mitogen side by side.
#
# Starts HOSTS OpenSSH servers on 127.0.1.x, runs every playbook of benches/compare with every program that is installed,
# RUNS times, on fresh directories, and writes the table of medians as Markdown. A run counts only if all hosts come out
# alike, and as they do with the first program. Needs sshd, python3, a release build (or RAPPEL=…), and for the others:
#   pip install ansible-core mitogen        (MITOGEN_PLUGINS=…/ansible_mitogen/plugins/strategy if it is not found)
# Everybody gets pipelining, persistent connections and as many forks as there are hosts.
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

lab=$(mktemp -d "${TMPDIR:-/tmp}/rappel-compare.XXXXXX")
cleanup() {
    for pid in "$lab"/*.pid; do [ -f "$pid" ] && kill "$(cat "$pid")" 2>/dev/null; done
    rm -rf "$lab"
}
trap cleanup EXIT

start_hosts() {
    [ "$(id -u)" != 0 ] || mkdir -p /run/sshd
    ssh-keygen -q -t ed25519 -N '' -f "$lab/login"
    ssh-keygen -q -t ed25519 -N '' -f "$lab/host"
    echo '[fleet]' >"$lab/hosts.ini"
    for i in $(seq "$hosts"); do
        address=127.0.$((1 + i / 250)).$((i % 250 + 1))
        printf '%s\n' "Port 2322" "ListenAddress $address" "HostKey $lab/host" "AuthorizedKeysFile $lab/login.pub" "StrictModes no" \
            "UsePAM no" "PasswordAuthentication no" "PermitRootLogin prohibit-password" "MaxStartups 1000" "MaxSessions 100" \
            "PidFile $lab/$i.pid" "Subsystem sftp internal-sftp" "LogLevel ERROR" "UseDNS no" >"$lab/$i.conf"
        "$(command -v sshd || echo /usr/sbin/sshd)" -f "$lab/$i.conf"
        echo "h$i ansible_host=$address workdir=$lab/work/h$i" >>"$lab/hosts.ini"
        echo "[$address]:2322 $(cut -d' ' -f1,2 "$lab/host.pub")" >>"$lab/known_hosts"
    done
    printf '%s\n' '[fleet:vars]' ansible_port=2322 "ansible_user=$(id -un)" "ansible_ssh_private_key_file=$lab/login" \
        "ansible_ssh_common_args='-F /dev/null -o UserKnownHostsFile=$lab/known_hosts'" \
        "ansible_python_interpreter=$(command -v python3)" >>"$lab/hosts.ini"
}

make_playbooks() {
    : >"$lab/ansible.cfg"
    cp -r "$here/compare" "$lab/playbooks"
    head -c 1048576 /dev/urandom >"$lab/playbooks/artifact.bin"
    head -c 33554432 /dev/urandom >"$lab/playbooks/blob-32m.bin"
    {
        printf -- '- hosts: fleet\n  gather_facts: false\n  tasks:\n'
        for i in $(seq 100); do printf -- '    - name: task %s\n      ansible.builtin.command: hostname\n' "$i"; done
    } >"$lab/playbooks/loop-100-tasks.yml"
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
    local command=(ansible-playbook -f "$hosts" -i "$lab/hosts.ini" "$playbook")
    [ "$program" != rappel ] || command=("$rappel" play -i "$lab/hosts.ini" "$playbook")
    local strategy=linear
    [ "$program" != mitogen ] || strategy=mitogen_linear
    (
        cd "$lab"
        export ANSIBLE_PIPELINING=1 ANSIBLE_STRATEGY=$strategy ANSIBLE_CONFIG="$lab/ansible.cfg" ANSIBLE_HOME="$lab/ansible"
        export ANSIBLE_SSH_ARGS="-o ControlMaster=auto -o ControlPersist=60s" ANSIBLE_HOST_KEY_CHECKING=1
        [ "$program" != mitogen ] || export ANSIBLE_STRATEGY_PLUGINS=$mitogen
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

programs=(rappel)
if command -v ansible-playbook >/dev/null; then
    programs=(ansible-core rappel)
    mitogen=${MITOGEN_PLUGINS:-$("$(dirname "$(readlink -f "$(command -v ansible-playbook)")")/python3" -c \
        'import ansible_mitogen, os; print(os.path.join(os.path.dirname(ansible_mitogen.__file__), "plugins/strategy"))' 2>/dev/null || true)}
    [ -z "$mitogen" ] || programs=(ansible-core mitogen rappel)
fi

start_hosts
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
        results=
        for _ in $(seq "$runs"); do
            results+=$(run "$program" "$playbook")$'\n'
            state=$(digest)
            [ "$(wc -l <<<"$state")" = 1 ] || { echo "$playbook: hosts differ after $program" >&2; exit 1; }
            [ "${expected:=$state}" = "$state" ] || { echo "$playbook: $program leaves another state than ${programs[0]}" >&2; exit 1; }
        done
        rows+=("$program $(sort -n <<<"${results%$'\n'}" | sed -n "$(((runs + 1) / 2))p")")
    done
    printf '%s\n' "${rows[@]}" | awk -v playbook="$playbook" '
        { name[NR] = $1; wall[NR] = $2; cpu[NR] = $3; memory[NR] = $4; if ($1 == "rappel") { w = $2; c = $3 } }
        END { for (i = 1; i <= NR; i++) printf "| %s | %s | %.2f | %.2f | %d | %.1f | %.1f |\n",
              playbook, name[i], wall[i], cpu[i], memory[i], wall[i] / w, cpu[i] / (c > 0 ? c : 0.001) }' >>"$table"
done
