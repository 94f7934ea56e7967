//! What a task does and with which parameters, from every form in which that can be written.

use super::reader::{self, is_template, wrong_type};
use super::split::split;
use super::{Action, Args};
use crate::text::{Diagnostic, Diagnostics, Node, NodeKind, SourceId, Sources, Span, Spanned};

/// Parameters that may stand in the text of a free-form module; other `x=y` belong to the command.
const FREE_FORM_PARAMS: [&str; 8] = ["chdir", "creates", "executable", "removes", "stdin", "stdin_add_newline", "strip_empty_ends", "warn"];

/// Modules whose text is a command.
fn is_free_form(module: &str) -> bool {
    matches!(short_name(module), "command" | "raw" | "script" | "shell" | "win_command" | "win_shell")
}

/// Modules whose text may have words that are no `key=value`: `include_tasks: file.yml`, `meta: flush_handlers`.
fn takes_words(module: &str) -> bool {
    let short = short_name(module);
    let included =
        ["add_host", "group_by", "import_role", "import_tasks", "include_role", "include_tasks", "include_vars", "meta", "set_fact"];
    is_free_form(module) || included.contains(&short)
}

/// Whether a module or an action of this name exists. (The actions of the controller are registered above this layer.)
pub(super) fn is_known(module: &str) -> bool {
    const ACTIONS: [&str; 24] = [
        "add_host",
        "assemble",
        "assert",
        "debug",
        "fail",
        "fetch",
        "gather_facts",
        "group_by",
        "import_role",
        "import_tasks",
        "include_role",
        "include_tasks",
        "include_vars",
        "meta",
        "pause",
        "raw",
        "reboot",
        "script",
        "set_fact",
        "set_stats",
        "synchronize",
        "template",
        "unarchive",
        "wait_for_connection",
    ];
    ACTIONS.contains(&short_name(module)) || crate::module::find(module).is_some()
}

/// Without the collections that come with Ansible.
pub(super) fn short_name(module: &str) -> &str {
    ["ansible.builtin.", "ansible.legacy.", "ansible.windows."]
        .iter()
        .find_map(|collection| module.strip_prefix(collection))
        .unwrap_or(module)
}

/// `module: value`.
pub(super) fn action(module: Spanned<String>, value: &Node, args: Option<&Node>, sources: &Sources, diags: &mut Diagnostics) -> Action {
    let mut result = Action { args: arguments(&module.value, value, sources, diags), module };
    if let Some(args) = args {
        more(&mut result.args, args, diags);
    }
    result
}

/// `action: module k=v`, or `action: {module: name, k: v}`.
pub(super) fn spelled_out(
    key: &Spanned<&str>,
    value: &Node,
    args: Option<&Node>,
    sources: &Sources,
    diags: &mut Diagnostics,
) -> Option<Action> {
    let mut result = match &value.kind {
        NodeKind::Str(text) => from_words(text, value.span, sources, diags)?,
        NodeKind::Map(_) => {
            let mut entries = reader::entries(value, &format!("`{}`", key.value), diags)?;
            let place = entries.iter().position(|(name, _)| name.value == "module");
            let Some((_, module)) = place.map(|place| entries.remove(place)) else {
                diags.push(
                    Diagnostic::error("no-action", format!("`{}` does not say which module", key.value))
                        .at(value.span, "no `module` here")
                        .help(format!("write `{}: {{module: copy, …}}`, or better `copy: {{…}}`", key.value)),
                );
                return None;
            };
            let mut action = from_words(&reader::text(module, "`module`", diags)?.value, module.span, sources, diags)?;
            for (name, value) in entries {
                put(&mut action.args, name.map(str::to_owned), value.clone());
            }
            action
        }
        _ => {
            diags.push(wrong_type(value, &format!("`{}`", key.value), "a module and its parameters"));
            return None;
        }
    };
    if let Some(args) = args {
        more(&mut result.args, args, diags);
    }
    Some(result)
}

/// `module k=v`, one text.
fn from_words(text: &str, span: Span, sources: &Sources, diags: &mut Diagnostics) -> Option<Action> {
    let text = text.trim_start();
    // The name itself may be a template: its blanks do not end it.
    let template_end = if text.starts_with("{{") { text.find("}}").map_or(0, |end| end + 2) } else { 0 };
    let end = text.get(template_end..).and_then(|rest| rest.find(char::is_whitespace)).map_or(text.len(), |end| template_end + end);
    let (module, rest) = text.split_at(end);
    if module.is_empty() {
        diags.push(Diagnostic::error("no-action", "expected the name of a module").at(span, ""));
        return None;
    }
    let module = Spanned::new(module.to_owned(), part_of(span, text, 0..end, sources).unwrap_or(span));
    let args = if rest.trim().is_empty() {
        Args::default()
    } else {
        let place = text.len() - rest.trim_start().len();
        let at = part_of(span, text, place..text.len(), sources).unwrap_or(span);
        arguments(&module.value, &Node::new(NodeKind::Str(rest.trim_start().to_owned()), at), sources, diags)
    };
    Some(Action { module, args })
}

/// The value of a module's own key.
fn arguments(module: &str, value: &Node, sources: &Sources, diags: &mut Diagnostics) -> Args {
    let mut args = Args::default();
    match &value.kind {
        NodeKind::Null => {}
        NodeKind::Str(text) if is_whole_template(text) && !takes_words(module) => args.whole = Some(value.clone()),
        NodeKind::Str(text) => from_text(module, text, value.span, sources, &mut args, diags),
        NodeKind::Map(_) => {
            for (name, value) in reader::entries(value, &format!("the parameters of `{module}`"), diags).unwrap_or_default() {
                if name.value == "_raw_params" {
                    args.free = Some(value.clone());
                } else {
                    put(&mut args, name.map(str::to_owned), value.clone());
                }
            }
        }
        NodeKind::Int(_) | NodeKind::Float(_) | NodeKind::Bool(_) if takes_words(module) => {
            args.free = reader::scalar_text(value).map(|text| Node::new(NodeKind::Str(text), value.span));
        }
        _ => diags.push(wrong_type(value, &format!("the parameters of `{module}`"), "a mapping or a string")),
    }
    args
}

/// `k=v` text, or a command.
fn from_text(module: &str, text: &str, span: Span, sources: &Sources, args: &mut Args, diags: &mut Diagnostics) {
    if text.trim().is_empty() {
        return;
    }
    let Ok(found) = split(text, is_free_form(module).then_some(&FREE_FORM_PARAMS)) else {
        let message = format!("a quote or a template block is not closed in the parameters of `{module}`");
        diags.push(Diagnostic::error("unbalanced", message).at(span, "").help("write the parameters as a mapping"));
        return;
    };
    for (name, value, at) in found.params {
        let span = part_of(span, text, at, sources).unwrap_or(span);
        put(args, Spanned::new(name, span), Node::new(NodeKind::Str(value), span));
    }
    let Some(free) = found.free else { return };
    let words = takes_words(module) && !matches!(short_name(module), "add_host" | "group_by" | "set_fact");
    if !words && is_template(&free) {
        args.whole = Some(Node::new(NodeKind::Str(free.trim().to_owned()), span));
        return;
    }
    if !takes_words(module) && is_known(module) {
        let message = format!("`{}` is no parameter of `{module}`", free.trim());
        let help = format!("write `key=value`, quote a value with blanks, or give `{module}` a mapping");
        diags.push(Diagnostic::error("free-form", message).at(span, "expected `key=value`").help(help));
        return;
    }
    args.free = Some(Node::new(NodeKind::Str(free), span));
}

/// `args:` fills the gaps that the module's own value leaves.
fn more(args: &mut Args, value: &Node, diags: &mut Diagnostics) {
    match &value.kind {
        NodeKind::Map(_) => {
            for (name, value) in reader::entries(value, "`args`", diags).unwrap_or_default() {
                if name.value == "_raw_params" {
                    args.free.get_or_insert_with(|| value.clone());
                } else if !args.params.iter().any(|(known, _)| known.value == name.value) {
                    put(args, name.map(str::to_owned), value.clone());
                }
            }
        }
        NodeKind::Str(text) if is_template(text) => args.whole = Some(value.clone()),
        NodeKind::Null => {}
        _ => diags.push(wrong_type(value, "`args`", "a mapping")),
    }
}

fn put(args: &mut Args, name: Spanned<String>, value: Node) {
    match args.params.iter_mut().find(|(known, _)| known.value == name.value) {
        Some(known) => *known = (name, value),
        None => args.params.push((name, value)),
    }
}

/// One template and nothing else.
fn is_whole_template(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("{{") && text.ends_with("}}")
}

/// Where `part` of a scalar's `text` was written; `None` where quotes or line folding hide it.
fn part_of(span: Span, text: &str, part: std::ops::Range<usize>, sources: &Sources) -> Option<Span> {
    let source = sources.get(span.source);
    let written = source.text.get(span.start as usize..span.end as usize)?;
    let lead = written.find(text)?;
    let start = span.start as usize + lead;
    Some(Span::new(span.source, start + part.start, start + part.end))
}

/// `key=value` text, as `-e` takes it. With `loose`, other words become a variable too, as in Ansible.
///
/// # Errors
/// Quotes are not balanced, or there are words that are no `key=value`.
pub fn pairs(text: &str, source: SourceId, loose: bool) -> Result<Vec<(Spanned<String>, Node)>, Diagnostic> {
    let whole = Span::new(source, 0, text.len());
    let split = split(text, None).map_err(|_| Diagnostic::error("unbalanced", "a quote or a template is not closed").at(whole, ""))?;
    let free = split.free.filter(|free| !free.trim().is_empty());
    if let Some(free) = free.as_ref().filter(|_| !loose) {
        return Err(Diagnostic::error("extra-vars", format!("expected `key=value`, found `{}`", free.trim())).at(whole, ""));
    }
    let node = |value: String, span| Node::new(NodeKind::Str(value), span);
    let free = free.map(|free| (Spanned::new("_raw_params".to_owned(), whole), node(free, whole)));
    let spanned = |(key, value, at): (String, String, std::ops::Range<usize>)| {
        let span = Span::new(source, at.start, at.end);
        (Spanned::new(key, span), node(value, span))
    };
    Ok(split.params.into_iter().map(spanned).chain(free).collect())
}
