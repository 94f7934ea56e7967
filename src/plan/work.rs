//! Which module or action a name means: rappel's own, one of the project, or one that is installed.

use std::path::Path;

use super::compile::short_name;
use super::{Compiler, Context, Mistakes, Work};
use crate::bridge::{Origin, Unusable};
use crate::model::Action;
use crate::module::{self, Kind};
use crate::text::{Diagnostic, Diagnostics, Span, Spanned, did_you_mean};

impl Compiler {
    /// What `name` means for a task in `context`, in a play of the directory `dir`, as far as it is known already.
    pub(super) fn work(&self, name: &Spanned<String>, context: &Context, dir: &Path, diags: &mut Diagnostics) -> Option<Work> {
        if name.value.contains("{{") {
            return Some(Work::Named);
        }
        let found = self.find(&name.value, context, &self.library.origin(dir, &context.collections));
        match found {
            Err(unusable) if unusable.broken && self.mistakes == Mistakes::AtTask => Some(Work::Named),
            found => self.usable(found, name, context, dir, diags),
        }
    }

    /// What the module `name` does.
    pub fn work_named(&self, name: &Spanned<String>, context: &Context, dir: &Path, diags: &mut Diagnostics) -> Option<Work> {
        let found = self.find(&name.value, context, &self.library.origin(dir, &context.collections));
        self.usable(found, name, context, dir, diags)
    }

    fn usable(
        &self,
        found: Result<Option<Work>, Unusable>,
        name: &Spanned<String>,
        context: &Context,
        dir: &Path,
        diags: &mut Diagnostics,
    ) -> Option<Work> {
        match found {
            Ok(Some(work)) => Some(work),
            Ok(None) => {
                diags.push(self.unknown(name, &self.library.origin(dir, &context.collections)));
                None
            }
            Err(unusable) => {
                diags.push(self.unusable(&unusable, name.span));
                None
            }
        }
    }

    /// The installed module of Python in the place of rappel's own, where the task asks for what only the other knows: a parameter, or
    /// one of the words for it. What neither knows is left to rappel's own, which says so before the run.
    pub(super) fn able(&self, work: Work, action: &Action, context: &Context, dir: &Path) -> Work {
        let spec = match &work {
            Work::Module(_) | Work::Action(_) => work.spec(),
            Work::Foreign(_) | Work::Named => return work,
        };
        let beyond = action.args.params.iter().filter_map(|(name, node)| match spec.find(&name.value).map(|param| &param.kind) {
            None => Some(name.value.as_str()),
            Some(Kind::Choice(words)) => node.as_str().filter(|word| !word.contains("{{") && !words.contains(word)),
            Some(_) => None,
        });
        let beyond: Vec<&str> = beyond.collect();
        if beyond.is_empty() || work.is_open() {
            return work;
        }
        match self.library.installed(&action.module.value, &self.library.origin(dir, &context.collections)) {
            // What comes with ansible-core itself is as good here, and half of some of its modules is elsewhere.
            Ok(Some(foreign)) if !foreign.is_core() && beyond.iter().all(|word| foreign.mentions(word)) => Work::Foreign(foreign),
            _ => work,
        }
    }

    fn find(&self, name: &str, context: &Context, origin: &Origin) -> Result<Option<Work>, Unusable> {
        self.library.permit(name)?;
        let short = module::short_name(name);
        let action = self.actions.iter().find(|action| action.name == short || action.aliases.contains(&short));
        if let Some(action) = action {
            return Ok(Some(Work::Action(action)));
        }
        if let Some(foreign) = self.library.project(name, origin)? {
            return Ok(Some(Work::Foreign(foreign)));
        }
        let in_collections = || context.collections.iter().find_map(|collection| module::find(&format!("{collection}.{name}")));
        if let Some(entry) = module::find(name).or_else(in_collections) {
            return Ok(Some(Work::Module(entry)));
        }
        Ok(self.library.installed(name, origin)?.map(Work::Foreign))
    }

    fn unknown(&self, name: &Spanned<String>, origin: &Origin) -> Diagnostic {
        let diagnostic = Diagnostic::error("unknown-module", format!("module `{}` is not supported", name.value)).at(name.span, "");
        let short = short_name(&name.value);
        if let Some(plugin) = self.library.plugin("action_plugins", short, origin) {
            let message = format!("it is an action plugin of Python, `{}`: rappel runs modules of Python, not plugins", plugin.display());
            return diagnostic.help(message);
        }
        let known = self.actions.iter().map(|action| action.name).chain(module::MODULES.iter().map(|entry| entry.name));
        match did_you_mean(short, known) {
            Some(close) => diagnostic.help(format!("did you mean `{close}`?")),
            None if self.library.has_core() => diagnostic.help(
                "it is neither rappel's own, nor in `library/` beside the playbook or in a role, nor in a collection or the ansible-core \
                 that is installed here",
            ),
            None => diagnostic.help(
                "rappel has no such module, and there is none in `library/`; with ansible-core and the module's collection installed on \
                 the controller, rappel can run it on hosts that have Python",
            ),
        }
    }

    /// Points at the task, and at the place in the module's own file.
    fn unusable(&self, unusable: &Unusable, span: Span) -> Diagnostic {
        let diagnostic = Diagnostic::error("module-unusable", unusable.message.clone()).at(span, "");
        let diagnostic = match &unusable.place {
            Some((path, line)) => match self.loader.sources().read(path) {
                Ok(id) => {
                    let source = self.loader.sources().get(id);
                    let start = source.text.split_inclusive('\n').take(line.saturating_sub(1) as usize).map(str::len).sum::<usize>();
                    let length = source.text.get(start..).and_then(|rest| rest.lines().next()).map_or(0, str::len);
                    diagnostic.at(Span::new(id, start, start + length), "because of this")
                }
                Err(_) => diagnostic,
            },
            None => diagnostic,
        };
        diagnostic.help(unusable.help.clone())
    }
}
