//! Loads variables from files, while the play runs.
//!
//! ```yaml
//! - include_vars: "{{ ansible_facts.os_family }}.yml"
//! - include_vars: {dir: vars, extensions: [yml]}
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::NO_LOG;
use super::prelude::*;
use crate::plan::Vars;
use crate::regex::Regex;
use crate::template::{Binding, Expr};
use crate::text::{Diagnostic, Span};

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

params! {
    pub struct IncludeVars {
        /// A file.
        file: Option<String>,
        /// A directory: all its files, in order of their names.
        dir: Option<String>,
        /// Put everything under this name.
        name: Option<String>,
        /// How deep to look in `dir`; 0 for all the way.
        depth: i64 = 0,
        /// Only files of `dir` whose names match.
        files_matching: Option<String>,
        /// Files of `dir` to leave out.
        ignore_files: Vec<String> = [],
        /// Endings of files in `dir`.
        extensions: Vec<String> = ["yaml".to_owned(), "yml".to_owned(), "json".to_owned()],
        /// Leave out files of `dir` with other endings instead of failing.
        ignore_unknown_extensions: bool = false,
        /// `replace` or `merge`, for mappings that are there already.
        hash_behaviour: Option<String>,
    }
    free_form = file;
    rules = [Rule::Exclusive(&["file", "dir"])];
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: IncludeVars = call.decode()?;
    let files = match (&params.file, &params.dir) {
        (Some(file), _) => vec![find(&call, file.trim()).ok_or_else(|| {
            let message = format!("Could not find or access '{file}' on the Ansible Controller.");
            let failure = Failure::new(message).with("ansible_included_var_files", Vec::<String>::new());
            let missing = Diagnostic::error("file-not-found", format!("cannot find the file of variables `{file}`")).at(place(&call), "");
            Trouble::Failed(Box::new(failure), Some(Box::new(missing)))
        })?],
        (None, Some(dir)) => in_dir(
            &find(&call, dir).filter(|path| path.is_dir()).ok_or_else(|| Failure::new(format!("{dir} directory does not exist")))?,
            &params,
        )?,
        (None, None) => {
            let message = "Could not find file: one of `file` and `dir` is needed";
            return Err(Failure::new(message).with("message", message).into());
        }
    };
    let shared = &call.item.task.shared;
    let mut vars = Vars::new();
    for file in &files {
        let loaded = shared.vars_file(file).map_err(|found| if found.labels.is_empty() { found.at(place(&call), "") } else { found })?;
        vars.extend(loaded.iter().map(|(name, expr)| (name.clone(), expr.clone())));
    }
    let merging = match params.hash_behaviour.as_deref() {
        Some("merge") => true,
        Some("replace") => false,
        None => shared.settings.merge_hashes,
        Some(other) => return Err(Failure::new(format!("`hash_behaviour`: expected `replace` or `merge`, found `{other}`")).into()),
    };
    if let Some(name) = params.name {
        let entries = vars.into_iter().map(|(name, expr)| (Expr::value(&name.into(), call.item.task.step.span), (*expr).clone()));
        let expr = Expr::Map(entries.collect(), call.item.task.step.span);
        vars = [(name, Arc::new(expr))].into_iter().collect();
    }
    if merging {
        vars = vars.into_iter().map(|(name, expr)| merged(&call, name, expr)).collect();
    }
    let warnings = vars.keys().filter_map(|name| crate::plan::reserved_name(name)).collect();
    // The result shows what was loaded; values that are templates stay as they are written until somebody asks.
    let mut facts = Map::new();
    for (name, expr) in &vars {
        if let Some(value) = expr.literal() {
            facts.insert(name.clone(), to_wire(value));
        }
    }
    shared.memory.host(&call.item.task.host).include(vars);
    // What a vault sealed is not shown.
    let sealed = files.iter().any(|file| shared.sources.starts_with(file, &[b"$ANSIBLE_VAULT;"]));
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let outcome = Outcome { warnings, ..Outcome::default() }.with("ansible_facts", facts).with("ansible_included_var_files", names);
    Ok(if sealed { outcome.with(NO_LOG, true) } else { outcome }.into())
}

/// A mapping goes into the one that the variable is already.
fn merged(call: &ActionCall<'_>, name: String, expr: Arc<Expr>) -> (String, Arc<Expr>) {
    let before = match call.scope().get(&name) {
        Some(Binding::Value(value)) => Some(Arc::new(Expr::Literal(value, expr.span()))),
        Some(Binding::Expr(before)) => Some(before),
        None => None,
    };
    let together = match before {
        Some(before) => Arc::new(crate::plan::scope::merge(&before, &expr)),
        None => expr,
    };
    (name, together)
}

/// Where the file is named.
fn place(call: &ActionCall<'_>) -> Span {
    let step = &call.item.task.step;
    step.param("file").map_or(step.span, Expr::span)
}

fn find(call: &ActionCall<'_>, name: &str) -> Option<PathBuf> {
    crate::run::call::find_in(&call.search_path(), "vars", name)
}

fn in_dir(dir: &Path, params: &IncludeVars) -> Result<Vec<PathBuf>, Failure> {
    let matching = match &params.files_matching {
        Some(pattern) => Some(Regex::new(pattern).map_err(|error| Failure::new(format!("`files_matching`: {error}")))?),
        None => None,
    };
    let mut found = Vec::new();
    walk(dir, 1, params, &mut found).map_err(|error| Failure::new(format!("cannot read {}: {error}", dir.display())))?;
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let wanted = matching.as_ref().is_none_or(|pattern| pattern.is_match(&name).unwrap_or(false));
        let ignored = params
            .ignore_files
            .iter()
            .any(|ignored| Regex::new(&format!("{ignored}$")).is_ok_and(|pattern| pattern.is_match(&name).unwrap_or(false)));
        wanted && !ignored
    });
    let known = |path: &PathBuf| {
        let ending = path.extension().unwrap_or_default();
        params.extensions.iter().any(|known| ending == known.trim_start_matches('.'))
    };
    if let Some(odd) = found.iter().find(|path| !known(path)).filter(|_| !params.ignore_unknown_extensions) {
        let message = format!("{} does not have a valid extension: {}", odd.display(), params.extensions.join(", "));
        return Err(Failure::new(message.clone()).with("message", message));
    }
    found.retain(known);
    Ok(found)
}

fn walk(dir: &Path, depth: i64, params: &IncludeVars, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries = std::fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if params.depth == 0 || depth < params.depth {
                walk(&path, depth + 1, params, found)?;
            }
        } else {
            found.push(path);
        }
    }
    Ok(())
}
