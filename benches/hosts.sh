# Sourced by the comparisons: start_hosts N starts N OpenSSH servers on 127.0.1.x that end with the script, in the folder $lab,
# with an inventory hosts.ini and a key `login`. Each keeps its journals in a folder of its own,
# and none reads the start files of this machine's shell (SHLVL), which would be measured in their place.
lab=$(mktemp -d "${TMPDIR:-/tmp}/rappel-compare.XXXXXX")
cleanup() {
    for pid in "$lab"/*.pid; do [ -f "$pid" ] && kill "$(cat "$pid")" 2>/dev/null; done
    rm -rf "$lab"
}
trap cleanup EXIT

# start_hosts N
start_hosts() {
    [ "$(id -u)" != 0 ] || mkdir -p /run/sshd
    ssh-keygen -q -t ed25519 -N '' -f "$lab/login"
    ssh-keygen -q -t ed25519 -N '' -f "$lab/host"
    echo '[fleet]' >"$lab/hosts.ini"
    for i in $(seq "$1"); do
        address=127.0.$((1 + i / 250)).$((i % 250 + 1))
        printf '%s\n' "Port 2322" "ListenAddress $address" "HostKey $lab/host" "AuthorizedKeysFile $lab/login.pub" "StrictModes no" \
            "UsePAM no" "PasswordAuthentication no" "PermitRootLogin prohibit-password" "MaxStartups 1000" "MaxSessions 100" \
            "PidFile $lab/$i.pid" "SetEnv RAPPEL_STATE_DIR=$lab/state/h$i SHLVL=2" "Subsystem sftp internal-sftp" "LogLevel ERROR" "UseDNS no" >"$lab/$i.conf"
        "$(command -v sshd || echo /usr/sbin/sshd)" -f "$lab/$i.conf"
        echo "h$i ansible_host=$address workdir=$lab/work/h$i" >>"$lab/hosts.ini"
        echo "[$address]:2322 $(cut -d' ' -f1,2 "$lab/host.pub")" >>"$lab/known_hosts"
    done
    printf '%s\n' '[fleet:vars]' ansible_port=2322 "ansible_user=$(id -un)" "ansible_ssh_private_key_file=$lab/login" \
        "ansible_ssh_common_args='-F /dev/null -o UserKnownHostsFile=$lab/known_hosts'" \
        "ansible_python_interpreter=$(command -v python3)" >>"$lab/hosts.ini"
}
