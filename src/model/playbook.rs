//! [`Playbook`] and [`Play`].

use std::path::PathBuf;

use super::reader::{self, wrong_type};
use super::{Item, Keyword, Keywords, Level, RoleRef, role, task};
use crate::text::{Diagnostic, Diagnostics, Node, NodeKind, Sources, Span, Spanned, did_you_mean};

/// One playbook file.
#[derive(Clone, Debug, PartialEq)]
pub struct Playbook {
    /// Its file.
    pub path: PathBuf,
    /// Its plays and imports, in order.
    pub entries: Vec<Entry>,
}

/// One entry of a playbook.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A play.
    Play(Box<Play>),
    /// `import_playbook:`.
    Import(Import),
}

/// `import_playbook:` with what it hands on.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    /// The whole entry.
    pub span: Span,
    /// The file as written; may be a template.
    pub file: Spanned<String>,
    /// `name`, `vars`, `when`, `tags`.
    pub keywords: Keywords,
}

/// One play.
#[derive(Clone, Debug, PartialEq)]
pub struct Play {
    /// The whole play.
    pub span: Span,
    /// All its keywords; lists of tasks and roles are beside.
    pub keywords: Keywords,
    /// `hosts:`, a string or a list of strings; may be a template.
    pub hosts: Node,
    /// `roles:`.
    pub roles: Vec<RoleRef>,
    /// `pre_tasks:`.
    pub pre_tasks: Vec<Item>,
    /// `tasks:`.
    pub tasks: Vec<Item>,
    /// `post_tasks:`.
    pub post_tasks: Vec<Item>,
    /// `handlers:`.
    pub handlers: Vec<Item>,
    /// `vars_files:`: each a name, or a list of which the first that exists is taken.
    pub vars_files: Vec<Node>,
    /// `vars_prompt:`.
    pub prompts: Vec<Prompt>,
}

/// One entry of `vars_prompt:`.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// The variable.
    pub name: Spanned<String>,
    /// What to ask; the name when not given.
    pub prompt: Option<Node>,
    /// Taken for an empty answer.
    pub default: Option<Node>,
    /// Hide what is typed (the default).
    pub private: bool,
    /// Ask twice.
    pub confirm: bool,
    /// Hash the answer: `sha512_crypt`.
    pub encrypt: Option<String>,
    /// Salt for the hash.
    pub salt: Option<String>,
    /// Salt size for the hash.
    pub salt_size: Option<i64>,
    /// The answer is never a template.
    pub is_unsafe: bool,
}

/// Reads the plays and imports of a playbook.
pub(super) fn entries(node: &Node, sources: &Sources, diags: &mut Diagnostics) -> Vec<Entry> {
    let NodeKind::Seq(plays) = &node.kind else {
        diags.push(wrong_type(node, "a playbook", "a list of plays").help("a play starts with `- hosts: …`"));
        return Vec::new();
    };
    if plays.is_empty() {
        diags.push(
            Diagnostic::error("empty-playbook", "this playbook has no play")
                .ansible("A playbook must contain at least one play")
                .at(node.span, ""),
        );
    }
    plays.iter().filter_map(|play| entry(play, sources, diags)).collect()
}

fn entry(node: &Node, sources: &Sources, diags: &mut Diagnostics) -> Option<Entry> {
    let entries = reader::entries(node, "a play", diags)?;
    for (key, value) in &entries {
        match key.value.strip_prefix("ansible.builtin.").or(key.value.strip_prefix("ansible.legacy.")).unwrap_or(key.value) {
            "import_playbook" => return import(node, key, value, diags).map(Entry::Import),
            "include" | "include_playbook" => {
                let message = format!("`{}` does not exist any more", key.value);
                diags.push(Diagnostic::error("removed-module", message).at(key.span, "").help("write `import_playbook:`"));
                return None;
            }
            _ => {}
        }
    }
    play(node, entries, sources, diags).map(|play| Entry::Play(Box::new(play)))
}

fn import(node: &Node, key: &Spanned<&str>, file: &Node, diags: &mut Diagnostics) -> Option<Import> {
    let mut keywords = Keywords::default();
    for (other, value) in reader::entries(node, "an import", diags)? {
        let known = matches!(other.value, "name" | "vars" | "when" | "tags");
        // `when` is no keyword of a play, but an import hands it on to the tasks.
        let level = if other.value == "when" { Level::Block } else { Level::Play };
        if other.span != key.span && (!known || reader::keyword(&other, value, level, &mut keywords, diags).is_none()) {
            let diagnostic = reader::unknown_keyword(&other, Level::Play);
            diags.push(diagnostic.help("beside `import_playbook` there can be `name`, `vars`, `when` and `tags`"));
        }
    }
    let mut file = reader::text(file, "`import_playbook`", diags)?;
    // `import_playbook: file.yml tags=a` was allowed once.
    if !reader::is_template(&file.value)
        && let Some((path, _)) = file.value.clone().split_once(' ')
        && file.value.contains('=')
    {
        let help = format!("write `import_playbook: {path}` and the others as keys beside it");
        diags.push(Diagnostic::error("free-form", "`import_playbook` takes only a file").at(file.span, "").help(help));
        path.clone_into(&mut file.value);
    }
    Some(Import { span: node.span, file, keywords })
}

fn play(node: &Node, entries: Vec<(Spanned<&str>, &Node)>, sources: &Sources, diags: &mut Diagnostics) -> Option<Play> {
    let hosts = entries.iter().find(|(key, _)| key.value == "hosts").map(|(_, value)| (*value).clone());
    let mut play = Play {
        span: node.span,
        keywords: Keywords::default(),
        hosts: hosts.clone().unwrap_or_else(|| Node::new(NodeKind::Null, node.span)),
        roles: Vec::new(),
        pre_tasks: Vec::new(),
        tasks: Vec::new(),
        post_tasks: Vec::new(),
        handlers: Vec::new(),
        vars_files: Vec::new(),
        prompts: Vec::new(),
    };
    let node_entries = entries.clone();
    for (mut key, value) in entries {
        if key.value == "user" {
            key.value = "remote_user";
            if let Some((first, _)) = node_entries.iter().find(|(other, _)| other.value == "remote_user") {
                let words = "both 'user' and 'remote_user' are set for this play. The use of 'user' is deprecated, and should be removed";
                let diagnostic = Diagnostic::error("two-users", "a play has `remote_user` or `user`, not both").ansible(words);
                diags.push(diagnostic.at(key.span, "").at(first.span, "the same here").help("remove `user`"));
            }
        }
        if matches!(key.value, "tasks" | "pre_tasks" | "post_tasks" | "handlers")
            && !matches!(value.kind, NodeKind::Seq(_) | NodeKind::Null)
        {
            let shown = reader::scalar_text(value).unwrap_or_else(|| value.describe().to_owned());
            let name = key.value;
            let words = format!("A malformed block was encountered while loading {name}: {shown} should be a list or None");
            diags.push(wrong_type(value, &format!("`{name}`"), "a list of tasks").ansible(words));
            continue;
        }
        match reader::keyword(&key, value, Level::Play, &mut play.keywords, diags) {
            Some(Keyword::Roles) => play.roles = role::refs(value, diags),
            Some(Keyword::PreTasks) => play.pre_tasks = task::items(value, Level::Task, sources, diags),
            Some(Keyword::Tasks) => play.tasks = task::items(value, Level::Task, sources, diags),
            Some(Keyword::PostTasks) => play.post_tasks = task::items(value, Level::Task, sources, diags),
            Some(Keyword::Handlers) => play.handlers = task::items(value, Level::Handler, sources, diags),
            Some(Keyword::VarsFiles) => play.vars_files = files(value, diags),
            Some(Keyword::VarsPrompt) => play.prompts = prompts(value, diags),
            Some(_) => {}
            None => diags.push(not_on_a_play(&key)),
        }
    }
    match hosts {
        None => {
            let help = "add `hosts: all`, or the groups and hosts that are meant";
            diags.push(Diagnostic::error("no-hosts", "this play does not say on which hosts").at(node.span, "no `hosts` here").help(help));
            None
        }
        Some(hosts) if is_empty(&hosts) => {
            let words = "Hosts list cannot be empty. Please check your playbook";
            diags.push(Diagnostic::error("no-hosts", "`hosts` is empty").ansible(words).at(hosts.span, "expected a pattern"));
            None
        }
        Some(_) => Some(play),
    }
}

fn is_empty(hosts: &Node) -> bool {
    match &hosts.kind {
        NodeKind::Null => true,
        NodeKind::Seq(items) => items.is_empty() || items.iter().any(is_empty),
        NodeKind::Str(text) => text.is_empty(),
        _ => false,
    }
}

fn not_on_a_play(key: &Spanned<&str>) -> Diagnostic {
    let diagnostic = reader::unknown_keyword(key, Level::Play).ansible(format!("'{}' is not a valid attribute for a Play", key.value));
    if diagnostic.help.is_none() && (Keyword::find(key.value, Level::Task).is_some() || crate::module::find(key.value).is_some()) {
        return diagnostic.help("it belongs on a task: indent it under `tasks:`");
    }
    diagnostic
}

/// `vars_files:`: a name, or a list of names and of lists to choose from.
fn files(node: &Node, diags: &mut Diagnostics) -> Vec<Node> {
    let list = match &node.kind {
        NodeKind::Seq(items) => items.clone(),
        NodeKind::Null => Vec::new(),
        _ => vec![node.clone()],
    };
    let is_name = |node: &Node| matches!(node.kind, NodeKind::Str(_));
    for item in &list {
        let fits = match &item.kind {
            NodeKind::Seq(choices) => choices.iter().all(is_name),
            _ => is_name(item),
        };
        if !fits {
            diags.push(wrong_type(item, "an entry of `vars_files`", "the name of a file, or a list of names"));
        }
    }
    list
}

fn prompts(node: &Node, diags: &mut Diagnostics) -> Vec<Prompt> {
    reader::items(node, "a list for `vars_prompt`", diags).iter().filter_map(|node| prompt(node, diags)).collect()
}

fn prompt(node: &Node, diags: &mut Diagnostics) -> Option<Prompt> {
    const OPTIONS: [&str; 9] = ["confirm", "default", "encrypt", "name", "private", "prompt", "salt", "salt_size", "unsafe"];
    for (key, _) in reader::entries(node, "an entry of `vars_prompt`", diags)? {
        if !OPTIONS.contains(&key.value) {
            let diagnostic =
                Diagnostic::error("unknown-keyword", format!("unknown option `{}` of `vars_prompt`", key.value)).at(key.span, "");
            let help = did_you_mean(key.value, OPTIONS)
                .map_or_else(|| format!("known are {}", OPTIONS.join(", ")), |name| format!("did you mean `{name}`?"));
            diags.push(diagnostic.help(help));
        }
    }
    let Some(name) = node.get("name") else {
        let words = "Invalid vars_prompt data structure, missing 'name' key";
        let diagnostic = Diagnostic::error("no-name", "this prompt does not say which variable it sets").ansible(words);
        diags.push(diagnostic.at(node.span, "").help("add `name: …`"));
        return None;
    };
    let name_text = reader::text(name, "`name`", diags)?;
    if !reader::variable_name(&name_text.value, name, diags) {
        return None;
    }
    let word = |key: &str| node.get(key).and_then(reader::scalar_text);
    let mut flag = |key: &str, default: bool| match node.get(key) {
        None => default,
        Some(node) => reader::boolean(node).unwrap_or_else(|| {
            diags.push(wrong_type(node, &format!("`{key}`"), "a boolean"));
            default
        }),
    };
    Some(Prompt {
        name: name_text,
        prompt: node.get("prompt").cloned(),
        default: node.get("default").cloned(),
        private: flag("private", true),
        confirm: flag("confirm", false),
        encrypt: word("encrypt"),
        salt: word("salt"),
        salt_size: word("salt_size").and_then(|size| size.parse().ok()),
        is_unsafe: flag("unsafe", false),
    })
}
