//! A module that is not rappel's own, run by Ansible's module protocol. Internal: a task that names such a module calls it.
//!
//! The module and its parameters are in files that only this user can read, for as long as it runs; the parameters of Python modules
//! are in no file at all.
//!
//! ```yaml
//! - postgresql_ext: {name: pg_trgm, login_db: shop} # from a collection on the controller
//! ```

use std::ffi::OsString;
use std::path::Path;

use super::prelude::*;

/// Where Python is looked for when no variable says it: the newest that modules are known to run with first.
const PYTHONS: [&str; 11] = [
    "python3.14",
    "python3.13",
    "python3.12",
    "python3.11",
    "python3.10",
    "python3.9",
    "python3.8",
    "python3.7",
    "/usr/bin/python3",
    "python3",
    "/usr/libexec/platform-python",
];

choice! {
    /// How a module takes its parameters.
    pub enum Style { Python = "python", Json = "json", Embedded = "embedded", Words = "words", Binary = "binary" }
}

params! {
    pub struct Foreign {
        /// The module, for messages; for `style: python` what Python calls it.
        name: String,
        /// How it takes its parameters.
        style: Style,
        /// The program that runs it, with arguments; Python is looked for when it is not given.
        interpreter: Option<String>,
        /// How many files it may have open, for `style: python`; 0 leaves that alone.
        open_files: i64 = 0,
        /// Its parameters.
        arguments: Map,
    }
}

impl Module for Foreign {
    const REVERSIBLE: Reversible = Reversible::Impossible;

    fn run(mut self, machine: &mut Machine) -> Result<Outcome, Failure> {
        if machine.checking() && self.style != Style::Python {
            let msg = format!("`{}` has no check mode that rappel could ask for", self.name);
            return Ok(Outcome { skipped: Some(msg), ..Outcome::default() });
        }
        let content = machine.content("module").cloned().ok_or_else(|| Failure::new("the module itself did not come along"))?;
        let scratch = machine.scratch()?;
        self.arguments.insert("_ansible_tmpdir".to_owned(), scratch.to_string_lossy().into_owned().into());
        if !machine.checking() {
            machine.cannot_undo(format!("module `{}`", self.name))?;
        }
        let command = match self.style {
            Style::Python => self.python(&machine.scratch_file("module.zip", content, false)?, machine)?,
            Style::Binary => self.program(&machine.scratch_file("module", content, true)?, machine)?,
            Style::Embedded => {
                let text = content.to_vec().map_err(|error| Failure::new(error.to_string()))?;
                let text = String::from_utf8_lossy(&text).replace("<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>", &self.json()?);
                self.script(&machine.scratch_file("module", text.into(), false)?, None)?
            }
            Style::Json | Style::Words => {
                let text = if self.style == Style::Json { self.json()? } else { words(&self.arguments) };
                let module = machine.scratch_file("module", content, false)?;
                let arguments = machine.scratch_file("args", text.into(), false)?;
                self.script(&module, Some(&arguments))?
            }
        };
        let program = command.program();
        let completed = machine.run(&command).map_err(|error| match error.errno() {
            Some(2) => Failure::new(format!("The module interpreter '{program}' was not found.")).with("rc", 127),
            _ => error.into(),
        })?;
        super::foreign_result::judge(&self.name, &completed, machine)
    }
}

impl Foreign {
    fn python(&self, archive: &Path, machine: &Machine) -> Result<Command, Failure> {
        let mut argv = match &self.interpreter {
            Some(interpreter) => self.interpreter_words(interpreter)?,
            None => vec![find_python(machine).ok_or_else(|| self.no_python())?],
        };
        argv.extend([archive.into(), OsString::from(&self.name), OsString::from(self.open_files.to_string())]);
        let mut request = Map::new();
        request.insert("ANSIBLE_MODULE_ARGS".to_owned(), Value::Map(self.arguments.clone()));
        Ok(Command { argv, stdin: encode(&Value::Map(request))?.into_bytes(), ..Command::default() })
    }

    fn program(&self, module: &Path, machine: &mut Machine) -> Result<Command, Failure> {
        let arguments = machine.scratch_file("args", self.json()?.into(), false)?;
        Ok(Command { argv: vec![module.into(), arguments.into()], ..Command::default() })
    }

    fn script(&self, module: &Path, arguments: Option<&Path>) -> Result<Command, Failure> {
        let interpreter = self.interpreter.as_deref().unwrap_or("/bin/sh");
        let mut argv = self.interpreter_words(interpreter)?;
        argv.push(module.into());
        argv.extend(arguments.map(OsString::from));
        Ok(Command { argv, ..Command::default() })
    }

    fn interpreter_words(&self, interpreter: &str) -> Result<Vec<OsString>, Failure> {
        let words: Vec<OsString> = interpreter.split_whitespace().map(OsString::from).collect();
        if words.is_empty() { Err(Failure::new(format!("the interpreter of `{}` is empty", self.name))) } else { Ok(words) }
    }

    fn no_python(&self) -> Failure {
        Failure::new(format!(
            "module `{}` is Python, and there is no Python on this host: looked for {}; install `python3`, or set \
             `ansible_python_interpreter`",
            self.name,
            PYTHONS.join(", ")
        ))
    }

    fn json(&self) -> Result<String, Failure> {
        encode(&Value::Map(self.arguments.clone()))
    }
}

fn encode(value: &Value) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::new(format!("the parameters cannot be written as JSON: {error}")))
}

fn find_python(machine: &Machine) -> Option<OsString> {
    let path = machine.environment().get("PATH").cloned().unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
    PYTHONS.iter().find_map(|name| {
        if name.starts_with('/') {
            return machine.exists(Path::new(name)).then(|| OsString::from(name));
        }
        path.split(':').map(|folder| Path::new(folder).join(name)).find(|path| machine.exists(path)).map(OsString::from)
    })
}

/// `key=value` in a line, each value as a shell would have to be given it.
fn words(arguments: &Map) -> String {
    let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c));
    let quoted = |text: String| if plain(&text) { text } else { format!("'{}'", text.replace('\'', r#"'"'"'"#)) };
    arguments.iter().map(|(name, value)| format!("{name}={}", quoted(value.to_text()))).collect::<Vec<_>>().join(" ")
}
