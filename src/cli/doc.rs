//! `rappel doc`: what modules, keywords, filters, tests and lookups mean, from the same declarations that the program itself obeys.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use clap::Args;

use super::{Outcome, Stopped, complete};
use crate::event::Exit;
use crate::model::{Keyword, KeywordSpec};
use crate::module::{Entry, Kind, MODULES, Param, Reversible, Rule, Spec, find, short_name};
use crate::plan::ActionSpec;
use crate::run::action::ACTIONS;
use crate::template::guide;
use crate::text::did_you_mean;

/// Explains a module, keyword, filter, test or lookup, or lists all of them
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  rappel doc              everything there is
  rappel doc copy         the module `copy`
  rappel doc serial       the keyword `serial`
  rappel doc combine      the filter `combine`")]
pub(super) struct DocOptions {
    /// Its name
    #[arg(add = complete::documented())]
    pub(super) name: Option<String>,
}

/// Prints the documentation.
pub(super) fn run(options: &DocOptions) -> Outcome {
    let text = match &options.name {
        None => list(),
        Some(name) => explain(name).ok_or_else(|| Stopped::usage(unknown(name)))?,
    };
    // `rappel doc | head` is no failure.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(Exit::Success)
}

/// A module of the agent, or an action of the controller: for who writes a playbook they are the same.
pub(super) struct Topic {
    pub(super) name: &'static str,
    aliases: &'static [&'static str],
    spec: Spec,
    reversible: Reversible,
    /// Whether it can predict; an action says nothing of that.
    check_mode: Option<bool>,
    source: &'static str,
}

impl From<&Entry> for Topic {
    fn from(entry: &Entry) -> Self {
        let Entry { name, aliases, spec, reversible, check_mode, source, .. } = *entry;
        Self { name, aliases, spec, reversible, check_mode: Some(check_mode), source }
    }
}

impl From<&ActionSpec> for Topic {
    fn from(action: &ActionSpec) -> Self {
        let ActionSpec { name, aliases, spec, reversible, source, .. } = *action;
        Self { name, aliases, spec, reversible, check_mode: None, source }
    }
}

/// All of them, in the order of their names.
pub(super) fn topics() -> Vec<Topic> {
    let mut topics: Vec<Topic> = MODULES.iter().map(Topic::from).chain(ACTIONS.iter().map(Topic::from)).collect();
    topics.sort_by_key(|topic| topic.name);
    topics
}

fn topic(name: &str) -> Option<Topic> {
    let short = short_name(name);
    let action = ACTIONS.iter().find(|action| action.name == short || action.aliases.contains(&short));
    action.map(Topic::from).or_else(|| find(name).map(Topic::from))
}

/// What is in templates, by the word for it.
pub(super) const IN_TEMPLATES: [(&str, &[(&str, &str)]); 3] =
    [("Filter", guide::FILTERS), ("Test", guide::TESTS), ("Lookup", guide::LOOKUPS)];

/// Every name that is explained.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let in_templates = IN_TEMPLATES.into_iter().flat_map(|(_, table)| table.iter().map(|(name, _)| *name));
    topics().into_iter().map(|topic| topic.name).chain(Keyword::TABLE.iter().map(|row| row.name)).chain(in_templates)
}

fn explain(name: &str) -> Option<String> {
    let keyword = Keyword::TABLE.iter().find(|row| row.name == name).map(keyword_line);
    let short = name.strip_prefix("ansible.builtin.").unwrap_or(name);
    let known = |(kind, table): (&str, &[(&str, &str)])| {
        table.iter().find(|(known, _)| *known == short).map(|(name, text)| format!("# `{name}` ({})\n\n{text}\n", kind.to_lowercase()))
    };
    let pages: Vec<_> =
        topic(name).map(|topic| module_page(&topic)).into_iter().chain(keyword).chain(IN_TEMPLATES.into_iter().filter_map(known)).collect();
    (!pages.is_empty()).then(|| pages.join("\n"))
}

fn unknown(name: &str) -> String {
    let meant = did_you_mean(name, names()).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
    format!("expected a module, keyword, filter, test or lookup, found `{name}`{meant}")
}

fn list() -> String {
    let mut text = String::from("Modules:\n");
    for topic in topics() {
        line(&mut text, format_args!("  {:<24} {}", topic.name, summary(&topic)));
    }
    text.push_str("\nKeywords:\n");
    for row in Keyword::TABLE {
        line(&mut text, format_args!("  {:<24} {}", row.name, row.doc));
    }
    for (kind, table) in IN_TEMPLATES {
        line(&mut text, format_args!("\n{kind}s:"));
        table.iter().for_each(|(name, about)| line(&mut text, format_args!("  {name:<24} {about}")));
    }
    text
}

fn keyword_line(row: &KeywordSpec) -> String {
    let levels: Vec<_> = row.levels.iter().map(|level| format!("{level:?}").to_lowercase()).collect();
    format!("# `{}` (keyword)\n\n{}\n\nOn: {}\n", row.name, row.doc, levels.join(", "))
}

/// The `//!` head of a module's file.
fn head(topic: &Topic) -> impl Iterator<Item = &'static str> {
    let lines = topic.source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line))
}

fn summary(topic: &Topic) -> String {
    let first: Vec<_> = head(topic).take_while(|line| !line.is_empty()).collect();
    let text = first.join(" ");
    text.split_once(". ").map_or(text.as_str(), |(sentence, _)| sentence).trim_end_matches('.').to_owned()
}

/// A module's page in Markdown, as `docs/reference/modules` keeps it.
pub(super) fn module_page(topic: &Topic) -> String {
    let mut text = format!("# `{}`\n\n", topic.name);
    head(topic).for_each(|part| line(&mut text, format_args!("{part}")));
    text.push('\n');
    if !topic.aliases.is_empty() {
        let aliases: Vec<_> = topic.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        line(&mut text, format_args!("Also called {}.\n", aliases.join(", ")));
    }
    let undo = match topic.reversible {
        Reversible::ReadOnly => "changes nothing",
        Reversible::Exact => "undone byte for byte",
        Reversible::BestEffort => "undone as well as can be",
        Reversible::Impossible => "cannot be undone; a `rescue:` has to",
    };
    line(&mut text, format_args!("- In a transaction: {undo}"));
    if let Some(predicts) = topic.check_mode {
        line(&mut text, format_args!("- Check mode: {}", if predicts { "predicts" } else { "skips the task" }));
    }
    if let Some(free) = topic.spec.free_form {
        line(&mut text, format_args!("- Free-form text goes to `{free}`"));
    }
    topic.spec.rules.iter().for_each(|rule| line(&mut text, format_args!("- {}", rule_text(rule))));
    if !topic.spec.params.is_empty() {
        text.push_str("\n| parameter | takes | default | |\n|---|---|---|---|\n");
        topic.spec.params.iter().for_each(|param| text.push_str(&param_row(param)));
    }
    text
}

fn param_row(param: &Param) -> String {
    let aliases = std::iter::once(&param.name).chain(param.aliases).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let default = match param {
        Param { required: true, .. } => "**required**".to_owned(),
        Param { default: "", .. } => String::new(),
        Param { default, .. } => format!("`{default}`"),
    };
    let doc: Vec<_> = param.doc.lines().map(str::trim).collect();
    let doc = doc.join(" ").trim().replace('|', "\\|");
    format!("| {aliases} | {} | {default} | {doc} |\n", kind_text(param.kind).replace('|', "\\|"))
}

fn kind_text(kind: Kind) -> String {
    match kind {
        Kind::Str => "string".to_owned(),
        Kind::Int => "integer".to_owned(),
        Kind::Float => "number".to_owned(),
        Kind::Bool => "boolean".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Mode => "file mode".to_owned(),
        Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::List(inner) => format!("list of {}", kind_text(*inner)),
        Kind::Map => "mapping".to_owned(),
        Kind::Any => "anything".to_owned(),
        Kind::LocalFile => "file of the controller".to_owned(),
        Kind::LocalTemplate => "template of the controller".to_owned(),
    }
}

fn rule_text(rule: &Rule) -> String {
    let names = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match rule {
        Rule::Exclusive(which) => format!("At most one of {}", names(which)),
        Rule::OneOf(which) => format!("At least one of {}", names(which)),
        Rule::Together(which) => format!("All or none of {}", names(which)),
        Rule::Needs(name, which) => format!("`{name}` needs {}", names(which)),
        Rule::When(name, value, which) => format!("`{name}={value}` needs {}", names(which)),
    }
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_modules_and_keywords_by_any_of_their_names() {
        for name in [
            "copy",
            "ansible.builtin.copy",
            "fetch",
            "community.docker.docker_compose",
            "serial",
            "combine",
            "ansible.builtin.combine",
            "version",
            "first_found",
        ] {
            assert!(explain(name).is_some(), "{name}");
        }
        assert_eq!(explain("cpoy"), None);
        assert_eq!(unknown("cpoy"), "expected a module, keyword, filter, test or lookup, found `cpoy`; did you mean `copy`?");
    }

    #[test]
    fn every_module_says_in_a_sentence_what_it_does() {
        for topic in topics() {
            assert!(summary(&topic).len() > 10, "{}", topic.name);
        }
    }
}
