#!/usr/bin/env python3
"""Compares what ansible-core and rappel accept of whole repositories: run it with the Python that has ansible-core.

    repositories.py RAPPEL REPOSITORY...

Prints a row for each repository: its playbooks, task files, files of variables and templates, and how many of each both
programs accept; below, each file that only ansible-core accepts, and what rappel says about it.

- A playbook, and a task file inside a playbook of its own: `--syntax-check`.
- A file of variables (`vars`, `defaults`, `group_vars`, `host_vars`): read as `vars_files`.
- A template (`*.j2`): parsed. With the filters and tests that ansible-core has, as it knows them.
- Last, what `rappel check` calls an error in playbooks that ansible-core accepts.

EVERY=8 takes only every eighth playbook and task file: some repositories have hundreds. ANSIBLE_COLLECTIONS_PATH says where collections are. Both programs get the same configuration: the nearest `ansible.cfg`, all folders
`roles` and `library` of the repository, and the repository itself where it is a collection.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

NOT_OURS = {".git", ".github", "node_modules", ".travis.yml"}
VARIABLES = {"vars", "defaults", "group_vars", "host_vars"}
TASKS = {"tasks", "handlers"}


class AnyTag(yaml.SafeLoader):
    pass


AnyTag.add_multi_constructor("", lambda loader, suffix, node: None)


def plain(path):
    """What is in a YAML file; nothing where it cannot be read."""
    try:
        return yaml.load(path.read_text(), AnyTag)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, OSError):
        return None


def items(document):
    return [item for item in document if isinstance(item, dict)] if isinstance(document, list) else []


def is_playbook(document):
    plays = items(document)
    return bool(plays) and all("hosts" in play or any(key.endswith("import_playbook") for key in play) for play in plays)


class Repository:
    def __init__(self, root, scratch):
        self.root, self.scratch = root, scratch
        self.playbooks, self.tasks, self.variables, self.templates = [], [], [], []
        folders, collections = {"roles": [], "library": []}, []
        for path in sorted(root.rglob("*")):
            relative = path.relative_to(root)
            if NOT_OURS & set(relative.parts) or path.is_symlink():
                continue
            if path.is_dir() and path.name in folders:
                folders[path.name].append(str(path))
            if path.is_file() and path.name == "galaxy.yml":
                collections.append(path)
            if path.is_file():
                self.sort(path, relative)
        every = int(os.environ.get("EVERY", "1"))
        self.playbooks, self.tasks = self.playbooks[::every], self.tasks[::every]
        self.environment = dict(os.environ, ANSIBLE_ROLES_PATH=":".join(folders["roles"]), ANSIBLE_LIBRARY=":".join(folders["library"]))
        self.environment |= {"ANSIBLE_DEPRECATION_WARNINGS": "false", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "false"}
        # Where rappel finds ansible-core for modules that it does not have.
        self.environment["PATH"] = f"{pathlib.Path(sys.executable).parent}:{self.environment['PATH']}"
        if collections:
            self.add_collections(collections)

    def sort(self, path, relative):
        folders = set(relative.parts[:-1])
        if path.suffix == ".j2":
            self.templates.append(path)
        elif folders & VARIABLES and not folders & {"templates", "files"} and path.suffix in {".yml", ".yaml", ""}:
            if isinstance(plain(path), dict):
                self.variables.append(path)
        elif path.suffix in {".yml", ".yaml"} and not folders & {"templates", "files"}:
            document = plain(path)
            if is_playbook(document):
                self.playbooks.append(path)
            elif folders & TASKS and items(document):
                self.tasks.append(path)

    def add_collections(self, found):
        """The repository under the name that its own playbooks call it by."""
        for galaxy in found:
            meta = plain(galaxy)
            link = self.scratch / "ansible_collections" / meta["namespace"] / meta["name"]
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(galaxy.parent)
        known = self.environment.get("ANSIBLE_COLLECTIONS_PATH")
        self.environment["ANSIBLE_COLLECTIONS_PATH"] = ":".join(filter(None, [str(self.scratch), known]))

    def settings(self, path):
        for folder in path.parents:
            if (folder / "ansible.cfg").is_file():
                return folder
            if folder == self.root:
                break
        return self.root

    def run(self, program, arguments, path):
        """Whether it ended well, and what it said."""
        command = [*program, "-i", "localhost,", *arguments]
        done = subprocess.run(
            command, cwd=self.settings(path), env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600
        )
        return done.returncode == 0, done.stdout, done.stderr

    def wrapped(self, path):
        """A playbook that has the task file, and the lines that make it one."""
        section = "handlers" if "handlers" in path.parts else "tasks"
        play = {"hosts": "localhost", "gather_facts": False, section: [{"name": "all", "import_tasks": str(path)}]}
        wrapper = self.scratch / f"{len(self.tasks)}-{self.tasks.index(path)}.yml"
        wrapper.write_text(yaml.safe_dump([play]))
        return wrapper


def core(paths):
    """Which playbooks ansible-core accepts: what `ansible-playbook --syntax-check` does, without starting Python for each."""
    from ansible.cli.playbook import PlaybookCLI

    for path in paths:
        child = os.fork()
        if child == 0:
            quiet = os.open(os.devnull, os.O_RDWR)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            try:
                os._exit(PlaybookCLI(["ansible-playbook", "-i", "localhost,", "--syntax-check", path]).run())
            except BaseException:  # whatever it is, it is not accepted
                os._exit(1)
        print(json.dumps([path, os.waitpid(child, 0)[1] == 0]), flush=True)


def syntax(repository, ours, named):
    """For each path and playbook of `named`: whether ansible-core accepts it, and what rappel has against it."""
    places = {}
    for path, playbook in named:
        places.setdefault(repository.settings(path), []).append(str(playbook))
    theirs = {}
    for folder, playbooks in places.items():
        done = subprocess.run(
            [sys.executable, __file__, "--core", *playbooks], cwd=folder, env=repository.environment, capture_output=True, text=True
        )
        theirs |= dict(json.loads(line) for line in done.stdout.splitlines())
    for path, playbook in named:
        accepted, wrong = theirs[str(playbook)], None
        if accepted:
            good, out, err = repository.run([ours], ["--syntax-check", str(playbook)], path)
            wrong = None if good else (err or out).strip()
        yield path, accepted, wrong


def parsed(templar, path):
    try:
        templar.environment.from_string(path.read_text())
    except UnicodeDecodeError:
        return False
    except Exception:  # whatever it is, it is not accepted
        return False
    return True


def read(loader, path):
    try:
        return isinstance(loader.load_from_file(str(path)), dict)
    except Exception:  # whatever it is, it is not accepted
        return False


def findings(repository, rappel, playbook, path):
    """The errors that `rappel check` finds: the file they are in, and the message."""
    _, out, err = repository.run([rappel, "check", "--output", "json"], [str(playbook)], path)
    try:
        found = json.loads(out)["findings"]
    except ValueError:
        return [("", err.strip())]
    errors = [finding for finding in found if finding["severity"] == "error"]
    return [(error["labels"][0]["file"] if error["labels"] else "", error["message"]) for error in errors]


def together(repository, rappel, paths, play_of):
    """What `rappel check` says about files that one playbook with a play for each names: path → message."""
    if not paths:
        return {}
    wrapper = repository.scratch / "together.yml"
    wrapper.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False} | play_of(str(path)) for path in paths]))
    wrong = {}
    for file, message in findings(repository, rappel, wrapper, repository.root):
        wrong.setdefault(os.path.realpath(os.path.join(repository.settings(repository.root / "x"), file)), message)
    return {path: wrong.get(os.path.realpath(path)) for path in paths}


def measure(root, ours):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        repository = Repository(root, scratch)
        as_ansible = scratch / "ansible-playbook"
        as_ansible.symlink_to(ours)
        row, differences, refused = [], [], []

        def count(kind, verdicts):
            """`verdicts`: path, whether ansible-core accepts, what rappel has against it."""
            verdicts = list(verdicts)
            theirs = [verdict for verdict in verdicts if verdict[1]]
            row.append((len(verdicts), len(theirs), sum(1 for verdict in theirs if not verdict[2])))
            differences.extend((kind, path, message) for path, _, message in theirs if message)
            return theirs

        good = count("playbook", syntax(repository, str(as_ansible), [(path, path) for path in repository.playbooks]))
        count("tasks", syntax(repository, str(as_ansible), [(path, repository.wrapped(path)) for path in repository.tasks]))
        loader = DataLoader()
        said = together(repository, str(ours), repository.variables, lambda path: {"vars_files": [path]})
        count("variables", ((path, read(loader, path), said[path]) for path in repository.variables))
        templar = Templar(loader)
        said = together(
            repository, str(ours), repository.templates, lambda path: {"tasks": [{"template": {"src": path, "dest": "/nowhere"}}]}
        )
        count("template", ((path, parsed(templar, path), said[path]) for path in repository.templates))
        for path, *_ in good:
            refused.extend((path, file, message) for file, message in findings(repository, str(ours), path, path))
        return row, differences, refused


def main():
    if sys.argv[1] == "--core":
        return core(sys.argv[2:])
    ours, notes = pathlib.Path(sys.argv[1]).resolve(), []
    for root in map(pathlib.Path, sys.argv[2:]):
        row, differences, refused = measure(root.resolve(), ours)
        cells = [f"{there} / {theirs} / {both}" for there, theirs, both in row]
        errors = dict.fromkeys((file, message) for _, file, message in refused)
        print(f"| {root.name} | {' | '.join(cells)} | {len(errors)} |", flush=True)
        notes += [f"{kind} {path}\n    {message}" for kind, path, message in differences]
        notes += [f"check {file}: {message}" for file, message in errors]
    print("\n".join(notes))


main()
