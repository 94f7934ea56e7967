#!/usr/bin/env python3
"""Records what ansible-playbook shows of the playbooks here, and the events that rappel sends for them.

usage: record.py ANSIBLE_PLAYBOOK RAPPEL [NAME ...]

Writes NAME.jsonl (events, times removed) and NAME.LOOK.txt (standard output of ansible-playbook, without the [ERROR] blocks that
ansible-core 2.19 puts before failures: rappel says the same on standard error). Neither is needed to run the tests.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent.resolve()
LOOKS = {
    "plain": ([], {}),
    "v": (["-v"], {}),
    "vv": (["-vv"], {}),
    "yaml": (["-v"], {"ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml"}),
    "color": ([], {"ANSIBLE_FORCE_COLOR": "1"}),
    "hide-ok": ([], {"ANSIBLE_DISPLAY_OK_HOSTS": "0"}),
    "hide-skipped": ([], {"ANSIBLE_DISPLAY_SKIPPED_HOSTS": "0"}),
    "stderr": ([], {"ANSIBLE_DISPLAY_FAILED_STDERR": "1"}),
    "path": ([], {"ANSIBLE_SHOW_TASK_PATH_ON_FAILURE": "1"}),
    "markers": ([], {"ANSIBLE_CHECK_MODE_MARKERS": "1"}),
    "stats": ([], {"ANSIBLE_SHOW_CUSTOM_STATS": "1"}),
}
SCENARIOS = {
    "basic": ["plain", "v", "yaml", "color", "hide-ok", "hide-skipped"],
    "values": ["plain", "yaml"],
    "failures": ["plain", "color", "stderr", "path"],
    "rescue": ["plain"],
    "loops": ["plain", "v", "yaml", "hide-ok", "hide-skipped"],
    "delegate": ["plain"],
    "retries": ["plain", "color"],
    "includes": ["plain", "color", "hide-ok"],
    "handlers": ["plain"],
    "secrets": ["plain", "v"],
    "batches": ["plain"],
    "statistics": ["stats"],
    "check": ["plain", "markers"],
    "unreachable": ["plain", "color"],
    "diffs": ["plain", "color"],
}
FLAGS = {"check": ["--check"], "diffs": ["--diff"]}
FOLDER = "/srv/site"
# The one text that the two programs have in their own words.
UNREACHABLE = re.compile(r"Task failed: Failed to connect to the host via ssh: [^\"\n]*|cannot connect to [^\"\n]*")


def run(program, folder, name, flags, env):
    for old in folder.glob("file"):
        old.unlink()
    command = [program, "-i", "hosts.ini", "-f", "1", *FLAGS.get(name, []), *flags, f"{name}.yml"]
    env = {**os.environ, "ANSIBLE_LOCALHOST_WARNING": "0", "ANSIBLE_PYTHON_INTERPRETER": sys.executable, "ANSIBLE_NOCOLOR": "0", **env}
    done = subprocess.run(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    return UNREACHABLE.sub("no way there", done.stdout.replace(str(folder), FOLDER))


def without_errors(text):
    """Removes [ERROR] blocks: from their first line to the line before the result."""
    lines, out, skipping = text.split("\n"), [], False
    for line in lines:
        bare = re.sub(r"\x1b\[[0-9;]*m", "", line)
        if bare.startswith("[ERROR]: "):
            skipping = True
        elif skipping and re.match(r"(fatal|failed|ok|changed|skipping|included|\.\.\.|PLAY|TASK|task path|FAILED - )", bare):
            skipping = False
        if not skipping:
            out.append(line)
    return "\n".join(out)


def timeless(line):
    def walk(value):
        if isinstance(value, dict):
            return {key: 0.5 if key in ("elapsed", "took") else walk(inner) for key, inner in value.items()}
        return [walk(inner) for inner in value] if isinstance(value, list) else value

    event = walk(json.loads(line))
    event["at"] = "2026-01-01T00:00:00Z"
    return json.dumps(event, ensure_ascii=False)


def main():
    ansible, rappel, *wanted = sys.argv[1:]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary).resolve()
        shutil.copytree(HERE, folder, dirs_exist_ok=True)
        for name in wanted or SCENARIOS:
            run_rappel = [os.path.abspath(rappel), "play"]
            for old in folder.glob("file"):
                old.unlink()
            command = [*run_rappel, "-i", "hosts.ini", "--record", "events.jsonl", *FLAGS.get(name, []), f"{name}.yml"]
            subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
            events = UNREACHABLE.sub("no way there", (folder / "events.jsonl").read_text().replace(str(folder), FOLDER))
            (HERE / f"{name}.jsonl").write_text("".join(timeless(line) + "\n" for line in events.splitlines()))
            for look in SCENARIOS[name]:
                shown = without_errors(run(os.path.abspath(ansible), folder, name, *LOOKS[look]))
                (HERE / f"{name}.{look}.txt").write_text(shown)


main()
