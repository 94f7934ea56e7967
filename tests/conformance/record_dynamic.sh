#!/usr/bin/env bash
# Records what ansible-inventory says of the scripts and constructed inventories in dynamic/: `ANSIBLE_INVENTORY_PROGRAM=/path/to/ansible-inventory ./record_dynamic.sh`.
set -euo pipefail
cd "$(dirname "$0")/dynamic"
export ANSIBLE_DEPRECATION_WARNINGS=false ANSIBLE_INVENTORY_ENABLED=host_list,script,constructed,yaml,ini
for case in *; do
  source=$case
  [ -f "$case/hosts.sh" ] && source=$case/hosts.sh
  for view in list export graph; do
    options=(--"$view")
    [ "$view" = export ] && options=(--list --export)
    [ "$view" = graph ] && options+=(--vars)
    "${ANSIBLE_INVENTORY_PROGRAM:-ansible-inventory}" -i "$source" "${options[@]}" >"$case/$view.txt" 2>/dev/null
  done
done
