//! The bridge: modules that rappel does not have, found in a project or in an installed ansible-core, and packed so that a host
//! can run them by Ansible's documented module protocol ("Ansible module architecture" in the developer guide).
//!
//! Nothing here runs Ansible: a Python module goes to the host as one archive with what it imports, beside rappel's own few lines
//! that give it its parameters; every other kind of module is a program that is given a file of parameters.

mod imports;
mod pack;
mod routing;
mod search;
mod zip;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub use search::{Library, Origin, Places};

/// How a module takes its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Python that imports `ansible.module_utils`: they are put into it.
    Python,
    /// A script with `WANT_JSON` in it: the name of a JSON file.
    Json,
    /// A script that has them written into itself, as JSON.
    Embedded,
    /// Any other script: the name of a file of `key=value`.
    Words,
    /// A program: the name of a JSON file.
    Binary,
}

impl Style {
    /// The word for it between the two programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Json => "json",
            Self::Embedded => "embedded",
            Self::Words => "words",
            Self::Binary => "binary",
        }
    }

    /// What the first bytes and the marks of the protocol say.
    fn of(content: &[u8]) -> Self {
        let has = |mark: &str| content.windows(mark.len()).any(|window| window == mark.as_bytes());
        if content.iter().take(1024).any(|byte| *byte == 0) {
            return Self::Binary;
        }
        if imports::uses_module_utils(&String::from_utf8_lossy(content)) {
            return Self::Python;
        }
        match () {
            () if has(EMBEDDED_MARK) => Self::Embedded,
            () if has("WANT_JSON") => Self::Json,
            () => Self::Words,
        }
    }
}

/// What a script of the style [`Style::Embedded`] has in the place of its parameters.
pub const EMBEDDED_MARK: &str = "<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>";

/// A module that is not rappel's own.
#[derive(Debug)]
pub struct Foreign {
    /// Its name, as written or short.
    pub name: String,
    /// What Python calls it: `ansible.modules.NAME`.
    pub dotted: String,
    /// Its file on the controller.
    pub path: PathBuf,
    /// How it takes its parameters.
    pub style: Style,
    /// The program that runs it, with its arguments, as its first line says.
    pub shebang: Option<String>,
    /// The version of the ansible-core whose parts go along, for modules that ask.
    pub version: String,
    payload: OnceLock<Arc<[u8]>>,
    content: Vec<u8>,
    parts: pack::Parts,
}

impl Foreign {
    /// What goes to the host: the archive, or the module itself.
    pub fn payload(&self) -> Arc<[u8]> {
        let make = || match self.style {
            Style::Python => self.parts.archive().into(),
            _ => self.content.as_slice().into(),
        };
        self.payload.get_or_init(make).clone()
    }

    /// Whether it comes with ansible-core itself.
    pub fn is_core(&self) -> bool {
        self.dotted.starts_with("ansible.modules.")
    }

    /// Whether `word` is in its text, or in that of its collection's parts: there is no other way to know the parameters of a program.
    pub fn mentions(&self, word: &str) -> bool {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let mut texts = std::iter::once(self.content.as_slice()).chain(self.parts.of_collections());
        texts.any(|text| text.split(|byte| !is_word(byte)).any(|found| found == word.as_bytes()))
    }

    /// The name of its interpreter, for the variable `ansible_NAME_interpreter`: `python`, `bash`.
    pub fn language(&self) -> Option<String> {
        if self.style == Style::Python {
            return Some("python".to_owned());
        }
        let mut words = self.shebang.as_deref()?.split_whitespace();
        let mut program = words.next()?;
        if program.ends_with("/env") {
            program = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
        }
        let name = program.rsplit('/').next().unwrap_or(program);
        Some(if name.starts_with("python") { "python".to_owned() } else { name.to_owned() })
    }
}

/// The first line of a script, without its mark.
fn shebang(content: &[u8]) -> Option<String> {
    let line = content.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    Some(String::from_utf8_lossy(line).trim().to_owned()).filter(|line| !line.is_empty())
}

/// Why a module that is there cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unusable {
    /// What is wrong.
    pub message: String,
    /// Which file, and the line in it, where there is one.
    pub place: Option<(PathBuf, u32)>,
    /// What to do.
    pub help: String,
    /// Ansible cannot run it either: it finds that out when the task runs.
    pub broken: bool,
}

impl Unusable {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, help: help.into(), broken: false }
    }

    fn at(mut self, path: &Path, line: u32) -> Self {
        self.place = Some((path.to_owned(), line));
        self
    }
}

#[cfg(test)]
mod tests;
