//! Filters, tests and lookups that there are not; those that a project has in Python are named with their file.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Subject;
use super::survey::{Seen, Survey};
use crate::template::{UseKind, knows, short_lookup};
use crate::text::{Diagnostic, Diagnostics, did_you_mean};

/// How a kind of plugin is called, and in which folder projects have theirs.
fn words(kind: UseKind) -> Option<(&'static str, &'static str)> {
    match kind {
        UseKind::Filter => Some(("filter", "filter_plugins")),
        UseKind::Test => Some(("test", "test_plugins")),
        UseKind::Lookup => Some(("lookup", "lookup_plugins")),
        _ => None,
    }
}

pub(super) fn check(surveys: &[Survey], subject: &Subject<'_>, diags: &mut Diagnostics) {
    let mut python = Python::default();
    let lookups = subject.compiler.templar.lookup_names();
    for survey in surveys {
        for seen in survey.all() {
            for expr in super::variables::expressions(&seen.step, &subject.compiler.templar) {
                for used in expr.uses() {
                    let Some((word, folder)) = words(used.kind) else { continue };
                    let short = short_lookup(&used.name);
                    let close = match used.kind {
                        UseKind::Lookup if lookups.contains(&short) => continue,
                        UseKind::Lookup => did_you_mean(short, lookups.iter().copied()),
                        kind => match knows(kind, &used.name) {
                            Ok(()) => continue,
                            Err(close) => close,
                        },
                    };
                    diags.push(refused(seen, word, &used, python.find(survey, subject, folder, short), close));
                }
            }
        }
    }
}

fn refused(seen: &Seen, word: &str, used: &crate::template::Use, plugin: Option<PathBuf>, close: Option<&str>) -> Diagnostic {
    let finding = super::judged(seen.certain && used.certain, &format!("unknown-{word}"), format!("no {word} named `{}`", used.name));
    let finding = finding.at(used.span, "");
    match (plugin, close) {
        (Some(path), _) => finding.help(format!("it is written in Python, in `{}`: rappel cannot run plugins of Python", path.display())),
        (None, Some(close)) => finding.help(format!("did you mean `{close}`?")),
        (None, None) => finding,
    }
}

/// Python sources of plugins, read once.
#[derive(Default)]
struct Python(HashMap<PathBuf, Vec<(PathBuf, String)>>);

impl Python {
    /// The file that has a plugin of this name: as its own name, or as a key of what it gives.
    fn find(&mut self, survey: &Survey, subject: &Subject<'_>, folder: &str, name: &str) -> Option<PathBuf> {
        let roles = survey.roles.iter().map(|role| role.path.clone());
        let places: Vec<PathBuf> = subject.folders.iter().cloned().chain(roles).map(|place| place.join(folder)).collect();
        places.iter().find_map(|place| {
            let sources = self.0.entry(place.clone()).or_insert_with(|| sources(place));
            let quoted = [format!("'{name}'"), format!("\"{name}\"")];
            let has = |(path, text): &&(PathBuf, String)| {
                path.file_stem().is_some_and(|stem| stem == name) || quoted.iter().any(|quoted| text.contains(quoted))
            };
            sources.iter().find(has).map(|(path, _)| path.clone())
        })
    }
}

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let python = entries.filter(|path| path.extension().is_some_and(|ending| ending == "py"));
    python.filter_map(|path| Some((path.clone(), fs::read_to_string(&path).ok()?))).collect()
}
