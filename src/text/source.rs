//! [`Sources`]: every text that was read, kept so that any later error can point into it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::{fs, io};

use serde::{Deserialize, Serialize};

/// Names one text in [`Sources`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceId(u32);

/// A stretch of bytes in one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// Which text.
    pub source: SourceId,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// The bytes `start..end` of `source`.
    pub fn new(source: SourceId, start: usize, end: usize) -> Self {
        let clamp = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { source, start: clamp(start), end: clamp(end) }
    }
}

/// A value and where it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spanned<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// `value`, written at `span`.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// The same place, another value.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: convert(self.value), span: self.span }
    }
}

/// One text: a file, or what was given on the command line.
#[derive(Debug)]
pub struct Source {
    /// How it is shown: a path as the user wrote it, or `-e`.
    pub name: String,
    /// The file, if it is one.
    pub path: Option<PathBuf>,
    /// All of it.
    pub text: String,
    /// It was encrypted: nothing of it may be shown.
    pub secret: bool,
}

/// A place as people and editors count: from one, in characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The source's name.
    pub name: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// Every text that was read. A cheap handle: clones share the texts.
#[derive(Clone, Debug, Default)]
pub struct Sources(Arc<RwLock<Vec<Arc<Source>>>>);

impl Sources {
    /// Keeps `text` under `name`.
    pub fn add(&self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        self.push(Source { name: name.into(), path: None, text: text.into(), secret: false })
    }

    /// Reads the file `path` and keeps it under its path.
    ///
    /// # Errors
    /// What the system says, or `InvalidData` where the file is not UTF-8.
    pub fn read(&self, path: &Path) -> io::Result<SourceId> {
        let bytes = fs::read(path)?;
        let text = String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error().to_string()))?;
        Ok(self.add_file(path, text))
    }

    /// Whether the file `path` starts with one of `prefixes`; the file is not kept.
    pub fn starts_with(&self, path: &Path, prefixes: &[&[u8]]) -> bool {
        let mut head = [0; 16];
        let length = fs::File::open(path).and_then(|mut file| io::Read::read(&mut file, &mut head)).unwrap_or(0);
        prefixes.iter().any(|prefix| head.get(..length).is_some_and(|head| head.starts_with(prefix)))
    }

    /// Keeps `text` as the content of the file `path` (decrypted, for instance).
    pub fn add_file(&self, path: &Path, text: impl Into<String>) -> SourceId {
        self.push(Source { name: path.display().to_string(), path: Some(path.to_owned()), text: text.into(), secret: false })
    }

    /// Keeps `text` as the opened content of the encrypted file `path`.
    pub fn add_secret(&self, path: &Path, text: impl Into<String>) -> SourceId {
        self.push(Source { name: path.display().to_string(), path: Some(path.to_owned()), text: text.into(), secret: true })
    }

    /// The source `id`.
    pub fn get(&self, id: SourceId) -> Arc<Source> {
        let sources = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        sources
            .get(id.0 as usize)
            .cloned()
            .unwrap_or_else(|| Arc::new(Source { name: "<unknown>".into(), path: None, text: String::new(), secret: false }))
    }

    /// The files that were read.
    pub fn paths(&self) -> Vec<PathBuf> {
        let sources = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        sources.iter().filter_map(|source| source.path.clone()).collect()
    }

    /// Where `span` starts, in people's terms.
    pub fn position(&self, span: Span) -> Position {
        let source = self.get(span.source);
        let mut start = (span.start as usize).min(source.text.len());
        while !source.text.is_char_boundary(start) {
            start -= 1;
        }
        let before = source.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Position {
            name: source.name.clone(),
            line: count(before.matches('\n').count() + 1),
            column: count(before.get(line_start..).unwrap_or_default().chars().count() + 1),
        }
    }

    fn push(&self, source: Source) -> SourceId {
        let mut sources = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        sources.push(Arc::new(source));
        SourceId(u32::try_from(sources.len() - 1).unwrap_or(u32::MAX))
    }
}

/// The files of variables below `directory`, in the order in which Ansible reads them; hidden ones and backups are left out.
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    let shown = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !name.starts_with('.') && !name.ends_with('~')
    };
    let is_vars = |path: &Path| path.extension().is_none_or(|extension| ["yml", "yaml", "json"].iter().any(|known| extension == *known));
    entries
        .into_iter()
        .filter(shown)
        .flat_map(|path| if path.is_dir() { files_below(&path) } else { Vec::from_iter(is_vars(&path).then_some(path)) })
        .collect()
}
