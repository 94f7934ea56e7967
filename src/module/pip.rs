//! Installs or removes Python packages, for the host or in a virtual environment.
//!
//! ```yaml
//! - pip: {requirements: /srv/shop/requirements.txt, virtualenv: /srv/shop/venv, virtualenv_command: python3 -m venv}
//! ```
//!
//! Without `virtualenv_command`, a host that has no `virtualenv` makes environments with `python3 -m venv`. Undo removes a new
//! environment; in one that was there, packages get their versions back, as far as pip still finds them.

use std::path::{Path, PathBuf};

use super::prelude::*;
use crate::machine::{Undo, find_program, words};

choice! {
    /// How packages shall be.
    pub enum State { Present = "present", Absent = "absent", Latest = "latest", ForceReinstall = "forcereinstall" }
}

params! {
    pub struct Pip {
        /// The packages: `django`, `django>=4`, an address.
        name: Vec<String> = Vec::<String>::new(),
        /// The version, when there is one package.
        version: Option<String>,
        /// A file that lists packages.
        requirements: Option<String>,
        /// The directory of a virtual environment; it is made when there is none.
        virtualenv: Option<PathText>,
        /// Whether a new environment sees the host's packages.
        virtualenv_site_packages: bool = false,
        /// What makes environments: `virtualenv`, `python3 -m venv`.
        virtualenv_command: Option<String>,
        /// The Python of a new environment.
        virtualenv_python: Option<String>,
        /// How packages shall be.
        state: State = State::Present,
        /// More options for `pip`.
        extra_args: Option<String>,
        /// Install the sources in place.
        editable: bool = false,
        /// The directory to run in.
        chdir: Option<PathText>,
        /// The `pip` to use.
        executable: Option<String>,
        /// Permissions that new files shall not have, as an octal number.
        umask: Option<Value>,
        /// Let pip change what the distribution manages.
        break_system_packages: bool = false,
    }
    rules = [Rule::OneOf(&["name", "requirements"]), Rule::Exclusive(&["name", "requirements"]), Rule::Exclusive(&["executable", "virtualenv"])];
}

impl Module for Pip {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(mut self, machine: &mut Machine) -> Result<Outcome, Failure> {
        self.name = joined(&self.name);
        if self.version.is_some() && self.name.len() != 1 {
            return Err(Failure::new("'version' argument is ambiguous when installing multiple package distributions. Please specify version restrictions next to each package in 'name' argument."));
        }
        if self.version.is_some() && self.state == State::Latest {
            return Err(Failure::new("version is incompatible with state=latest"));
        }
        let umask = self.umask()?;
        let environment = self.virtualenv.as_ref().map(|path| machine.path(&path.0));
        let fresh = environment.as_ref().is_some_and(|environment| !machine.exists(&environment.join("bin/activate")));
        if fresh && machine.checking() {
            machine.mark_changed();
            return Ok(machine.outcome());
        }
        if let Some(environment) = environment.as_ref().filter(|_| fresh) {
            self.make(environment, umask, machine)?;
        }
        let tool = Tool { words: self.program(environment.as_deref(), machine)?, directory: self.directory(environment.as_deref(), machine), umask };
        if machine.checking() {
            if self.predicts(&tool, machine)? {
                machine.mark_changed();
            }
            return Ok(machine.outcome());
        }
        let command = tool.command(&self.arguments()?);
        let undo = if fresh { Undo::Nothing } else { tool.undo(machine)? };
        let ran = machine.attempt(&command, undo)?;
        let text = ran.stdout_text();
        let shown: Vec<String> = command.argv.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let gone = self.state == State::Absent && ran.stderr_text().contains("not installed");
        if !ran.succeeded() && !gone {
            let stdout = if text.is_empty() { String::new() } else { format!("stdout: {text}") };
            let msg = format!("{stdout}\n:stderr: {}", ran.stderr_text());
            return Err(Failure { msg, ..ran.failure(&command) }.with("cmd", shown));
        }
        let done = if self.state == State::Absent { "Successfully uninstalled" } else { "Successfully installed" };
        if text.contains(done) {
            machine.mark_changed();
        }
        let names = if self.name.is_empty() { Value::Null } else { self.name.clone().into() };
        let outcome = machine.outcome().with("cmd", shown).with("name", names).with("version", self.version.clone());
        let outcome = outcome.with("requirements", self.requirements.clone()).with("state", self.state.word());
        let outcome = outcome.with("virtualenv", environment.map(|path| path.display().to_string()));
        Ok(outcome.with("stdout", text).with("stderr", ran.stderr_text()))
    }
}

/// A list in one text was split at its commas, those between versions too: `django>=4,<5`.
fn joined(names: &[String]) -> Vec<String> {
    let mut whole: Vec<String> = Vec::new();
    for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        match whole.last_mut() {
            Some(last) if name.starts_with(['<', '>', '=', '!', '~']) => *last = format!("{last},{name}"),
            _ => whole.push(name.to_owned()),
        }
    }
    whole
}

/// The program `pip`, and where it runs.
struct Tool {
    words: Vec<String>,
    directory: PathBuf,
    umask: Option<u32>,
}

impl Tool {
    fn command(&self, arguments: &[String]) -> Command {
        let argv = self.words.iter().chain(arguments).map(Into::into).collect();
        Command { argv, chdir: Some(self.directory.clone()), umask: self.umask, ..Command::default() }.plain()
    }

    /// What is installed, a line `name==version` for each.
    fn installed(&self, machine: &Machine) -> Result<String, Failure> {
        let command = self.command(&["list".to_owned(), "--format=freeze".to_owned()]);
        let ran = machine.query(&command)?;
        if ran.succeeded() { Ok(ran.stdout_text()) } else { Err(ran.failure(&command)) }
    }

    fn undo(&self, machine: &Machine) -> Result<Undo, Failure> {
        let script = "old=$0; \"$@\" list --format=freeze | while IFS= read -r line; do \
            printf '%s\\n' \"$old\" | grep -q \"^${line%%==*}==\" || \"$@\" uninstall -y \"${line%%==*}\" || exit 1; done; \
            new=$(\"$@\" list --format=freeze); printf '%s\\n' \"$old\" | while IFS= read -r line; do \
            printf '%s\\n' \"$new\" | grep -qxF \"$line\" || \"$@\" install --no-deps \"$line\" || exit 1; done";
        let fixed = ["sh".to_owned(), "-c".to_owned(), script.to_owned(), self.installed(machine)?.trim().to_owned()];
        let words = format!("give the packages of `{}` their versions back", words::join(&self.words));
        Ok(Undo::Command(words, fixed.into_iter().chain(self.words.iter().cloned()).collect()))
    }
}

impl Pip {
    fn umask(&self) -> Result<Option<u32>, Failure> {
        let octal = |value: &Value| {
            let text = value.to_text();
            u32::from_str_radix(text.trim_start_matches("0o"), 8).map_err(|_| Failure::new(format!("umask must be an octal integer, found `{text}`")))
        };
        self.umask.as_ref().map(octal).transpose()
    }

    fn directory(&self, environment: Option<&Path>, machine: &Machine) -> PathBuf {
        let parent = environment.and_then(Path::parent).filter(|parent| *parent != Path::new("") && machine.is_dir(parent));
        self.chdir.as_ref().map(|path| machine.path(&path.0)).or_else(|| parent.map(Path::to_owned)).unwrap_or_else(std::env::temp_dir)
    }

    /// The words that run pip.
    fn program(&self, environment: Option<&Path>, machine: &Machine) -> Result<Vec<String>, Failure> {
        if let Some(executable) = &self.executable {
            let found = if executable.contains('/') { Some(machine.path(executable)).filter(|path| path.is_file()) } else { find_program(executable) };
            let missing = || Failure::new(format!("Unable to find any of {executable} to use.  pip needs to be installed."));
            return Ok(vec![found.ok_or_else(missing)?.display().to_string()]);
        }
        if let Some(environment) = environment {
            let candidates = ["bin/pip3", "bin/pip"].map(|name| environment.join(name));
            let found = candidates.iter().find(|path| path.is_file());
            let missing = || Failure::new(format!("Unable to find pip in the virtualenv, {}, under any of these names: pip3, pip. Make sure pip is present in the virtualenv.", environment.display()));
            return Ok(vec![found.ok_or_else(missing)?.display().to_string()]);
        }
        if let Some(found) = ["pip3", "pip"].iter().find_map(|name| find_program(name)) {
            return Ok(vec![found.display().to_string()]);
        }
        let python = find_program("python3").map(|python| [python.display().to_string().as_str(), "-m", "pip"].map(str::to_owned).to_vec());
        let usable = |words: &Vec<String>| {
            let command = Command { argv: words.iter().map(Into::into).collect(), ..Command::default() }.arg("--version");
            machine.query(&command).is_ok_and(|ran| ran.succeeded())
        };
        python.filter(usable).ok_or_else(|| Failure::new("Unable to find any of pip3, pip to use.  pip needs to be installed."))
    }

    /// Makes the environment.
    fn make(&self, environment: &Path, umask: Option<u32>, machine: &mut Machine) -> Result<(), Failure> {
        let mut argv = match &self.virtualenv_command {
            Some(given) => words::split(given).map_err(|error| Failure::new(format!("cannot read `virtualenv_command`: {error}")))?,
            None if find_program("virtualenv").is_some() => vec!["virtualenv".to_owned()],
            None => vec![self.virtualenv_python.clone().unwrap_or_else(|| "python3".to_owned()), "-m".to_owned(), "venv".to_owned()],
        };
        let module = argv.iter().any(|word| word == "venv");
        if self.virtualenv_site_packages {
            argv.push("--system-site-packages".to_owned());
        }
        if let Some(python) = self.virtualenv_python.as_ref().filter(|_| !module) {
            argv.push(format!("-p{python}"));
        } else if self.virtualenv_python.is_some() && self.virtualenv_command.is_some() {
            return Err(Failure::new("virtualenv_python should not be used when using the venv module or pyvenv as virtualenv_command"));
        }
        let shown = environment.display().to_string();
        argv.push(shown.clone());
        if let Some(parent) = environment.parent() {
            machine.make_dir(parent, &Attributes::default())?;
            machine.protect(&[], &[parent.to_owned()])?;
        }
        let command = Command { argv: argv.into_iter().map(Into::into).collect(), umask, chdir: Some(self.directory(Some(environment), machine)), ..Command::default() };
        let undo = ["rm", "-rf", "--", shown.as_str()].map(str::to_owned).to_vec();
        machine.act(&command.plain(), Undo::Command(format!("remove {shown}"), undo)).map(drop)
    }

    fn arguments(&self) -> Result<Vec<String>, Failure> {
        let mut arguments: Vec<&str> = match self.state {
            State::Absent => vec!["uninstall", "-y"],
            State::Latest => vec!["install", "-U"],
            State::ForceReinstall => vec!["install", "-U", "--force-reinstall"],
            State::Present => vec!["install"],
        };
        let extra = self.extra_args.as_deref().map(words::split).transpose().map_err(|error| Failure::new(format!("cannot read `extra_args`: {error}")))?;
        let extra = extra.unwrap_or_default();
        arguments.extend(extra.iter().map(String::as_str));
        if self.break_system_packages {
            arguments.push("--break-system-packages");
        }
        let names: Vec<String> = match &self.version {
            Some(version) => self.name.iter().map(|name| format!("{name}=={version}")).collect(),
            None => self.name.clone(),
        };
        for name in &names {
            if self.editable && self.state != State::Absent {
                arguments.push("-e");
            }
            arguments.push(name);
        }
        if let Some(requirements) = &self.requirements {
            arguments.extend(["-r", requirements]);
        }
        Ok(arguments.into_iter().map(str::to_owned).collect())
    }

    /// Whether anything would change, as well as that can be known without asking the index.
    fn predicts(&self, tool: &Tool, machine: &Machine) -> Result<bool, Failure> {
        if self.extra_args.is_some() || self.requirements.is_some() || matches!(self.state, State::Latest | State::ForceReinstall) {
            return Ok(true);
        }
        let installed = tool.installed(machine)?;
        let version = |name: &str| {
            let lines = installed.lines().filter_map(|line| line.split_once("=="));
            lines.clone().find(|(known, _)| plain(known) == plain(name)).map(|(_, version)| version.to_owned())
        };
        Ok(self.name.iter().any(|name| {
            let (bare, wanted) = split(name);
            let wanted = self.version.as_ref().map_or_else(|| wanted.to_owned(), |version| format!("=={version}"));
            let found = version(bare);
            match (self.state, found) {
                (State::Absent, found) => found.is_some(),
                (_, None) => true,
                (_, Some(found)) => !wanted.split(',').all(|part| satisfies(&found, part.trim())),
            }
        }))
    }
}

/// The name as the index counts it (PEP 503).
fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// `django[argon2]>=4` is `django` and `>=4`.
fn split(requirement: &str) -> (&str, &str) {
    let end = requirement.find(['<', '>', '=', '!', '~', '[', ' ', ';']).unwrap_or(requirement.len());
    let rest = requirement.find(['<', '>', '=', '!', '~']).and_then(|start| requirement.get(start..)).unwrap_or_default();
    (requirement.get(..end).unwrap_or_default(), rest.split(';').next().unwrap_or_default().trim())
}

/// Whether a version is in one range: `>=4`, `==4.*`, `~=4.1`; an empty range has them all.
fn satisfies(version: &str, range: &str) -> bool {
    let Some((sign, wanted)) = ["===", "==", "!=", ">=", "<=", "~=", ">", "<"].iter().find_map(|sign| Some((*sign, range.strip_prefix(sign)?.trim()))) else {
        return range.is_empty();
    };
    let numbers = |text: &str| -> Vec<u64> {
        let mut numbers: Vec<u64> = text.split('.').map_while(|part| part.parse().ok()).collect();
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        numbers
    };
    let under = |prefix: &str| version == prefix || version.starts_with(&format!("{prefix}."));
    let order = numbers(version).cmp(&numbers(wanted));
    let same = wanted.strip_suffix(".*").map_or_else(|| version == wanted || order.is_eq() && !version.contains(char::is_alphabetic), under);
    match sign {
        "==" | "===" => same,
        "!=" => !same,
        ">=" => order.is_ge(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        "<" => order.is_lt(),
        _ => order.is_ge() && wanted.rsplit_once('.').is_some_and(|(prefix, _)| under(prefix)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_ranges() {
        for (version, range, expected) in [
            ("4.2.1", "", true),
            ("4.2.1", "==4.2.*", true),
            ("4.2", "==4.2.0", true),
            ("4.2.1", "==4.2", false),
            ("4.10", ">=4.9", true),
            ("4.2.1", "~=4.2.0", true),
            ("4.3", "~=4.2.0", false),
            ("4.2", "!=4.2", false),
            ("3.9", "<4", true),
        ] {
            assert_eq!(satisfies(version, range), expected, "{version} {range}");
        }
        assert_eq!(split("django[argon2] >=4,<5; python_version > '3'"), ("django", ">=4,<5"));
        let names = ["django>=4", "<5", " six "].map(str::to_owned);
        assert_eq!(joined(&names), ["django>=4,<5", "six"]);
    }
}
