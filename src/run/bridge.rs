//! A call of a module that is not rappel's own: what it is told beside its parameters, and which program runs it.

use super::call::ModuleCall;
use super::item::Trouble;
use crate::bridge::{Foreign, Style};
use crate::model::Keyword;
use crate::template::Binding;
use crate::text::Diagnostic;
use crate::wire::{Call, Map, Outcome, Value};

/// Values of `ansible_python_interpreter` that ask to look for one.
const DISCOVER: [&str; 4] = ["auto", "auto_silent", "auto_legacy", "auto_legacy_silent"];

impl ModuleCall<'_> {
    /// Calls `foreign` by way of the agent.
    pub(super) async fn bridged(self, foreign: &Foreign) -> Result<Outcome, Trouble> {
        let mut blobs = self.blobs();
        let name = if foreign.style == Style::Python { &foreign.dotted } else { &foreign.name };
        let mut params = Map::new();
        params.insert("name".to_owned(), name.as_str().into());
        params.insert("style".to_owned(), foreign.style.word().into());
        params.insert("interpreter".to_owned(), self.interpreter(foreign)?.into());
        let files = self.variable("ansible_python_module_rlimit_nofile")?;
        let files = files.and_then(|text| text.parse().ok()).unwrap_or(self.item.task.shared.settings.python_open_files);
        params.insert("open_files".to_owned(), i64::from(files).into());
        params.insert("arguments".to_owned(), Value::Map(self.arguments(foreign)));
        let blob = blobs.add_bytes(foreign.payload());
        let call = Call { module: "foreign".to_owned(), params, blobs: vec![("module".to_owned(), blob)], ..self.around()? };
        self.dispatch(call, &blobs).await
    }

    /// The parameters, and what the protocol tells every module.
    fn arguments(&self, foreign: &Foreign) -> Map {
        let task = self.item.task;
        let mut arguments = self.params.clone();
        let told: [(&str, Value); 14] = [
            ("check_mode", self.checking().into()),
            ("no_log", task.step.keyword(Keyword::NoLog).is_some_and(|_| task.flag_in(Keyword::NoLog, &self.item.scope)).into()),
            ("debug", false.into()),
            ("diff", self.diffing().into()),
            ("verbosity", i64::from(task.shared.settings.verbosity).into()),
            ("version", foreign.version.as_str().into()),
            ("module_name", foreign.name.as_str().into()),
            ("syslog_facility", "LOG_USER".into()),
            ("selinux_special_fs", vec!["fuse", "nfs", "vboxsf", "ramfs", "9p", "vfat"].into()),
            ("string_conversion_action", "warn".into()),
            ("socket", Value::Null),
            ("shell_executable", "/bin/sh".into()),
            ("keep_remote_files", false.into()),
            ("remote_tmp", "/tmp".into()),
        ];
        arguments.extend(told.into_iter().map(|(name, value)| (format!("_ansible_{name}"), value)));
        arguments
    }

    /// The program that runs it on this host; `None` for a Python that the agent is to find.
    fn interpreter(&self, foreign: &Foreign) -> Result<Option<String>, Diagnostic> {
        let Some(language) = foreign.language() else { return Ok(None) };
        let set = self.variable(&format!("ansible_{language}_interpreter"))?;
        let default = if language == "python" { self.item.task.shared.settings.python_interpreter.clone() } else { None };
        let chosen = set.or(default).filter(|chosen| !DISCOVER.contains(&chosen.as_str()));
        if chosen.is_some() || foreign.style == Style::Python {
            return Ok(chosen);
        }
        Ok(foreign.shebang.clone())
    }

    /// The Python that this host is said to have.
    pub(super) fn python(&self) -> Result<Option<String>, Diagnostic> {
        let set = self.variable("ansible_python_interpreter")?.or_else(|| self.item.task.shared.settings.python_interpreter.clone());
        Ok(set.filter(|path| path.starts_with('/')))
    }

    /// A variable of the host that the call goes to.
    fn variable(&self, name: &str) -> Result<Option<String>, Diagnostic> {
        let scope = self.target_scope();
        let value = match scope.get(name) {
            None => return Ok(None),
            Some(Binding::Value(value)) => value,
            Some(Binding::Expr(expr)) => self.item.task.shared.templar.evaluate(&expr, &scope)?,
        };
        Ok(Some(crate::template::to_wire(&value).to_text()).filter(|text| !text.is_empty() && !value.is_none()))
    }
}
