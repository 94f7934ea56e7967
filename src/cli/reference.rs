//! The pages of `docs/reference`, made of the declarations that the program itself obeys.

use std::fmt::Write as _;

use clap::{Command, CommandFactory};

use super::settings::Settings;
use super::{Cli, doc};
use crate::deploy::config::Config;
use crate::model::Keyword;

/// The event types, whose comments are their documentation.
const EVENTS: &str = include_str!("../event/mod.rs");

/// Every page: its path below `docs/reference`, and its text in Markdown.
pub fn reference() -> Vec<(String, String)> {
    let modules = doc::topics().into_iter().map(|topic| (format!("modules/{}.md", topic.name), doc::module_page(&topic)));
    let pages = [
        ("keywords.md", keywords()),
        ("cli.md", commands()),
        ("settings.md", settings()),
        ("events.md", events()),
        ("codes.md", codes()),
        ("templates.md", templates()),
    ];
    let schema = serde_json::to_string_pretty(&Config::schema()).unwrap_or_default();
    let config = [("config.md", Config::reference()), ("rappel.schema.json", format!("{schema}\n"))];
    modules.chain(pages.into_iter().chain(config).map(|(name, text)| (name.to_owned(), text))).collect()
}

fn keywords() -> String {
    let mut text =
        String::from("# Keywords\n\nThe words that plays, roles, blocks and tasks may carry.\n\n| keyword | on | |\n|---|---|---|\n");
    for row in Keyword::TABLE {
        let levels: Vec<_> = row.levels.iter().map(|level| format!("{level:?}").to_lowercase()).collect();
        push(&mut text, format_args!("| `{}` | {} | {} |\n", row.name, levels.join(", "), cell(row.doc)));
    }
    text
}

fn settings() -> String {
    let mut text = String::from(
        "# Settings\n\nWhat is read from `ansible.cfg` and the environment. The environment wins.\n\n| key | variable | default | |\n|---|---|---|---|\n",
    );
    for row in Settings::TABLE {
        let code = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let default = row.default.filter(|default| !default.is_empty()).map(|default| format!("`{default}`")).unwrap_or_default();
        push(&mut text, format_args!("| {} | {} | {} | {} |\n", code(row.keys), code(row.variables), cell(&default), cell(row.doc)));
    }
    text
}

fn templates() -> String {
    let mut text = String::from("# Templates\n\nWhat can stand in `{{ }}` and in conditions; `rappel doc NAME` says the same.\n");
    for (kind, table) in doc::IN_TEMPLATES {
        push(&mut text, format_args!("\n## {kind}s\n\n| {} | |\n|---|---|\n", kind.to_lowercase()));
        table.iter().for_each(|(name, about)| push(&mut text, format_args!("| `{name}` | {} |\n", cell(about))));
    }
    text
}

fn codes() -> String {
    let mut text = String::from("# Codes\n\nWhat the codes of errors and warnings mean; `rappel explain CODE` says the same.\n");
    for code in crate::check::CODES {
        push(&mut text, format_args!("\n## `{}`\n\n{}\n", code.code, code.text));
    }
    text
}

fn commands() -> String {
    let mut text = String::from("# Command line\n");
    let mut root = Cli::command().term_width(100);
    root.build();
    command(&mut text, &mut root, "");
    text
}

fn command(text: &mut String, known: &mut Command, above: &str) {
    let name = format!("{above}{}", known.get_name());
    push(text, format_args!("\n## `{name}`\n\n```text\n{}\n```\n", known.render_long_help().to_string().trim_end()));
    for inner in known.get_subcommands_mut().filter(|inner| inner.get_name() != "help" && !inner.is_hide_set()) {
        command(text, inner, &format!("{name} "));
    }
}

/// The variants of `EventKind`, with their fields and comments.
fn events() -> String {
    let mut text = String::from(
        "# Events\n\nA recording (`--record FILE`, `--output jsonl`) has one JSON object a line: `at` (when), `elapsed` (seconds since the run \
         started), `event` (one of the names below), and the fields of that event.\n",
    );
    let body = EVENTS.split_once("pub enum EventKind {").map_or("", |(_, rest)| rest);
    let body = body.split_once("\n}\n").map_or("", |(body, _)| body);
    let (mut comment, mut listing) = (String::new(), false);
    for line in body.lines() {
        if let Some(words) = line.trim_start().strip_prefix("/// ") {
            comment = if comment.is_empty() { words.to_owned() } else { format!("{comment} {words}") };
            continue;
        }
        let inside = line.strip_prefix("    ").unwrap_or_default();
        if inside.starts_with(char::is_uppercase) {
            let name: String = inside.chars().take_while(|letter| letter.is_alphanumeric()).collect();
            push(&mut text, format_args!("\n## `{}`\n\n{}\n", snake(&name), plain(&comment)));
            if let Some((_, held)) = inside.split_once('(') {
                push(&mut text, format_args!("\nFields: those of `{}`.\n", held.trim_end_matches("),")));
            }
            comment.clear();
            listing = false;
        } else if let Some((field, kind)) = inside.trim_start().split_once(": ").filter(|_| inside.starts_with("    ")) {
            text.push_str(if listing { "" } else { "\n" });
            listing = true;
            push(&mut text, format_args!("- `{field}` (`{}`): {}\n", kind.trim_end_matches(','), plain(&comment)));
            comment.clear();
        }
    }
    text
}

/// `TaskFinished` as it stands in JSON: `task_finished`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// A comment without rustdoc's links.
fn plain(comment: &str) -> String {
    comment.replace("[`", "`").replace("`]", "`")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(what);
}
