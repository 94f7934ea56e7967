//! Makes, removes and dresses files, directories and links.
//!
//! ```yaml
//! - file: {path: /srv/shop/releases, state: directory, owner: shop, mode: "0755"}
//! - file: {path: /srv/shop/current, src: /srv/shop/releases/7, state: link}
//! ```

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::prelude::*;

choice! {
    /// What there should be.
    pub enum State { Absent = "absent", Directory = "directory", File = "file", Hard = "hard", Link = "link", Touch = "touch" }
}

params! {
    pub struct File {
        /// The path.
        path | dest | name: PathText,
        /// What there should be; without it what is there is left, and dressed.
        state: Option<State>,
        /// What a link points to.
        src: Option<PathText>,
        /// Dress everything inside a directory as well.
        recurse: bool = false,
        /// Make a link to nothing, or in place of a file.
        force: bool = false,
        /// Follow links at `path`.
        follow: bool = true,
        /// `preserve`, `now`, or a time; with `touch` it is `now`.
        modification_time: Option<String>,
        /// How `modification_time` is written.
        modification_time_format: String = "%Y%m%d%H%M.%S",
        /// `preserve`, `now`, or a time; with `touch` it is `now`.
        access_time: Option<String>,
        /// How `access_time` is written.
        access_time_format: String = "%Y%m%d%H%M.%S",
        /// Only say whether it is a file of text. For Ansible's own use.
        _diff_peek: Option<String>,
        /// What the file was called. For Ansible's own use.
        _original_basename: Option<String>,
    }
    group = file: FileAttributes;
}

impl Module for File {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let mut path = machine.path(&self.path.0);
        if let (Some(State::Hard), Some(name)) = (self.state, self.src.as_ref().and_then(|src| Path::new(&src.0).file_name()))
            && machine.is_dir(&path)
        {
            path.push(name);
        }
        self.file.foresee(machine);
        let found = machine.stat(&path, false)?;
        let found_state = found.as_ref().map_or("absent", Stat::state);
        if self.recurse && self.state.is_some_and(|state| state != State::Directory) {
            return Err(described(machine, &path, Failure::new("recurse option requires state to be 'directory'")));
        }
        if self._diff_peek.is_some() {
            let head = if machine.is_dir(&path) || found.is_none() { Vec::new() } else { machine.content_of(&path)?.head(8192).unwrap_or_default() };
            return Ok(machine.outcome().with("path", path.display().to_string()).with("appears_binary", head.contains(&0)));
        }
        let links = [State::Link, State::Hard].map(Some);
        if self.src.is_some() && !links.contains(&self.state) && !matches!((self.state, found_state), (None, "link" | "hard")) {
            return Err(Failure::new("src option requires state to be 'link' or 'hard'").with("path", path.display().to_string()));
        }
        let state = self.state.unwrap_or(match found_state {
            _ if self.recurse => State::Directory,
            "directory" => State::Directory,
            "link" => State::Link,
            "hard" => State::Hard,
            _ => State::File,
        });
        let done = match state {
            State::Absent => return absent(machine, &path),
            State::File => self.file(machine, path.clone()),
            State::Directory => self.directory(machine, path.clone()),
            State::Touch => self.touch(machine, path.clone()),
            State::Link => self.link(machine, &path, found.as_ref()),
            // A file that has other names is just dressed when no `src` was given.
            State::Hard if self.state.is_none() && self.src.is_none() => {
                self.file(machine, path.clone()).map(|outcome| outcome.with("dest", path.display().to_string()))
            }
            State::Hard => self.hard(machine, &path, found.as_ref()),
        };
        let states = machine.states(&path);
        done.map(|outcome| outcome.with("diff", states)).map_err(|failure| described(machine, &path, failure))
    }
}

fn described(machine: &Machine, path: &Path, mut failure: Failure) -> Failure {
    let mut facts = machine.describe(path);
    facts.entry("state".into()).or_insert("absent".into());
    facts.insert("path".into(), path.display().to_string().into());
    failure.data.extend(facts);
    failure
}

fn absent(machine: &mut Machine, path: &Path) -> Result<Outcome, Failure> {
    let inside = if machine.diffing() && machine.stat(path, false)?.is_some_and(|stat| stat.is_dir()) { Some(inside(machine, path)?) } else { None };
    machine.remove(path)?;
    let mut states = machine.states(path);
    if let (Some(inside), Some(Value::Map(before))) = (inside, states.get_mut("before")) {
        before.insert("path_content".to_owned(), inside.into());
    }
    let facts = if machine.checking() { machine.describe(path) } else { Map::new() };
    Ok(machine.outcome().with("path", path.display().to_string()).with("state", "absent").with_all(facts).with("diff", states))
}

/// What goes with a directory.
fn inside(machine: &Machine, path: &Path) -> Result<Map, Failure> {
    let (mut directories, mut files, mut waiting) = (Vec::new(), Vec::new(), vec![path.to_owned()]);
    while let Some(directory) = waiting.pop() {
        for path in machine.list(&directory)? {
            let shown = path.display().to_string();
            if machine.stat(&path, false)?.is_some_and(|stat| stat.is_dir()) {
                directories.push(shown);
                waiting.push(path);
            } else {
                files.push(shown);
            }
        }
    }
    Ok(Map::from_iter([("directories".to_owned(), directories.into()), ("files".to_owned(), files.into())]))
}

impl File {
    fn outcome(machine: &mut Machine, key: &str, path: &Path) -> Outcome {
        let facts = machine.describe(path);
        machine.outcome().with(key, path.display().to_string()).with_all(facts)
    }

    /// Where a link at `path` leads, if it is to be followed.
    fn followed(&self, machine: &Machine, path: PathBuf) -> Result<PathBuf, Failure> {
        match machine.stat(&path, false)? {
            Some(stat) if stat.is_link() && self.follow => Ok(machine.resolve(&path)),
            _ => Ok(path),
        }
    }

    fn file(&self, machine: &mut Machine, path: PathBuf) -> Result<Outcome, Failure> {
        let path = self.followed(machine, path)?;
        let state = machine.stat(&path, false)?.as_ref().map_or("absent", Stat::state);
        if !matches!(state, "file" | "hard") {
            return Err(Failure::new(format!("file ({}) is {state}, cannot continue", path.display())));
        }
        machine.attributes(&path, &self.file.wanted())?;
        self.set_times(machine, &path, "preserve")?;
        Ok(Self::outcome(machine, "path", &path))
    }

    fn directory(&self, machine: &mut Machine, path: PathBuf) -> Result<Outcome, Failure> {
        let path = self.followed(machine, path)?;
        if let Some(stat) = machine.stat(&path, false)?
            && !stat.is_dir()
        {
            return Err(Failure::new(format!("{} already exists as a {}", path.display(), stat.state())));
        }
        machine.make_dir(&path, &self.file.wanted())?;
        self.set_times(machine, &path, "preserve")?;
        if self.recurse && machine.is_dir(&path) {
            self.dress_all(machine, &path)?;
        }
        Ok(Self::outcome(machine, "path", &path))
    }

    fn dress_all(&self, machine: &mut Machine, directory: &Path) -> Result<(), Failure> {
        for path in machine.list(directory)? {
            machine.go_on()?;
            let Some(stat) = machine.stat(&path, false)? else { continue };
            if stat.is_link() {
                machine.attributes(&path, &Attributes { no_follow: true, flags: None, ..self.file.wanted() })?;
                if self.follow && let Some(target) = machine.stat(&path, true)? {
                    let real = machine.resolve(&path);
                    machine.attributes(&real, &self.file.wanted())?;
                    if target.is_dir() && !directory.starts_with(&real) {
                        self.dress_all(machine, &real)?;
                    }
                }
                continue;
            }
            machine.attributes(&path, &self.file.wanted())?;
            self.set_times(machine, &path, "preserve")?;
            if stat.is_dir() {
                self.dress_all(machine, &path)?;
            }
        }
        Ok(())
    }

    fn touch(&self, machine: &mut Machine, path: PathBuf) -> Result<Outcome, Failure> {
        let path = self.followed(machine, path)?;
        if machine.stat(&path, false)?.is_none() {
            machine.write(&path, &"".into(), &self.file.wanted())?;
            if !machine.checking() {
                self.set_times(machine, &path, "preserve")?;
            }
        } else {
            self.set_times(machine, &path, "now")?;
            machine.attributes(&path, &self.file.wanted())?;
        }
        Ok(Self::outcome(machine, "dest", &path))
    }

    fn set_times(&self, machine: &mut Machine, path: &Path, default: &str) -> Result<bool, Failure> {
        if [&self.access_time, &self.modification_time].into_iter().all(|time| time.as_deref().unwrap_or(default) == "now") {
            return machine.touch(path);
        }
        let time = |text: &Option<String>, format: &str| time(machine, text.as_deref().unwrap_or(default), format);
        let accessed = time(&self.access_time, &self.access_time_format)?;
        let modified = time(&self.modification_time, &self.modification_time_format)?;
        if accessed.is_none() && modified.is_none() {
            return Ok(false);
        }
        machine.times(path, accessed, modified)
    }

    fn source(&self, machine: &Machine, path: &Path, state: &str) -> Result<PathBuf, Failure> {
        match &self.src {
            Some(src) => Ok(machine.path(&src.0)),
            None if state == "link" && self.follow => machine.read_link(path),
            None if state == "link" => machine.read_link(path),
            None => Err(Failure::new("src is required for creating new symlinks")),
        }
    }

    fn link(&self, machine: &mut Machine, path: &Path, found: Option<&Stat>) -> Result<Outcome, Failure> {
        let state = found.map_or("absent", Stat::state);
        let src = self.source(machine, path, state)?;
        let relative_to = if state == "directory" { path } else { path.parent().unwrap_or(Path::new("/")) };
        let target = relative_to.join(&src);
        let target_exists = machine.stat(&target, true)?.is_some();
        if !target_exists && !self.force {
            return Err(Failure::new(format!(
                "src file does not exist, use 'force=yes' if you really want to create the link: {}",
                target.display()
            ))
            .with("src", src.display().to_string()));
        }
        match state {
            "directory" if !self.force => {
                return Err(Failure::new(format!("refusing to convert from directory to symlink for {}", path.display())));
            }
            "directory" if !machine.list(path)?.is_empty() => {
                return Err(Failure::new(format!("the directory {} is not empty, refusing to convert it", path.display())));
            }
            "directory" => {
                machine.remove(path)?;
            }
            "file" | "hard" if !self.force => {
                return Err(Failure::new(format!("refusing to convert from {state} to symlink for {}", path.display())));
            }
            _ => {}
        }
        if state != "directory" || !machine.checking() {
            machine.symlink(&src, path)?;
        }
        self.dress_link(machine, path, target_exists)?;
        let facts = if target_exists { machine.describe(path) } else { Map::new() };
        let (dest, src) = (path.display().to_string(), src.display().to_string());
        Ok(machine.outcome().with("dest", dest).with("src", src).with_all(facts))
    }

    fn dress_link(&self, machine: &mut Machine, path: &Path, target_exists: bool) -> Result<(), Failure> {
        if self.file.wanted().is_empty() || machine.stat(path, false)?.is_none() {
            return Ok(());
        }
        if self.follow && !target_exists {
            machine.warn("cannot set owner or mode: the link points to nothing; `follow: false` sets those of the link itself");
            return Ok(());
        }
        machine.attributes(path, &Attributes { no_follow: !self.follow, ..self.file.wanted() })?;
        Ok(())
    }

    fn hard(&self, machine: &mut Machine, path: &Path, found: Option<&Stat>) -> Result<Outcome, Failure> {
        let Some(src) = &self.src else { return Err(Failure::new("src is required for creating new hardlinks")) };
        let src = machine.path(&src.0);
        let Some(source) = machine.stat(&src, false)? else {
            let failure = Failure::new("src does not exist").with("src", src.display().to_string());
            return Err(failure.with("dest", path.display().to_string()));
        };
        let identity = |stat: &Stat| (stat.meta.dev(), stat.meta.ino());
        let same = found.is_some_and(|found| identity(found) == identity(&source));
        match found.map_or("absent", Stat::state) {
            _ if same => {}
            "absent" => {}
            "directory" if !self.force => {
                return Err(Failure::new(format!("refusing to convert from directory to hardlink for {}", path.display())));
            }
            "directory" if !machine.list(path)?.is_empty() => {
                return Err(Failure::new(format!("the directory {} is not empty, refusing to convert it", path.display())));
            }
            "directory" => {
                machine.remove(path)?;
                if machine.checking() {
                    return Ok(machine.outcome().with("dest", path.display().to_string()).with("src", src.display().to_string()));
                }
            }
            "hard" if !self.force => return Err(Failure::new("Cannot link, different hard link exists at destination")),
            state if !self.force => return Err(Failure::new(format!("Cannot link, {state} exists at destination"))),
            _ => {}
        }
        machine.hard_link(&src, path)?;
        machine.attributes(path, &self.file.wanted())?;
        let (facts, src) = (machine.describe(path), src.display().to_string());
        Ok(machine.outcome().with("dest", path.display().to_string()).with("src", src).with_all(facts))
    }
}

/// A time as the playbook wrote it; `None` to preserve what is there.
fn time(machine: &Machine, text: &str, format: &str) -> Result<Option<SystemTime>, Failure> {
    match text {
        "preserve" => Ok(None),
        "now" => Ok(Some(SystemTime::now())),
        text => {
            let fields = fields(text, format)
                .ok_or_else(|| Failure::new(format!("expected a time such as `{format}`, `now` or `preserve`, found `{text}`")))?;
            let [year, month, day, hour, minute, second] = fields;
            // Time zones are the host's business: its `date` knows them.
            let stamp = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
            let done = machine.query(&Command::new("date").args(["-d", &stamp, "+%s"]).plain())?;
            let seconds = done.stdout_text().trim().parse::<u64>();
            let seconds = seconds.map_err(|_| Failure::new(format!("`{text}` is not a time: {}", done.stderr_text().trim())))?;
            Ok(Some(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)))
        }
    }
}

/// Year, month, day, hour, minute and second by a format of `strptime`.
fn fields(text: &str, format: &str) -> Option<[u32; 6]> {
    let mut fields = [1970, 1, 1, 0, 0, 0];
    let (mut rest, mut format) = (text, format.chars());
    while let Some(expected) = format.next() {
        if expected != '%' {
            rest = rest.strip_prefix(expected)?;
            continue;
        }
        let (index, width) = match format.next()? {
            'Y' => (0, 4),
            'm' => (1, 2),
            'd' => (2, 2),
            'H' => (3, 2),
            'M' => (4, 2),
            'S' => (5, 2),
            _ => return None,
        };
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()).min(width);
        let (number, tail) = rest.split_at(digits);
        *fields.get_mut(index)? = number.parse().ok()?;
        rest = tail;
    }
    rest.is_empty().then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_by_their_format() {
        for (text, format, expected) in [
            ("202601020304.05", "%Y%m%d%H%M.%S", Some([2026, 1, 2, 3, 4, 5])),
            ("2026-01-02", "%Y-%m-%d", Some([2026, 1, 2, 0, 0, 0])),
            ("2026", "%Y%m", None),
            ("20260102x", "%Y%m%d", None),
            ("x", "%q", None),
        ] {
            assert_eq!(fields(text, format), expected, "{text}");
        }
    }
}
