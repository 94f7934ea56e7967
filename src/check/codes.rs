//! What the codes of findings mean: one table, for `rappel explain`, the reference and SARIF.

use crate::text::did_you_mean;

/// A kind of finding.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// Its stable name.
    pub code: &'static str,
    /// What it means, and what to do.
    pub text: &'static str,
}

macro_rules! codes {
    ($($code:literal: $text:literal;)*) => {
        /// All kinds of findings, by their names.
        pub const CODES: &[Code] = &[$(Code { code: $code, text: $text }),*];
    };
}

codes! {
    "alias-too-large": "YAML aliases repeat so much that the file would not fit into memory. Write the values out, or use variables.";
    "assertion-failed": "A condition of `assert` does not hold. The task says which; look at the values it names with `debug`.";
    "bad-port": "The port of a host is no number from 1 to 65535. Look for `ansible_port` in the inventory.";
    "binary-text": "What is tagged `!!binary` is no UTF-8 text, and a value can only be text: what is none of it is replaced.";
    "block-handler": "A block among handlers cannot have `rescue` or `always`, nor another block inside, because its handlers run one by one. Put its tasks into a file and include that in the handler.";
    "collection-as-key": "A mapping or list cannot be the name of an entry. Write text there, or `? ` if it is really meant.";
    "colon-in-value": "A colon and a blank in a value start a mapping in YAML. Put the value in quotes.";
    "condition-template": "A condition is an expression already: `when: x > 1`, not `when: \"{{ x > 1 }}\"`. Templates in conditions can run text that came from a host.";
    "condition-type": "A condition must come out as true or false. Say what is meant: `x is defined`, `x | length > 0`, `x | bool`.";
    "config-empty": "The configuration file is empty.";
    "config-missing": "The configuration file that was named is not there.";
    "config-syntax": "The configuration file is no INI file in this line.";
    "conflicting-actions": "A task names more than one module. Make two tasks of it, or indent what is a parameter.";
    "control-character": "A control character stands in a YAML file. Write it as an escape in double quotes.";
    "duplicate-key": "A mapping has the same name twice; the last one counts. Remove one of them.";
    "empty-delegate": "`delegate_to` came out empty, so nobody knows where the task belongs.";
    "empty-playbook": "The playbook has no plays.";
    "extra-vars": "What was given with `-e` is neither `key=value`, nor a mapping in YAML or JSON, nor `@FILE`.";
    "file-not-found": "A file of the controller that a task names is not there. It is looked for in `files/`, `templates/`, `tasks/` or `vars/` of the role, beside the task file, and beside the playbook. For a file on the host say `remote_src: true`.";
    "flush-handler": "A handler runs in a flush, so it cannot flush handlers itself.";
    "free-form": "The module takes its parameters by name. Write `name: value` below it, or `name=value` behind it.";
    "free-transaction": "A fleet transaction needs hosts in step: use the strategy `linear`.";
    "group-cycle": "A group contains itself by way of its children.";
    "group-name": "A group's name has characters that variables cannot have. It works, but not as a variable.";
    "host-pattern": "The pattern of hosts cannot be read. Patterns are names joined by `:` or `,`, with `&` for and, `!` for not, `*` as a wildcard, `[0:2]` for a part and `~` before a regular expression.";
    "host-range": "The range in a host's name cannot be read: write `web[01:20]` or `db-[a:f]`.";
    "import-apply": "`apply` is for includes. What an import brings inherits the keywords of the import itself.";
    "import-cycle": "A file of tasks imports itself, which never ends. Use `include_tasks` with a condition that ends.";
    "import-loop": "An import is unrolled before there are hosts, so it cannot be looped. Use the include of the same kind.";
    "impossible-date": "There is no such day or time.";
    "include-handler": "The handler that was notified stands in a file that is included when another handler runs.";
    "inventory-empty": "The inventory source names no hosts.";
    "inventory-format": "The inventory source is in no format that can be read: INI, YAML, or a program that prints JSON.";
    "inventory-plugin": "The inventory source names a plugin that rappel does not have. Run `ansible-inventory --list --export` and use what it prints.";
    "inventory-script": "The inventory program failed, or did not print the JSON that Ansible documents for `--list` and `--host`.";
    "inventory-syntax": "A line of the inventory cannot be read.";
    "inventory-type": "A part of the inventory is of another kind than expected there.";
    "irreversible": "The task belongs to a fleet transaction, and what it does cannot be undone: `command` and `shell` may do anything. If it only looks, say `changed_when: false`; if there is a way back, say it in `vars: {rappel_undo: …}` or in a `rescue:`.";
    "keyword-type": "The value of a keyword is of another kind than expected, for instance text where a number is needed.";
    "lookup-failed": "A lookup could not do its work: the file is missing, the program failed, the address does not answer.";
    "include-depth": "Task files include each other without end. Give the include a condition that comes to an end, or use a loop.";
    "loop-type": "A loop needs a list. Use `dict2items` for a mapping, `query` instead of `lookup`, or `[x]` for one value.";
    "mandatory-variable": "A variable that `mandatory` asks for is not defined.";
    "merge-key": "`<<` merges mappings only: it needs a mapping, or a list of them.";
    "missing-key": "An entry that is needed is missing.";
    "missing-parameter": "A parameter that the module needs is missing. `rappel doc MODULE` shows all.";
    "missing-space": "YAML wants a blank after the colon.";
    "module-unusable": "A module that is not rappel's own was found, but cannot be packed for the hosts: an import is missing, it does not say which program runs it, or it needs a plugin on the controller.";
    "multiple-documents": "The file has more than one YAML document; only the first would be read.";
    "no-action": "A task does nothing: it names no module.";
    "no-answer": "A question was asked, and nobody was there to answer. Give the value with `-e`.";
    "no-block": "`rescue` and `always` belong to a `block`.";
    "no-hosts": "A play does not say which hosts it is for.";
    "no-inventory": "There is no inventory. Name one with `-i`.";
    "no-name": "Something that needs a name has none.";
    "no-role": "`meta: end_role` ends the role that the task is in; here there is none.";
    "no-such-host": "There is no host or group of this name in the inventory.";
    "no-such-task": "No task has the name that `--start-at-task` gives.";
    "no-tasks": "A file of tasks or handlers holds something else than a list of them.";
    "no-terminal": "A password or an answer is needed, and there is no terminal to ask on.";
    "parameter-rule": "Parameters of the module exclude or need each other. `rappel doc MODULE` shows the rules.";
    "outside-role": "A role names a file of its own by a path that leads out of the role.";
    "parameter-type": "A parameter is of another kind than the module takes.";
    "play-in-tasks": "A play stands in a list of tasks. Playbooks are brought in by `import_playbook`, in a playbook.";
    "recursive-alias": "A YAML alias contains itself.";
    "recursive-template": "A variable's template uses the variable itself, directly or by way of others.";
    "rejected-stat": "The configuration forbids the module `stat`, which Ansible cannot do without.";
    "removed-module": "Ansible has removed this module, or it belongs elsewhere. The help names what takes its place.";
    "reserved-name": "A variable is called like a keyword or like a function of templates. It works, and it is easily taken for that.";
    "role-cycle": "A role depends on itself, directly or by way of others.";
    "role-name": "The name of a role cannot be used as one.";
    "same-name": "A group and a host have the same name; patterns then mean both.";
    "serial": "`serial` needs a number of hosts or a percentage, or a list of these.";
    "setting": "A setting in `ansible.cfg` or in the environment has a value that it cannot have.";
    "shared-hosts": "Two environments have hosts in common: a deployment of one would reach the other.";
    "tab-indent": "YAML is indented with blanks, never with tabs.";
    "task-failed": "The module of the task failed, or its `failed_when` held. The message is the module's own; the whole result stands at the task.";
    "template": "A template cannot be read or compiled.";
    "template-not-found": "A template includes another that is not there.";
    "text-after-quote": "Text follows a closing quote. Put the whole value in quotes.";
    "too-deep": "The file nests deeper than can be read.";
    "transaction": "The fleet transaction cannot be opened, prepared or ended. `rappel status` shows what hosts know of it, `rappel recover` ends it.";
    "two-loops": "A task can have one loop. Combine the lists with `product` or `subelements`, or loop over `include_tasks`.";
    "two-users": "A play says twice who logs in: `user` is the old name of `remote_user`.";
    "undo": "`rappel_undo` is a task without conditions, loops or files of the controller: one module with its parameters.";
    "unbalanced": "A quote or a template block is opened and not closed.";
    "unclosed-bracket": "A bracket is opened and not closed.";
    "unclosed-quote": "A quote is opened and not closed.";
    "undefined-group": "An inventory names a group as a child or with variables that is defined nowhere.";
    "undefined-variable": "A variable is defined nowhere: neither in the play, its roles and files of variables, nor in the inventory for the hosts that are named, nor by a task before (`register`, `set_fact`). Where it may be missing, say `x | default(…)` or ask `x is defined`.";
    "unknown-anchor": "A YAML alias names an anchor that is not defined before it.";
    "unknown-become": "The method of becoming another user is not supported: `sudo`, `su` and `doas` are.";
    "unknown-connection": "The connection is not supported: `ssh` and `local` are.";
    "unknown-environment": "There is no environment of this name in `rappel.yml`.";
    "unknown-escape": "There is no such escape in double quotes. Use single quotes, or two backslashes.";
    "unknown-file": "A file that was named is not there.";
    "unknown-filter": "There is no filter of this name. Filters that a project has in Python, in `filter_plugins/`, cannot be run: rappel has no Python. Most can be written with `regex_replace`, `map`, `combine` or `json_query`, or computed by a module.";
    "unknown-handler": "A task notifies a handler that is not there: no handler has this name, and none listens to it. Names are compared letter by letter.";
    "unknown-key": "An entry of this name is not known there.";
    "unknown-keyword": "A play, role, block or task has a keyword that does not exist there. `rappel doc` lists all.";
    "unknown-lookup": "There is no lookup of this name. Lookups in Python, in `lookup_plugins/`, cannot be run.";
    "unknown-module": "There is no module of this name: neither one of rappel's own (`rappel doc`), nor in `library/`, nor in an installed collection or ansible-core.";
    "unknown-parameter": "The module has no parameter of this name. `rappel doc MODULE` shows all.";
    "unknown-role": "There is no role of this name beside the playbook, in `roles_path`, or in a collection.";
    "unknown-strategy": "The strategy is not supported: `linear`, `free` and `host_pinned` are.";
    "unknown-test": "There is no test of this name, as in `x is NAME`. Tests in Python, in `test_plugins/`, cannot be run.";
    "unmatched-pattern": "A part of the pattern matches no host and no group.";
    "unquoted-template": "A value that starts with `{{` is a mapping in YAML. Put it in quotes.";
    "unreachable-handler": "No task notifies this handler, by its name or by what it listens to.";
    "unreadable": "A file cannot be read: it is not there, may not be read, or is no UTF-8 text.";
    "unusable-handler": "A handler has a name with a variable in it that is not the same for all hosts, and listens to nothing, so that no task can notify it.";
    "unwritable": "A file that a run should write cannot be written. The run goes on without it.";
    "unused-variable": "No task, template or other variable mentions this variable.";
    "variable-name": "A variable's name may have letters, digits and underscores only, and no digit in front.";
    "vars-file": "None of the files of variables that a play names is there.";
    "vault": "Something encrypted cannot be opened: no password was given, or none of them fits. Use `--vault-password-file`, `--vault-id` or `--ask-vault-pass`.";
    "world-writable": "`ansible.cfg` is not read where everybody may write: anyone could have put it there.";
    "wrong-type": "A value is of another kind than expected: a list where a mapping is needed, for instance.";
    "yaml-syntax": "The file is no YAML at this place.";
    "yaml-tag": "A YAML tag is not known, or does not fit its value.";
}

/// What `code` means.
///
/// # Errors
/// There is no such code; the one that was probably meant, if there is one like it.
pub fn explain(code: &str) -> Result<&'static Code, Option<&'static str>> {
    CODES.iter().find(|known| known.code == code).ok_or_else(|| did_you_mean(code, CODES.iter().map(|known| known.code)))
}
