#!/usr/bin/env python3
"""Records what ansible-core answers to the calls in module/calls.yml, and the files that they leave.

usage: [ANSIBLE_PYTHON_INTERPRETER=PYTHON] record_modules.py ANSIBLE_PLAYBOOK [OUT]

A line of module/calls.txt is the status of a call and its result as JSON, with ANY for what differs from run to run, with
DIR for the folder that it worked in, PLAY for that of the playbook and TMP for files of Ansible's own. After the calls come the
files: kind, mode, path, content. tests/modules/oracle.rs replays the calls and compares.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent.resolve() / "module"
# What no playbook reads, or what depends on the machine altogether.
DROPPED = {"invocation", "warnings", "deprecations", "exception", "results_file", "gid_owner", "ansible_facts", "home", "shell", "comment",
           "append", "move_home", "extract_results"}
# What differs from run to run or from machine to machine: it must be there.
VARIES = {"start", "end", "delta", "atime", "mtime", "ctime", "inode", "dev", "uid", "gid", "owner", "group", "pw_name", "gr_name",
          "elapsed", "version", "block_size", "blocks", "device_type", "attributes", "attr_flags", "mimetype", "charset"}


def tidy(value, folder):
    if isinstance(value, dict):
        return {tidy(key, folder): "ANY" if key in VARIES or key.startswith("backup") and item else tidy(item, folder)
                for key, item in sorted(value.items()) if key not in DROPPED}
    if isinstance(value, list):
        return [tidy(item, folder) for item in value]
    if isinstance(value, str):
        return re.sub(r"/[^\s\"]*/\.ansible/tmp/[^\s\"]*", "TMP", value.replace(folder + "/play", "PLAY").replace(folder + "/dir", "DIR"))
    return value


def calls(text, folder):
    """The status and result of each task in the output of `ansible-playbook -v`."""
    tasks = re.split(r"^TASK \[.*\] \**\n", text.partition("\nPLAY RECAP")[0], flags=re.M)[1:]
    for task in tasks:
        head = re.search(r"^(ok|changed|skipping|fatal): \[localhost\](?:: FAILED!)?(?: => (\{.*))?", task, re.M | re.S)
        body = re.split(r"^\.\.\.ignoring", head[2], flags=re.M)[0] if head[2] else "{}"
        result, _ = json.JSONDecoder().raw_decode(body)
        yield f"{head[1]} {json.dumps(tidy(result, folder), ensure_ascii=False, sort_keys=True)}"


def tree(folder):
    for path in sorted(pathlib.Path(folder).rglob("*")):
        mode, name = f"{path.lstat().st_mode & 0o7777:04o}", str(path.relative_to(folder))
        if re.search(r"~$|tree.tgz|^fetched/localhost/", name):
            continue
        if path.is_symlink():
            yield f"link {name} {os.readlink(path)}"
        elif path.is_dir():
            yield f"directory {mode} {name}"
        else:
            yield f"file {mode} {name} {json.dumps(path.read_bytes().decode(), ensure_ascii=False)}"


def main(program, out=HERE / "calls.txt"):
    with tempfile.TemporaryDirectory() as folder:
        folder = os.path.realpath(folder)
        shutil.copytree(HERE, folder + "/play")
        os.mkdir(folder + "/dir")
        environment = os.environ | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0", "ANSIBLE_STDOUT_CALLBACK": "default"}
        command = [program, "-v", "-i", "localhost,", "-c", "local", "-e", f"dir={folder}/dir", folder + "/play/calls.yml"]
        os.umask(0o022)
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        lines = [*calls(ran.stdout, folder), "", *(line.replace(folder + "/dir", "DIR") for line in tree(folder + "/dir"))]
    pathlib.Path(out).write_text("\n".join(lines) + "\n")


main(*sys.argv[1:])
