#!/usr/bin/env bash
# `ANSIBLE_PYTHON_INTERPRETER` names a Python for the modules, where discovery finds none.
# Records what ansible-core prints for every playbook in language/: `ANSIBLE_PLAYBOOK=/path/to/ansible-playbook ./record_language.sh [CASE ...]`.
set -uo pipefail
cd "$(dirname "$0")/language"
# FOLDER stands for this folder. Results come in the order of hosts where one host is worked on at a time.
export ANSIBLE_FORKS=1 ANSIBLE_NOCOLOR=1 ANSIBLE_LOCALHOST_WARNING=false ANSIBLE_DEPRECATION_WARNINGS=false
for case in "${@:-*.yml}"; do
  for playbook in $case; do
    export ANSIBLE_CONFIG=ansible.cfg
    [ -f "${playbook%.yml}.cfg" ] && ANSIBLE_CONFIG=${playbook%.yml}.cfg
    "${ANSIBLE_PLAYBOOK:-ansible-playbook}" -i localhost, -c local "$playbook" 2>/dev/null |
      awk '/^\[ERROR\]/ { skip = 1 } /^(TASK|PLAY|RUNNING|NO MORE|fatal|failed|ok|changed|skipping|included|\.\.\.ignoring)/ { skip = 0 } !skip' | sed "s|$PWD|FOLDER|g" >"${playbook%.yml}.out"
    echo "exit ${PIPESTATUS[0]}" >>"${playbook%.yml}.out"
  done
done
