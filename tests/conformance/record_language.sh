#!/usr/bin/env bash
# Records what ansible-core prints for every playbook in language/: `ANSIBLE_PLAYBOOK=/path/to/ansible-playbook ./record_language.sh [CASE ...]`.
set -uo pipefail
cd "$(dirname "$0")/language"
export ANSIBLE_CONFIG=ansible.cfg ANSIBLE_NOCOLOR=1 ANSIBLE_LOCALHOST_WARNING=false ANSIBLE_DEPRECATION_WARNINGS=false
for case in "${@:-*.yml}"; do
  for playbook in $case; do
    "${ANSIBLE_PLAYBOOK:-ansible-playbook}" -i localhost, -c local "$playbook" 2>/dev/null | sed "/^\[ERROR\]/,/\^ column/d" >"${playbook%.yml}.out"
    echo "exit ${PIPESTATUS[0]}" >>"${playbook%.yml}.out"
  done
done
