#!/usr/bin/env python3
"""Records what ansible-core makes of the templates in template/*.txt: run it with the Python that has ansible-core.

    record_templates.py [FILE ...]

A file starts with variables in YAML up to a line `---`. After that each line is a case: a template (or, after `?`, a
condition), ` => `, and the recorded result as JSON, or `!` and the error. A template that starts with a double quote is a
JSON string. Lines that start with `#` are comments; a case after `#!keep` is not recorded again (a known deviation).
"""

import json
import pathlib
import sys

import yaml
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


def result_of(templar, case):
    try:
        if case.startswith("?"):
            value = templar.evaluate_conditional(trust_as_template(case[1:].strip()))
        else:
            value = templar.template(trust_as_template(json.loads(case) if case.startswith('"') else case))
        return json.dumps(value, ensure_ascii=False, default=str)
    except Exception as error:  # whatever it is, it is the answer
        return "! " + str(error).splitlines()[0]


def record(path):
    head, separator, cases = path.read_text().partition("\n---\n")
    templar = Templar(DataLoader(), variables=trusted(yaml.safe_load(head) or {}))
    out, keep = [], False
    for line in cases.splitlines():
        if not line or line.startswith("#"):
            keep = line.startswith("#!keep")
            out.append(line)
            continue
        case, _, old = line.partition(" => ")
        out.append(line if keep else f"{case} => {result_of(templar, case)}")
        keep = False
    path.write_text(head + separator + "\n".join(out) + "\n")


here = pathlib.Path(__file__).parent / "template"
for name in sys.argv[1:] or sorted(here.glob("*.txt")):
    record(pathlib.Path(name))
