//! `ssh_config(5)`: files as lines, and which of them hold for a host. The first value wins.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::ConnectError;

/// How deep files may include files; OpenSSH's number.
const DEPTH: usize = 16;

/// Keywords whose value is the rest of the line, quotes and all.
const RAW: [&str; 4] = ["proxycommand", "localcommand", "remotecommand", "knownhostscommand"];

/// Keywords that add up instead of the first winning.
const LISTS: [&str; 5] = ["identityfile", "certificatefile", "localforward", "remoteforward", "sendenv"];

/// Values by lowercase keyword. Those of `LISTS` are one list of all values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values(HashMap<String, Vec<String>>);

impl Values {
    /// Sets `keyword` unless it is set already.
    ///
    /// A way through a proxy that was set first keeps the other kind out, as in OpenSSH; `ProxyJump none` does not.
    pub(super) fn add(&mut self, keyword: &str, values: &[String]) {
        let jumps = || self.get("proxyjump").is_some_and(|list| !list.eq_ignore_ascii_case("none"));
        match keyword {
            "proxyjump" if self.get("proxycommand").is_some() => return,
            "proxycommand" if jumps() => return,
            _ => {}
        }
        let known = self.0.get_mut(keyword);
        match known {
            Some(list) if LISTS.contains(&keyword) => {
                let fresh: Vec<String> = values.iter().filter(|value| !list.contains(value)).cloned().collect();
                list.extend(fresh);
            }
            Some(_) => {}
            None => drop(self.0.insert(keyword.to_owned(), values.to_vec())),
        }
    }

    /// The first word of `keyword`.
    pub(super) fn get(&self, keyword: &str) -> Option<&str> {
        self.all(keyword).first().map(String::as_str)
    }

    /// All words of `keyword`.
    pub(super) fn all(&self, keyword: &str) -> &[String] {
        self.0.get(keyword).map_or(&[], Vec::as_slice)
    }

    /// `keyword` as a number.
    ///
    /// # Errors
    /// It is something else.
    pub(super) fn number<T: FromStr>(&self, keyword: &str) -> Result<Option<T>, ConnectError> {
        self.get(keyword).map(|text| text.parse().map_err(|_| bad(keyword, text, "a number"))).transpose()
    }

    /// `keyword` as `yes` or `no`.
    ///
    /// # Errors
    /// It is something else.
    pub(super) fn flag(&self, keyword: &str) -> Result<Option<bool>, ConnectError> {
        let Some(text) = self.get(keyword) else { return Ok(None) };
        match text.to_ascii_lowercase().as_str() {
            "yes" | "true" => Ok(Some(true)),
            "no" | "false" => Ok(Some(false)),
            _ => Err(bad(keyword, text, "`yes` or `no`")),
        }
    }

    /// `keyword` as a time: seconds, or OpenSSH's `1h30m`. Zero means never.
    ///
    /// # Errors
    /// It is something else.
    pub(super) fn duration(&self, keyword: &str) -> Result<Option<Duration>, ConnectError> {
        let Some(text) = self.get(keyword).filter(|text| *text != "none") else { return Ok(None) };
        let wrong = || bad(keyword, text, "a time");
        let (mut total, mut count): (u64, Option<u64>) = (0, None);
        for character in text.chars() {
            if let Some(digit) = character.to_digit(10) {
                count = Some(count.unwrap_or(0).saturating_mul(10).saturating_add(digit.into()));
                continue;
            }
            let unit = match character.to_ascii_lowercase() {
                's' => 1,
                'm' => 60,
                'h' => 3600,
                'd' => 86_400,
                'w' => 604_800,
                _ => return Err(wrong()),
            };
            total = count.take().ok_or_else(wrong)?.saturating_mul(unit).saturating_add(total);
        }
        let seconds = total.saturating_add(count.unwrap_or(0));
        Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
    }
}

/// The value `text` of `keyword` is not as `expected`.
pub(super) fn bad(keyword: &str, text: &str, expected: &str) -> ConnectError {
    ConnectError::Config(format!("expected {expected} as `{keyword}` in the SSH configuration, found `{text}`"))
}

/// Who wants to go where: what `Host` and `Match` look at.
#[derive(Clone, Debug)]
pub(super) struct Target<'a> {
    /// As the user named the host.
    pub(super) host: &'a str,
    /// The user on the controller.
    pub(super) local_user: &'a str,
    /// That user's home directory.
    pub(super) home: &'a Path,
}

/// One line of a file.
#[derive(Clone, Debug)]
struct Line {
    number: usize,
    keyword: String,
    words: Vec<String>,
}

/// The files, each read once.
#[derive(Debug, Default)]
pub(super) struct Files {
    read: Mutex<HashMap<PathBuf, Option<Arc<Vec<Line>>>>>,
}

impl Files {
    /// Adds what `paths` say for `target` to `values`. A file that does not exist says nothing.
    ///
    /// # Errors
    /// A line that makes no sense, or a file that cannot be read.
    pub(super) fn apply(&self, paths: &[PathBuf], target: &Target, values: &mut Values) -> Result<(), ConnectError> {
        let mut pass = Pass { files: self, target, values, last: false, wants_last: false };
        for path in paths {
            pass.file(path, true, 0)?;
        }
        if pass.wants_last {
            pass.last = true;
            for path in paths {
                pass.file(path, true, 0)?;
            }
        }
        Ok(())
    }

    fn lines(&self, path: &Path) -> Result<Option<Arc<Vec<Line>>>, ConnectError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = read.get(path) {
            return Ok(known.clone());
        }
        let lines = match std::fs::read_to_string(path) {
            Ok(text) => Some(Arc::new(parse(&text, path)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(ConnectError::Config(format!("cannot read {}: {error}", path.display()))),
        };
        read.insert(path.to_owned(), lines.clone());
        Ok(lines)
    }
}

fn parse(text: &str, path: &Path) -> Result<Vec<Line>, ConnectError> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let bad = |reason: &str| ConnectError::Config(format!("{}:{}: {reason}: `{line}`", path.display(), index + 1));
        let (keyword, rest) = split_keyword(line).ok_or_else(|| bad("expected a keyword and a value"))?;
        let keyword = keyword.to_ascii_lowercase();
        let words = if RAW.contains(&keyword.as_str()) {
            vec![rest.to_owned()]
        } else {
            words(rest, true).ok_or_else(|| bad("a quote is not closed"))?
        };
        if words.is_empty() {
            return Err(bad("expected a value"));
        }
        lines.push(Line { number: index + 1, keyword, words });
    }
    Ok(lines)
}

/// `Keyword value`, `Keyword=value`, `Keyword = value`.
pub(super) fn split_keyword(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let end = line.find(|character: char| character.is_whitespace() || character == '=')?;
    let (keyword, rest) = line.split_at_checked(end)?;
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim();
    (!keyword.is_empty() && !rest.is_empty()).then_some((keyword, rest))
}

/// Splits at white space outside quotes; `None` when a quote is not closed. With `comments`, a word that starts with `#` ends it.
pub(super) fn words(text: &str, comments: bool) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut characters = text.chars().peekable();
    loop {
        while characters.next_if(|character| character.is_whitespace()).is_some() {}
        match characters.peek() {
            None => return Some(words),
            Some('#') if comments => return Some(words),
            Some(_) => {}
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(&character) = characters.peek() {
            match (character, quote) {
                (_, None) if character.is_whitespace() => break,
                ('"' | '\'', None) => quote = Some(character),
                (_, Some(open)) if open == character => quote = None,
                ('\\', _) => {
                    characters.next();
                    let next = characters.peek().copied();
                    match next {
                        Some(escaped @ ('"' | '\'' | '\\')) => word.push(escaped),
                        Some(' ') if quote.is_none() => word.push(' '),
                        Some(other) => word.extend(['\\', other]),
                        None => word.push('\\'),
                    }
                }
                _ => word.push(character),
            }
            characters.next();
        }
        if quote.is_some() {
            return None;
        }
        words.push(word);
    }
}

/// One reading of all files for one target.
struct Pass<'a> {
    files: &'a Files,
    target: &'a Target<'a>,
    values: &'a mut Values,
    /// The second reading, in which `Match final` holds.
    last: bool,
    wants_last: bool,
}

impl Pass<'_> {
    fn file(&mut self, path: &Path, active: bool, depth: usize) -> Result<(), ConnectError> {
        if depth > DEPTH {
            return Err(ConnectError::Config(format!("{}: files include each other more than {DEPTH} deep", path.display())));
        }
        let Some(lines) = self.files.lines(path)? else { return Ok(()) };
        // What holds at the top of a file that is included inside a block is what holds in the block.
        let (outer, mut active) = (active, active);
        for line in lines.iter() {
            match line.keyword.as_str() {
                "host" => active = outer && matches_patterns(self.target.host, &line.words),
                "match" => active = self.matches(line, path, outer)?,
                "include" => {
                    for word in &line.words {
                        for included in self.included(word, path) {
                            self.file(&included, active, depth + 1)?;
                        }
                    }
                }
                keyword if active => self.values.add(keyword, &line.words),
                _ => {}
            }
        }
        Ok(())
    }

    /// The files that an `Include` names: relative to `~/.ssh`, or to `/etc/ssh` in the system's file.
    fn included(&self, word: &str, from: &Path) -> Vec<PathBuf> {
        let path = match word.strip_prefix("~/") {
            Some(rest) => self.target.home.join(rest),
            None if word.starts_with('/') => PathBuf::from(word),
            None if from.starts_with("/etc/ssh") => Path::new("/etc/ssh").join(word),
            None => self.target.home.join(".ssh").join(word),
        };
        glob(&path)
    }

    fn matches(&mut self, line: &Line, path: &Path, outer: bool) -> Result<bool, ConnectError> {
        let bad = |reason: String| ConnectError::Config(format!("{}:{}: {reason}", path.display(), line.number));
        let mut holds = outer;
        let mut words = line.words.iter();
        while let Some(word) = words.next() {
            let (negated, criterion) = word.strip_prefix('!').map_or((false, word.as_str()), |rest| (true, rest));
            let (criterion, inline) = criterion.split_once('=').map_or((criterion, None), |(name, value)| (name, Some(value)));
            let criterion = criterion.to_ascii_lowercase();
            let mut found = match criterion.as_str() {
                "all" => true,
                "canonical" => false, // names are not canonicalised here
                "final" => {
                    self.wants_last |= outer;
                    self.last
                }
                "host" | "originalhost" | "user" | "localuser" | "exec" | "localnetwork" | "tagged" => {
                    let argument = inline.or_else(|| words.next().map(String::as_str));
                    let argument = argument.ok_or_else(|| bad(format!("`Match {criterion}` needs a value")))?;
                    // A command runs only when all before it holds.
                    holds && self.criterion(&criterion, argument)
                }
                other => return Err(bad(format!("unknown criterion `{other}` in `Match`"))),
            };
            if negated {
                found = !found;
            }
            holds &= found;
        }
        Ok(holds)
    }

    fn criterion(&self, criterion: &str, argument: &str) -> bool {
        let patterns: Vec<String> = argument.split(',').map(str::to_owned).collect();
        let hostname =
            || self.values.get("hostname").map_or_else(|| self.target.host.to_owned(), |name| name.replace("%h", self.target.host));
        match criterion {
            "host" => matches_patterns(&hostname(), &patterns),
            "originalhost" => matches_patterns(self.target.host, &patterns),
            "user" => matches_patterns(self.values.get("user").unwrap_or(self.target.local_user), &patterns),
            "localuser" => matches_patterns(self.target.local_user, &patterns),
            "tagged" => matches_patterns(self.values.get("tag").unwrap_or_default(), &patterns),
            "exec" => {
                let port = self.values.get("port").unwrap_or("22").to_owned();
                let user = self.values.get("user").unwrap_or(self.target.local_user).to_owned();
                let tokens = [
                    ('h', hostname()),
                    ('n', self.target.host.to_owned()),
                    ('p', port),
                    ('r', user),
                    ('u', self.target.local_user.to_owned()),
                    ('d', self.target.home.display().to_string()),
                ];
                succeeds(&expand(argument, &tokens))
            }
            _ => false,
        }
    }
}

fn succeeds(command: &str) -> bool {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.status().is_ok_and(|status| status.success())
}

/// Replaces `%x` by the value of token `x`; `%%` is a percent sign, an unknown token stays.
pub(super) fn expand(text: &str, tokens: &[(char, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('%') | None => out.push('%'),
            Some(name) => match tokens.iter().find(|(token, _)| *token == name) {
                Some((_, value)) => out.push_str(value),
                None => out.extend(['%', name]),
            },
        }
    }
    out
}

/// Whether `name` matches a pattern and no negated one. Names are compared in lower case.
pub(super) fn matches_patterns(name: &str, patterns: &[String]) -> bool {
    let name = name.to_lowercase();
    let mut found = false;
    for pattern in patterns {
        let pattern = pattern.to_lowercase();
        match pattern.strip_prefix('!') {
            Some(pattern) if matches_wildcard(&name, pattern) => return false,
            Some(_) => {}
            None => found |= matches_wildcard(&name, &pattern),
        }
    }
    found
}

/// Whether `text` matches `pattern`, in which `*` is any text and `?` any character.
pub(super) fn matches_wildcard(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut at, mut in_pattern, mut star) = (0, 0, None);
    while at < text.len() {
        match pattern.get(in_pattern) {
            Some('*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(wanted) if *wanted == '?' || Some(wanted) == text.get(at) => {
                at += 1;
                in_pattern += 1;
            }
            _ => {
                let Some((back, from)) = star else { return false };
                star = Some((back, from + 1));
                (in_pattern, at) = (back + 1, from + 1);
            }
        }
    }
    pattern.get(in_pattern..).is_some_and(|rest| rest.iter().all(|character| *character == '*'))
}

/// The existing files that `pattern` matches, in order.
fn glob(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let name = component.as_os_str().to_string_lossy();
        let mut next = Vec::new();
        for base in found {
            if !name.contains(['*', '?']) {
                next.push(base.join(component));
                continue;
            }
            let Ok(entries) = std::fs::read_dir(&base) else { continue };
            let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
            names.sort();
            names.retain(|entry| !entry.starts_with('.') && matches_wildcard(entry, &name));
            next.extend(names.iter().map(|entry| base.join(entry)));
        }
        found = next;
    }
    found.retain(|path| path.is_file());
    found
}
