//! [`Task`] and [`Block`]: what stands in a list of tasks.

use super::reader::{self, wrong_type};
use super::{Keyword, Keywords, Level, args, include};
use crate::text::{Diagnostic, Diagnostics, Node, NodeKind, Sources, Span, Spanned, did_you_mean};

/// One entry of a list of tasks.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A task.
    Task(Task),
    /// A block.
    Block(Block),
}

/// One task (or handler).
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// The whole task.
    pub span: Span,
    /// All keywords but the action itself.
    pub keywords: Keywords,
    /// `with_X: …`: the X and its argument. (`loop:` is a keyword.)
    pub with: Option<(Spanned<String>, Node)>,
    /// What it does.
    pub action: Action,
}

/// A module and its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// The module's name as written: `copy`, `ansible.builtin.copy`.
    pub module: Spanned<String>,
    /// Its parameters.
    pub args: Args,
}

/// Parameters of a module: those of the module's own value, then those of `args:`, which only fill gaps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Args {
    /// By name: from a mapping, or from `k=v` text (then the span is that of the text's part).
    pub params: Vec<(Spanned<String>, Node)>,
    /// Text that is not `k=v`: `command: ls -l`.
    pub free: Option<Node>,
    /// One template that gives all parameters: `copy: "{{ arguments }}"`, or `args: "{{ … }}"`.
    pub whole: Option<Node>,
}

/// Tasks that share keywords, with what to do on failure and at the end.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// The whole block.
    pub span: Span,
    /// Its keywords.
    pub keywords: Keywords,
    /// The tasks.
    pub block: Vec<Item>,
    /// Run when one of them fails.
    pub rescue: Vec<Item>,
    /// Whether `rescue:` stands there at all (it may be empty).
    pub has_rescue: bool,
    /// Run in any case.
    pub always: Vec<Item>,
}

impl Task {
    /// The name as written, not templated.
    pub fn name(&self) -> Option<&str> {
        self.keywords.get(Keyword::Name).and_then(Node::as_str)
    }
}

/// Reads a list of tasks and blocks.
pub(super) fn items(node: &Node, level: Level, sources: &Sources, diags: &mut Diagnostics) -> Vec<Item> {
    let list = reader::items(node, "a list of tasks", diags);
    list.iter().filter(|node| node.kind != NodeKind::Null).filter_map(|node| item(node, level, sources, diags)).collect()
}

fn item(node: &Node, level: Level, sources: &Sources, diags: &mut Diagnostics) -> Option<Item> {
    let NodeKind::Map(map) = &node.kind else {
        let help = "a task is a mapping: `- name: …` and below it the module";
        diags.push(wrong_type(node, "a task", "a mapping").help(help));
        return None;
    };
    let has = |name: &str| map.iter().any(|(key, _)| key.as_str() == Some(name));
    if has("block") {
        return block(node, level, sources, diags).map(Item::Block);
    }
    let list_of_play = ["tasks", "roles", "pre_tasks", "post_tasks", "handlers"].into_iter().any(has);
    if has("hosts") && list_of_play {
        let help = "a list of tasks holds no plays: bring in the file by `import_playbook`, in a playbook";
        diags.push(Diagnostic::error("play-in-tasks", "this is a play, not a task").at(node.span, "").help(help));
        return None;
    }
    if let Some((key, _)) = map.iter().find(|(key, _)| matches!(key.as_str(), Some("rescue" | "always"))) {
        let name = key.as_str().unwrap_or_default();
        let message = format!("`{name}` stands without `block`");
        diags.push(Diagnostic::error("no-block", message).at(key.span, "").help("put the tasks it watches under `block:` beside it"));
        return None;
    }
    task(node, level, sources, diags).map(Item::Task)
}

fn block(node: &Node, level: Level, sources: &Sources, diags: &mut Diagnostics) -> Option<Block> {
    let mut block = Block {
        span: node.span,
        keywords: Keywords::default(),
        block: Vec::new(),
        rescue: Vec::new(),
        has_rescue: false,
        always: Vec::new(),
    };
    for (key, value) in reader::entries(node, "a block", diags)? {
        match key.value {
            "block" => {
                block.block = items(value, level, sources, diags);
                if level == Level::Handler {
                    no_blocks(&block.block, diags);
                }
            }
            "rescue" | "always" if level == Level::Handler => {
                let message = format!("a block of handlers cannot have `{}`", key.value);
                diags.push(
                    Diagnostic::error("block-handler", message)
                        .at(key.span, "")
                        .help("its handlers run one by one, when they are notified"),
                );
            }
            "rescue" => {
                block.rescue = items(value, level, sources, diags);
                block.has_rescue = true;
            }
            "always" => block.always = items(value, level, sources, diags),
            _ if reader::keyword(&key, value, Level::Block, &mut block.keywords, diags).is_some() => {}
            _ => diags.push(not_on_a_block(&key)),
        }
    }
    Some(block)
}

/// That no block stands inside a block of handlers: its tasks are handlers, each of its own.
fn no_blocks(handlers: &[Item], diags: &mut Diagnostics) {
    for item in handlers {
        if let Item::Block(block) = item {
            let help = "put its tasks into a file, and `include_tasks` it in the handler";
            let diagnostic =
                Diagnostic::error("block-handler", "a block cannot stand inside a block of handlers").at(block.span, "").help(help);
            diags.push(diagnostic.ansible("Using a block as a handler is not supported."));
        }
    }
}

fn not_on_a_block(key: &Spanned<&str>) -> Diagnostic {
    let diagnostic = reader::unknown_keyword(key, Level::Block);
    if Keyword::find(key.value, Level::Task).is_some() || key.value.starts_with("with_") {
        return diagnostic.help("put it on the tasks of the block; to repeat a block, move it to a file and loop over `include_tasks`");
    }
    diagnostic
}

/// A task while its keys are sorted out.
struct Draft<'a> {
    keywords: Keywords,
    with: Option<(Spanned<String>, Node)>,
    args: Option<&'a Node>,
    /// What may be the action: `module:`, `action:` and `local_action:`.
    actions: Vec<(Spanned<&'a str>, &'a Node)>,
}

fn task(node: &Node, level: Level, sources: &Sources, diags: &mut Diagnostics) -> Option<Task> {
    let mut draft = Draft { keywords: Keywords::default(), with: None, args: None, actions: Vec::new() };
    for (key, value) in reader::entries(node, "a task", diags)? {
        sort(key, value, level, &mut draft, diags);
    }
    let name = draft.keywords.get(Keyword::Name).and_then(Node::as_str);
    let (key, value) = match draft.actions.as_slice() {
        [only] => *only,
        [] => {
            let named = name.map(|name| format!("the task `{name}` does nothing")).unwrap_or_default();
            let message = "no module or action in this task";
            diags.push(Diagnostic::error("no-action", message).at(node.span, named).help("add a module: `command: …`, `copy: {…}`"));
            return None;
        }
        several => {
            diags.push(conflict(several, level));
            return None;
        }
    };
    let action = match key.value {
        "action" | "local_action" => args::spelled_out(&key, value, draft.args, sources, diags)?,
        module => args::action(Spanned::new(module.to_owned(), key.span), value, draft.args, sources, diags),
    };
    if key.value == "local_action" && draft.keywords.get(Keyword::DelegateTo).is_none() {
        let here = Node::new(NodeKind::Str("localhost".to_owned()), key.span);
        draft.keywords.0.push((Spanned::new(Keyword::DelegateTo, key.span), here));
    }
    if let Some(diagnostic) = removed_module(&action.module) {
        diags.push(diagnostic);
        return None;
    }
    let task = Task { span: node.span, keywords: draft.keywords, with: draft.with, action };
    include::check(&task, level, diags);
    Some(task)
}

/// Decides what one key of a task is: anything that is neither keyword nor `with_X` may be the action.
fn sort<'a>(key: Spanned<&'a str>, value: &'a Node, level: Level, draft: &mut Draft<'a>, diags: &mut Diagnostics) {
    match key.value {
        "args" => draft.args = Some(value),
        "action" | "local_action" => draft.actions.push((key, value)),
        _ if reader::keyword(&key, value, level, &mut draft.keywords, diags).is_some() => {}
        "listen" => {
            diags.push(reader::unknown_keyword(&key, level).help("only handlers listen: move the task to `handlers:`"));
        }
        _ => match key.value.strip_prefix("with_") {
            Some(lookup) if draft.with.is_none() => draft.with = Some((Spanned::new(lookup.to_owned(), key.span), value.clone())),
            Some(_) => {
                let first = draft.with.as_ref().map_or(key.span, |(first, _)| first.span);
                let message = "a task can have only one loop";
                diags.push(Diagnostic::error("two-loops", message).at(key.span, "").at(first, "the first one"));
            }
            None if reader::removed(key.value).is_some() => diags.push(reader::unknown_keyword(&key, level)),
            None => draft.actions.push((key, value)),
        },
    }
}

/// Several keys could be the action: most probably all but one are keywords gone wrong.
fn conflict(actions: &[(Spanned<&str>, &Node)], level: Level) -> Diagnostic {
    let is_known = |name: &str| name.contains('.') || name.ends_with("action") || args::is_known(name);
    let names = || Keyword::TABLE.iter().filter(|row| row.levels.contains(&level)).map(|row| row.name);
    let known = actions.iter().find(|(key, _)| is_known(key.value));
    // A misspelt keyword beside a module is that, rather than two modules.
    let strange = actions.iter().find(|(key, _)| !is_known(key.value) && (known.is_some() || did_you_mean(key.value, names()).is_some()));
    if let Some((key, _)) = strange {
        let module = actions.iter().find(|(other, _)| other.span != key.span);
        let diagnostic = reader::unknown_keyword(key, level);
        let diagnostic = match module {
            Some((module, _)) => diagnostic.at(module.span, "the task's module is here"),
            None => diagnostic,
        };
        if diagnostic.help.is_some() {
            return diagnostic;
        }
        let has_param = |module: &str| crate::module::find(module).is_some_and(|module| module.spec.find(key.value).is_some());
        if let Some((module, _)) = module.filter(|(module, _)| has_param(module.value)) {
            let message = format!("it is a parameter of `{0}`: write it below `args:`, or indent it below `{0}:`", module.value);
            return diagnostic.help(message);
        }
        let message = format!("indent `{0}` if it is a parameter; if it is a module, give it a task of its own", key.value);
        return diagnostic.help(message);
    }
    let all: Vec<_> = actions.iter().map(|(key, _)| key.value).collect();
    let message = format!("conflicting actions: {}", all.join(", "));
    let diagnostic = Diagnostic::error("conflicting-actions", message).help("a task has one module: split it in two");
    actions.iter().fold(diagnostic, |diagnostic, (key, _)| diagnostic.at(key.span, ""))
}

/// Modules that Ansible has no more.
fn removed_module(module: &Spanned<String>) -> Option<Diagnostic> {
    let help = match args::short_name(&module.value) {
        "include" => "write `include_tasks:`, or `import_tasks:` for what is read before the run; whole playbooks: `import_playbook:`",
        "import_playbook" => "it stands on its own in a playbook, not in a list of tasks",
        _ => return None,
    };
    Some(Diagnostic::error("removed-module", format!("`{}` cannot be used here", module.value)).at(module.span, "").help(help))
}

#[cfg(test)]
mod tests;
