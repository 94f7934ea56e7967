# Runs one Ansible module: its parameters arrive on standard input, the module and what it imports are in this archive.
import runpy
import sys

from ansible.module_utils import basic


def limit_files(wanted):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if wanted != soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main():
    name, files = sys.argv[1], int(sys.argv[2])
    if files:
        limit_files(files)
    basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
    basic._ANSIBLE_PROFILE = "legacy"
    archive = sys.path[0]
    sys.argv = [archive]
    runpy.run_module(name, init_globals={"_module_fqn": name, "_modlib_path": archive}, run_name="__main__", alter_sys=True)


main()
