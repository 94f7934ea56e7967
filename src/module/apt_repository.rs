//! Adds the source of a package archive to apt's one-line lists, or takes it away.
//!
//! ```yaml
//! - apt_repository: {repo: "deb [signed-by=/etc/apt/keyrings/docker.asc] https://download.docker.com/linux/debian bookworm stable"}
//! ```
//!
//! Lines that are there anywhere count, commented out too: those come back to life. `deb822_repository` writes the newer form.

use std::path::{Path, PathBuf};

use super::apt::cache::{Fetch, fetch};
use super::prelude::*;

choice! {
    /// Whether the source shall be there.
    pub enum State { Present = "present", Absent = "absent" }
}

params! {
    pub struct AptRepository {
        /// The line: `deb https://…`, or `ppa:owner/name` on Ubuntu.
        repo: String,
        /// Whether it shall be there.
        state: State = State::Present,
        /// Permissions of a file that is written.
        mode: Option<ModeText>,
        /// Ask the archives for their lists after a change.
        update_cache: bool = true,
        /// How often to ask again when an archive does not answer.
        update_cache_retries: i64 = 5,
        /// The longest pause between two tries, in seconds.
        update_cache_retry_max_delay: i64 = 12,
        /// Check the certificate of the server that knows about PPAs.
        validate_certs: bool = true,
        /// The file in `sources.list.d`, without its end; made of the address when not given.
        filename: Option<String>,
        /// The release of a PPA; the host's when not given.
        codename: Option<String>,
        /// Has no meaning: no Python is needed here.
        install_python_apt: bool = true,
    }
}

const MAIN: &str = "/etc/apt/sources.list";
const FOLDER: &str = "/etc/apt/sources.list.d";

/// A line that names a source, enabled or commented out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    enabled: bool,
    source: String,
    comment: String,
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (enabled, text) = match text.strip_prefix('#') {
            Some(rest) => (false, rest.trim_start_matches(['#', ' ', '\t'])),
            None => (true, text),
        };
        let (source, comment) = text.split_once('#').unwrap_or((text, ""));
        let words: Vec<&str> = source.split_whitespace().collect();
        matches!(words.first(), Some(&("deb" | "deb-src")))
            .then(|| Self { enabled, source: words.join(" "), comment: comment.trim().to_owned() })
    }

    fn text(&self) -> String {
        let comment = if self.comment.is_empty() { String::new() } else { format!(" # {}", self.comment) };
        format!("{}{comment}\n", self.source)
    }
}

impl Module for AptRepository {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let text = self.repo.trim();
        if text.is_empty() {
            return Err(Failure::new("Please set argument 'repo' to a non-empty value"));
        }
        let ppa = text.strip_prefix("ppa:").map(|name| self.ppa(name, machine)).transpose()?;
        let line = ppa.as_ref().map_or(text, |ppa| ppa.line.as_str());
        let wanted = Line::parse(line).filter(|line| line.enabled).ok_or_else(|| Failure::new(format!("Invalid repository string: {text}")))?;
        let before = files(machine)?;
        let old: Vec<(PathBuf, Option<Vec<u8>>)> = before.iter().map(|(path, text)| (path.clone(), Some(text.clone().into_bytes()))).collect();
        let place = self.place(&wanted);
        match self.state {
            State::Present => {
                if !self.enable(&before, &wanted, machine)? {
                    self.add(&place, &before, &wanted, machine)?;
                }
                if let Some(ppa) = &ppa {
                    ppa.trust(machine, self.validate_certs)?;
                }
            }
            State::Absent => self.remove(&before, &wanted, machine)?,
        }
        if machine.changed() && self.update_cache && !machine.checking() {
            self.update(machine, old, &place)?;
        }
        let after = if machine.checking() { before.clone() } else { files(machine)? };
        let only_in = |here: &[(PathBuf, String)], there: &[(PathBuf, String)]| -> Vec<String> {
            let missing = here.iter().filter(|(path, _)| !there.iter().any(|(other, _)| other == path));
            missing.map(|(path, _)| path.display().to_string()).collect()
        };
        let outcome = machine.outcome().with("repo", self.repo.as_str()).with("state", self.state.word());
        Ok(outcome.with("sources_added", only_in(&after, &before)).with("sources_removed", only_in(&before, &after)))
    }
}

/// All lists with their text, the main one first.
fn files(machine: &Machine) -> Result<Vec<(PathBuf, String)>, Failure> {
    let folder = Path::new(FOLDER);
    let mut paths = if machine.is_dir(folder) { machine.list(folder)? } else { Vec::new() };
    paths.retain(|path| path.extension().is_some_and(|end| end == "list"));
    paths.sort();
    let mut found = Vec::new();
    for path in [PathBuf::from(MAIN)].into_iter().chain(paths) {
        if let Some(text) = machine.read_text(&path)? {
            found.push((path, text));
        }
    }
    Ok(found)
}

impl AptRepository {
    fn attributes(&self) -> Attributes {
        Attributes { mode: self.mode.as_ref().map(|mode| mode.0.clone()), ..Attributes::default() }
    }

    fn place(&self, wanted: &Line) -> PathBuf {
        let name = self.filename.clone().unwrap_or_else(|| suggested(&wanted.source));
        let name = name.strip_suffix(".list").unwrap_or(&name);
        Path::new(FOLDER).join(format!("{name}.list"))
    }

    /// Whether the line was found; it is enabled then.
    fn enable(&self, files: &[(PathBuf, String)], wanted: &Line, machine: &mut Machine) -> Result<bool, Failure> {
        let mut found = false;
        for (path, text) in files {
            let mut new = String::new();
            for old in text.split_inclusive('\n') {
                match Line::parse(old) {
                    Some(line) if line.source == wanted.source => {
                        found = true;
                        new.push_str(&if line.enabled { old.to_owned() } else { line.text() });
                    }
                    _ => new.push_str(old),
                }
            }
            if new != *text {
                machine.write(&machine.resolve(path), &new.into(), &self.attributes())?;
            }
        }
        Ok(found)
    }

    fn add(&self, place: &Path, files: &[(PathBuf, String)], wanted: &Line, machine: &mut Machine) -> Result<(), Failure> {
        let mut text = files.iter().find(|(path, _)| path == place).map_or_else(String::new, |(_, text)| text.clone());
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&wanted.text());
        let mut attributes = self.attributes();
        if attributes.mode.is_none() && !machine.exists(place) {
            attributes.mode = Some("0644".to_owned());
        }
        machine.make_dir(Path::new(FOLDER), &Attributes::default())?;
        machine.write(&machine.resolve(place), &text.into(), &attributes).map(drop)
    }

    fn remove(&self, files: &[(PathBuf, String)], wanted: &Line, machine: &mut Machine) -> Result<(), Failure> {
        for (path, text) in files {
            let gone = |line: &&str| Line::parse(line).is_some_and(|line| line.enabled && line.source == wanted.source);
            let left: String = text.split_inclusive('\n').filter(|line| !gone(line)).collect();
            if left == *text {
                continue;
            }
            if left.trim().is_empty() && path != Path::new(MAIN) {
                machine.remove(path)?;
            } else {
                machine.write(&machine.resolve(path), &left.into(), &self.attributes())?;
            }
        }
        Ok(())
    }

    /// Fetches the lists; when an archive does not answer, the sources are as before.
    fn update(&self, machine: &mut Machine, old: Vec<(PathBuf, Option<Vec<u8>>)>, place: &Path) -> Result<(), Failure> {
        let how =
            Fetch { lock_timeout: 60, retries: self.update_cache_retries, longest_pause: self.update_cache_retry_max_delay };
        let Err(failure) = fetch(&how, machine) else { return Ok(()) };
        if !old.iter().any(|(path, _)| path == place) && machine.exists(place) {
            machine.remove(place)?;
        }
        for (path, bytes) in old {
            if let Some(bytes) = bytes {
                machine.write(&machine.resolve(&path), &bytes.into(), &Attributes::default())?;
            }
        }
        Err(failure)
    }
}

/// The name of the file for a source: its address, with nothing but letters and digits.
fn suggested(source: &str) -> String {
    let mut rest = source.to_owned();
    while let (Some(start), Some(end)) = (rest.find('['), rest.find(']')) {
        if start > end {
            break;
        }
        rest.replace_range(start..=end, " ");
    }
    let address = rest.split_whitespace().nth(1).unwrap_or_default();
    let address = address.split_once("://").map_or(address, |(_, address)| address);
    let address = address.split_once('@').map_or(address, |(_, address)| address);
    // `file:/srv` and `cdrom:` have no host.
    let address = address.strip_prefix("file:").unwrap_or(address);
    address.split(|character: char| !character.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

/// An archive of launchpad.net.
struct Ppa {
    line: String,
    owner: String,
    name: String,
}

impl AptRepository {
    fn ppa(&self, name: &str, machine: &Machine) -> Result<Ppa, Failure> {
        let (owner, name) = name.split_once('/').unwrap_or((name, "ppa"));
        let codename = if let Some(codename) = &self.codename {
            codename.clone()
        } else {
            let text = machine.read_text(Path::new("/etc/os-release"))?.unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
            line.map(|name| name.trim_matches('"').to_owned()).ok_or_else(|| Failure::new("this host does not say its release: `codename` does"))?
        };
        let line = format!("deb https://ppa.launchpadcontent.net/{owner}/{name}/ubuntu {codename} main");
        Ok(Ppa { line, owner: owner.to_owned(), name: name.to_owned() })
    }
}

impl Ppa {
    /// Asks launchpad for the key that signs the archive, and has apt trust it.
    fn trust(&self, machine: &mut Machine, validate: bool) -> Result<(), Failure> {
        let place = PathBuf::from(format!("/etc/apt/trusted.gpg.d/ppa_{}_{}.asc", self.owner, self.name));
        if machine.exists(&place) || machine.checking() {
            return Ok(());
        }
        let failed = |why: String| Failure::new(format!("failed to fetch PPA information, error was: {why}"));
        let ask = |url: String| {
            let mut exchange = crate::machine::http::Exchange { validate, ..machine.asking(url) };
            exchange.headers.push(("Accept".to_owned(), "application/json".to_owned()));
            exchange.content().map_err(failed)
        };
        let about = ask(format!("https://api.launchpad.net/1.0/~{}/+archive/{}", self.owner, self.name))?;
        let about: Value = serde_json::from_slice(&about).map_err(|error| failed(error.to_string()))?;
        let fingerprint = about.get("signing_key_fingerprint").and_then(Value::as_str).ok_or_else(|| failed("no key is named".to_owned()))?;
        let key = ask(format!("https://keyserver.ubuntu.com/pks/lookup?op=get&options=mr&search=0x{fingerprint}"))?;
        if !super::openpgp::keys(&key).iter().any(|found| found.is_called(fingerprint)) {
            return Err(failed(format!("the key server does not have the key {fingerprint}")));
        }
        machine.write(&place, &key.into(), &Attributes { mode: Some("0644".to_owned()), ..Attributes::default() }).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_after_addresses() {
        for (source, name) in [
            ("deb [trusted=yes] file:///mnt/repo ./", "mnt_repo"),
            ("deb http://user:pw@apt.example.com:80/a/b-c/ foo main", "apt_example_com_80_a_b_c"),
            ("deb [arch=amd64 signed-by=/x] https://download.docker.com/linux/debian bookworm stable", "download_docker_com_linux_debian"),
            ("deb-src http://deb.debian.org/debian sid main", "deb_debian_org_debian"),
        ] {
            assert_eq!(suggested(source), name);
        }
    }

    #[test]
    fn lines_are_sources() {
        let line = Line::parse("# deb   http://a  b  c # why\n").unwrap();
        assert_eq!((line.enabled, line.source.as_str(), line.text().as_str()), (false, "deb http://a b c", "deb http://a b c # why\n"));
        for text in ["# comment", "", "http://a b c", "debug x"] {
            assert_eq!(Line::parse(text), None, "{text:?}");
        }
    }
}
