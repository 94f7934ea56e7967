"""What benches/template.rs measures, under ansible-core's own templar: run it with the Python that has ansible-core.

    python benches/template_ansible.py
"""
import time

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template


def trusted(value):
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, list):
        return [trusted(item) for item in value]
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    return value


def variables(host):
    out = {'inventory_hostname': f'host{host}'}
    for i in range(0, 200, 4):
        out[f'v{i}'] = f'value {i} of host{host}'
        out[f'v{i + 1}'] = '{{ v%d }}/{{ inventory_hostname }}' % i
        out[f'v{i + 2}'] = ['one', 'two', '{{ v%d }}' % i]
        out[f'v{i + 3}'] = {'name': '{{ v%d }}' % (i + 1), 'port': 8000 + i, 'active': True}
    return trusted(out)


def every_variable():
    lines = []
    for i in range(0, 200, 4):
        lines += [
            'a%d = {{ v%d | upper }}' % (i, i),
            "b%d = {{ v%d | replace('value', 'x') }}" % (i, i + 1),
            "c%d = {{ v%d | join(', ') }}" % (i, i + 2),
            'd%d = {{ v%d.name }}:{{ v%d.port + 1 }}' % (i, i + 3, i + 3),
        ]
    return '\n'.join(lines) + '\n'


def thousand_lines():
    lines = []
    for block in range(100):
        i = block % 50 * 4
        line, many, pairs = i + 1, i + 2, i + 3
        lines += [
            '# block %d of {{ inventory_hostname }}' % block,
            "server {{ v%d.name | default('none') }};" % pairs,
            'listen {{ v%d.port }};' % pairs,
            "{%% if v%d.active and v%d['port'] > 8000 %%}" % (pairs, pairs),
            'root {{ v%d }};' % line,
            '{% endif %}',
            '{%% for item in v%d %%}' % many,
            'allow {{ loop.index }} {{ item | upper }};',
            '{% endfor %}',
            '# end %d' % block,
        ]
    return '\n'.join(lines) + '\n'


def main():
    hosts = [variables(host) for host in range(1000)]
    loader = DataLoader()
    for name, text, count in [('every variable of one of 1,000 hosts', every_variable(), 100), ('1,000 lines for one host', thousand_lines(), 20)]:
        text = trust_as_template(text)
        Templar(loader, variables=hosts[0]).template(text)
        begun = time.perf_counter()
        for host in range(count):
            Templar(loader, variables=hosts[1 + host]).template(text)
        print(f'{name}: {(time.perf_counter() - begun) / count * 1000:.3f} ms')


if __name__ == '__main__':
    main()
