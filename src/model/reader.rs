//! Takes typed things out of [`Node`]s, and says what is wrong with them in one vocabulary.

use super::{Keyword, Keywords, Level, Shape};
use crate::text::{Diagnostic, Diagnostics, Node, NodeKind, Spanned, did_you_mean};

/// The entries of a mapping whose keys must be text. Others are reported and left out.
pub(super) fn entries<'a>(node: &'a Node, what: &str, diags: &mut Diagnostics) -> Option<Vec<(Spanned<&'a str>, &'a Node)>> {
    let NodeKind::Map(entries) = &node.kind else {
        diags.push(wrong_type(node, what, "a mapping"));
        return None;
    };
    let mut named = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        match key.as_str() {
            Some(name) => named.push((Spanned::new(name, key.span), value)),
            None => diags.push(wrong_type(key, &format!("a key of {what}"), "a string")),
        }
    }
    Some(named)
}

/// The items of a list; nothing is an empty one. `what` is `a list of tasks`.
pub(super) fn items<'a>(node: &'a Node, what: &str, diags: &mut Diagnostics) -> &'a [Node] {
    match &node.kind {
        NodeKind::Seq(items) => items,
        NodeKind::Null => &[],
        _ => {
            let message = format!("expected {what}, found {}", node.describe());
            diags.push(Diagnostic::error("wrong-type", message).at(node.span, "expected a list"));
            &[]
        }
    }
}

/// The text of a scalar that stands for text: `8080` is as good as `"8080"`.
pub(super) fn text(node: &Node, what: &str, diags: &mut Diagnostics) -> Option<Spanned<String>> {
    let text = scalar_text(node);
    if text.is_none() {
        diags.push(wrong_type(node, what, "a string"));
    }
    text.map(|text| Spanned::new(text, node.span))
}

/// A scalar as text, in Python's spelling.
pub(super) fn scalar_text(node: &Node) -> Option<String> {
    match &node.kind {
        NodeKind::Str(text) => Some(text.clone()),
        NodeKind::Int(number) => Some(number.to_string()),
        NodeKind::Float(number) => Some(format!("{number:?}")),
        NodeKind::Bool(value) => Some(if *value { "True" } else { "False" }.to_owned()),
        NodeKind::Unsafe(inner) => scalar_text(inner),
        NodeKind::Null | NodeKind::Vault(_) | NodeKind::Seq(_) | NodeKind::Map(_) => None,
    }
}

/// A boolean or one of Ansible's words for it. `None` for anything else.
pub(super) fn boolean(node: &Node) -> Option<bool> {
    match &node.kind {
        NodeKind::Bool(value) => Some(*value),
        NodeKind::Int(0) => Some(false),
        NodeKind::Int(1) => Some(true),
        NodeKind::Str(text) => match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "true" | "t" | "y" | "1" | "1.0" => Some(true),
            "no" | "off" | "false" | "f" | "n" | "0" | "0.0" => Some(false),
            _ => None,
        },
        NodeKind::Float(value) if *value == 0.0 || (*value - 1.0).abs() < f64::EPSILON => Some(*value != 0.0),
        _ => None,
    }
}

/// Whether a text is a template, and so known only later.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// "`what` must be `expected`", at the value.
pub(super) fn wrong_type(node: &Node, what: &str, expected: &str) -> Diagnostic {
    Diagnostic::error("wrong-type", format!("expected {expected} for {what}, found {}", node.describe()))
        .at(node.span, format!("expected {expected}"))
}

/// A key that means nothing at `level`.
pub(super) fn unknown_keyword(key: &Spanned<&str>, level: Level) -> Diagnostic {
    let message = format!("unknown keyword `{}`", key.value);
    let label = format!("not a keyword of {}", level.describe());
    let diagnostic = Diagnostic::error("unknown-keyword", message).at(key.span, label);
    if let Some(help) = removed(key.value) {
        return diagnostic.help(help);
    }
    let names = Keyword::TABLE.iter().filter(|row| row.levels.contains(&level)).map(|row| row.name);
    match did_you_mean(key.value, names) {
        Some(known) => diagnostic.help(format!("did you mean `{known}`?")),
        None => diagnostic,
    }
}

/// What took the place of a keyword that Ansible had once.
pub(super) fn removed(keyword: &str) -> Option<&'static str> {
    Some(match keyword {
        "sudo" | "su" => "write `become: true`",
        "sudo_user" | "su_user" => "write `become_user:`",
        "sudo_pass" | "su_pass" => "set the variable `ansible_become_password`",
        "su_exe" | "sudo_exe" => "write `become_exe:`",
        "always_run" => "write `check_mode: false`",
        "only_if" | "when_string" | "when_integer" => "write `when:`",
        "first_available_file" => "write `with_first_found:`, or `loop: \"{{ query('first_found', …) }}\"`",
        "accelerate" | "accelerate_port" | "accelerate_ipv6" => "remove it: connections are fast without it",
        "static" => "write `import_tasks:` for what is read before the run, `include_tasks:` for what is read during it",
        _ => return None,
    })
}

/// The keyword that `key` is at `level`, with its value checked. `None` when it is no keyword there; nothing means not given.
pub(super) fn keyword(key: &Spanned<&str>, value: &Node, level: Level, into: &mut Keywords, diags: &mut Diagnostics) -> Option<Keyword> {
    let row = Keyword::find(key.value, level)?;
    if row.keyword == Keyword::Tags && value.kind == NodeKind::Null {
        diags.push(wrong_type(value, "`tags`", "a string or a list of strings").help("write `tags: []` for none"));
    }
    if value.kind != NodeKind::Null && fits(row.shape, row.name, value, diags) {
        into.0.push((Spanned::new(row.keyword, key.span), value.clone()));
    }
    Some(row.keyword)
}

/// Checks a keyword's value as far as it can be without templating.
fn fits(shape: Shape, name: &str, value: &Node, diags: &mut Diagnostics) -> bool {
    if value.as_str().is_some_and(is_template) && !matches!(shape, Shape::Vars | Shape::LoopControl | Shape::Variable) {
        return true;
    }
    let is_int = || match &value.kind {
        NodeKind::Int(_) | NodeKind::Bool(_) => true,
        NodeKind::Float(number) => number.fract() == 0.0,
        _ => value.as_str().is_some_and(|text| text.trim().parse::<i64>().is_ok()),
    };
    let is_number = || {
        let parsed = |text: &str| text.trim().trim_end_matches('%').parse::<f64>().is_ok();
        matches!(value.kind, NodeKind::Int(_) | NodeKind::Float(_) | NodeKind::Bool(_)) || value.as_str().is_some_and(parsed)
    };
    let is_map = |node: &Node| matches!(node.kind, NodeKind::Map(_));
    let is_scalar = |node: &Node| !matches!(node.kind, NodeKind::Map(_) | NodeKind::Seq(_));
    let all = |test: &dyn Fn(&Node) -> bool| match &value.kind {
        NodeKind::Seq(items) => items.iter().all(test),
        _ => test(value),
    };
    let (fits, expected) = match shape {
        Shape::Any => (true, ""),
        Shape::Text => (is_scalar(value), "a string"),
        Shape::Bool => (boolean(value).is_some(), "a boolean"),
        Shape::Int => (is_int(), "a whole number"),
        Shape::Float => (is_number(), "a number"),
        Shape::List => (all(&|node| !is_map(node)), "a string or a list of strings"),
        Shape::Condition => (all(&is_scalar), "a condition or a list of conditions"),
        Shape::Maps => (all(&is_map), "a mapping"),
        Shape::Environment => (all(&|node| is_map(node) || node.as_str().is_some_and(is_template)), "a mapping"),
        Shape::Vars => return variables(value, &format!("`{name}`"), diags),
        Shape::LoopControl => return loop_control(value, diags),
        Shape::Variable => return text(value, "`register`", diags).is_some_and(|name| variable_name(&name.value, value, diags)),
    };
    if fits {
        return true;
    }
    let mut mistake = wrong_type(value, &format!("`{name}`"), expected);
    if matches!(shape, Shape::Bool | Shape::Int | Shape::Float) && is_scalar(value) {
        // Whoever compiles the task may still let it wait until the task runs.
        KEYWORD_TYPE.clone_into(&mut mistake.code);
        diags.push(mistake);
        return true;
    }
    diags.push(mistake);
    false
}

/// The code of the finding that a keyword's value is no boolean or number, where one is wanted.
pub const KEYWORD_TYPE: &str = "keyword-type";

/// A mapping of variables; names that can be none are reported.
fn variables(node: &Node, what: &str, diags: &mut Diagnostics) -> bool {
    let NodeKind::Map(map) = &node.kind else {
        diags.push(wrong_type(node, what, "a mapping"));
        return false;
    };
    let mut fits = |(key, _): &(Node, Node)| {
        if let Some(name) = key.as_str() {
            variable_name(name, key, diags)
        } else {
            diags.push(wrong_type(key, "the name of a variable", "a string"));
            false
        }
    };
    // Each is looked at, so that all mistakes are told at once.
    map.iter().filter(|pair| !fits(pair)).count() == 0
}

/// Whether `name` can be a variable's; says so if not.
pub(super) fn variable_name(name: &str, at: &Node, diags: &mut Diagnostics) -> bool {
    let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let fits = starts && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_') && !matches!(name, "True" | "False" | "None");
    if !fits {
        let help = "a name has letters from a to z, digits and underscores, and does not start with a digit";
        let words = format!("Invalid variable name in play or task specified: '{name}'");
        let diagnostic = Diagnostic::error("variable-name", format!("`{name}` cannot be the name of a variable")).ansible(words);
        diags.push(diagnostic.at(at.span, "").help(help));
    }
    fits
}

fn loop_control(value: &Node, diags: &mut Diagnostics) -> bool {
    const OPTIONS: [&str; 7] = ["break_when", "extended", "extended_allitems", "index_var", "label", "loop_var", "pause"];
    let Some(entries) = entries(value, "`loop_control`", diags) else { return false };
    for (key, _) in entries {
        if !OPTIONS.contains(&key.value) {
            let message = format!("unknown option `{}` of `loop_control`", key.value);
            let diagnostic = Diagnostic::error("unknown-keyword", message).at(key.span, "");
            let help = did_you_mean(key.value, OPTIONS)
                .map_or_else(|| format!("known are {}", OPTIONS.join(", ")), |name| format!("did you mean `{name}`?"));
            diags.push(diagnostic.help(help));
        }
    }
    true
}
