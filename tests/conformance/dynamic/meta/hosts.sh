#!/bin/sh
# Everything about hosts in `_meta`, so that `--host` is not asked.
[ "$1" = --list ] || exit 3
cat <<'END'
{
  "web": {"hosts": ["web1", "web2"], "vars": {"port": 80, "tls": true, "nested": {"a": [1, null]}}},
  "db": ["db1"],
  "all_of_it": {"children": ["web", "db", "empty"]},
  "empty": {"hosts": []},
  "_meta": {"hostvars": {"web1": {"ansible_host": "10.0.0.1", "text": "{{ port }}"}, "alone": {"lost": true}}}
}
END
