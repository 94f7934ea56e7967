//! Files of the controller that tasks name and that are not there, and templates that do not compile.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::Subject;
use super::survey::{self, Survey};
use crate::module::Kind;
use crate::template::to_wire;
use crate::text::{Diagnostic, Diagnostics};

pub(super) fn check(survey: &Survey, subject: &Subject<'_>, diags: &mut Diagnostics) {
    let mut compiled = HashSet::new();
    for seen in survey.all() {
        let step = &seen.step;
        // Not of this machine, or only the run knows.
        if step.param("remote_src").is_some_and(|flag| flag.literal().and_then(|flag| to_wire(flag).to_bool()) != Some(false)) {
            continue;
        }
        for param in step.work.spec().params {
            let folder = match param.kind {
                Kind::LocalFile => "files",
                Kind::LocalTemplate => "templates",
                _ => continue,
            };
            let Some(expr) = step.param(param.name) else { continue };
            let Some(name) = survey::text(expr).filter(|name| !name.is_empty()) else { continue };
            match find(&survey::folders(step, &survey.play), folder, &name) {
                None => {
                    let message = format!("cannot find `{name}` on the controller");
                    // What is named by its whole path may be made before, or be on the machine that this runs on later.
                    let elsewhere = Path::new(&name).is_absolute();
                    let finding = if elsewhere {
                        Diagnostic::warning("file-not-found", message)
                    } else {
                        super::judged(seen.certain, "file-not-found", message)
                    };
                    let finding = finding.at(expr.span(), "");
                    diags.push(finding.help(format!("it was looked for in `{folder}/` of the role and beside the playbook")));
                }
                Some(path) if folder == "templates" && compiled.insert(path.clone()) => {
                    subject.compiler.templar.look_at(&path, diags);
                }
                Some(_) => {}
            }
        }
    }
}

/// The first file called `name`, under `kind` or not, in `folders`.
pub(super) fn find(folders: &[PathBuf], kind: &str, name: &str) -> Option<PathBuf> {
    if Path::new(name).is_absolute() || name.starts_with('~') {
        // A home is another for every user; absolute paths may be made by an earlier task.
        return Some(PathBuf::from(name)).filter(|path| path.is_file() || name.starts_with('~'));
    }
    folders.iter().flat_map(|folder| [folder.join(kind).join(name), folder.join(name)]).find(|path| path.exists())
}
