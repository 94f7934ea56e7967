//! Says which SELinux context files have, with `semanage`; `restorecon` gives it to files that are there.
//!
//! ```yaml
//! - sefcontext: {target: "/srv/shop(/.*)?", setype: httpd_sys_content_t, state: present}
//! ```

use super::prelude::*;
use super::selinux;
use crate::machine::Undo;

choice! {
    /// Whether it is wanted.
    pub enum State { Absent = "absent", Present = "present" }
}
choice! {
    /// Which files: all, block and character devices, directories, files, links, pipes, sockets.
    pub enum Files { All = "a", Block = "b", Character = "c", Directory = "d", File = "f", Link = "l", Pipe = "p", Socket = "s" }
}

params! {
    pub struct Sefcontext {
        /// The paths, as a regular expression.
        target | path: String,
        /// Which files.
        ftype: Files = Files::All,
        /// The type.
        setype: Option<String>,
        /// A path whose contexts these have too.
        substitute | equal: Option<String>,
        /// The user.
        seuser: Option<String>,
        /// The range.
        selevel | serange: Option<String>,
        /// Whether it is wanted.
        state: State = State::Present,
        /// Load the policy anew.
        reload: bool = true,
        /// Go on where SELinux is off.
        ignore_selinux_state: bool = false,
    }
    rules = [Rule::Exclusive(&["setype", "substitute"])];
}

impl Module for Sefcontext {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        selinux::required(machine, self.ignore_selinux_state)?;
        if self.state == State::Present && self.setype.is_none() && self.substitute.is_none() {
            return Err(Failure::new("one of the following is required: setype, substitute"));
        }
        let program = machine.program("semanage")?;
        let list = Command::new(&program).args(["fcontext", "--list", "--noheading", "--locallist"]).plain();
        let ran = machine.query(&list)?;
        if !ran.succeeded() {
            return Err(ran.failure(&list));
        }
        let text = ran.stdout_text();
        let context = text.lines().find_map(|line| self.context(line));
        let equal = text.lines().find_map(|line| line.split_once(" = ").filter(|(target, _)| target.trim() == self.target).map(|(_, path)| path.trim()));
        let words = format!("SELinux context of {}", self.target);
        if let (State::Present, Some(path)) = (self.state, &self.substitute) {
            if equal != Some(path.as_str()) {
                let undo = equal.map_or_else(|| self.command(&program, "--delete", &["--equal", path]), |old| self.command(&program, "--modify", &["--equal", old]));
                let verb = if equal.is_some() { "--modify" } else { "--add" };
                machine.act(&self.command(&program, verb, &["--equal", path]), Undo::by(words, &undo))?;
            }
        } else if self.state == State::Present {
            let wanted = self.wanted(context);
            if context != Some(wanted.join(":").as_str()) {
                let old: Option<Vec<String>> = context.map(|context| context.splitn(4, ':').map(str::to_owned).collect());
                let undo = old.map_or_else(|| self.command(&program, "--delete", &[]), |old| self.set(&program, "--modify", &old));
                let verb = if context.is_some() { "--modify" } else { "--add" };
                machine.act(&self.set(&program, verb, &wanted), Undo::by(words, &undo))?;
            }
        } else {
            if let Some(context) = context.filter(|_| self.substitute.is_none()) {
                let old: Vec<String> = context.splitn(4, ':').map(str::to_owned).collect();
                machine.act(&self.command(&program, "--delete", &[]), Undo::by(words.clone(), &self.set(&program, "--add", &old)))?;
            }
            if let Some(path) = equal.filter(|_| self.setype.is_none()) {
                let undo = self.command(&program, "--add", &["--equal", path]);
                machine.act(&self.command(&program, "--delete", &["--equal", path]), Undo::by(words, &undo))?;
            }
        }
        let outcome = machine.outcome().with("target", self.target).with("ftype", self.ftype.word()).with("setype", self.setype);
        Ok(outcome.with("substitute", self.substitute).with("state", self.state.word()))
    }
}

impl Sefcontext {
    /// What `semanage` calls these files in its list.
    fn files(&self) -> &'static str {
        match self.ftype {
            Files::All => "all files",
            Files::Block => "block device",
            Files::Character => "character device",
            Files::Directory => "directory",
            Files::File => "regular file",
            Files::Link => "symbolic link",
            Files::Pipe => "named pipe",
            Files::Socket => "socket",
        }
    }

    /// The context in a line of the list, when it is about the same files.
    fn context<'a>(&self, line: &'a str) -> Option<&'a str> {
        let rest = line.strip_prefix(self.target.as_str())?;
        let context = rest.trim().strip_prefix(self.files())?;
        rest.starts_with(char::is_whitespace).then(|| context.trim())
    }

    /// User, role, type and range; what was not asked for stays.
    fn wanted(&self, context: Option<&str>) -> Vec<String> {
        let old: Vec<&str> = context.unwrap_or("system_u:object_r::s0").splitn(4, ':').collect();
        let part = |given: &Option<String>, at: usize| given.clone().unwrap_or_else(|| old.get(at).copied().unwrap_or_default().to_owned());
        vec![part(&self.seuser, 0), part(&None, 1), part(&self.setype, 2), part(&self.selevel, 3)]
    }

    fn command(&self, program: &str, verb: &str, options: &[&str]) -> Command {
        let command = Command::new(program).args(["fcontext", verb]).args(options).plain();
        let command = if options.is_empty() || !options.contains(&"--equal") { command.args(["--ftype", self.ftype.word()]) } else { command };
        let command = if self.reload { command } else { command.arg("--noreload") };
        command.arg(&self.target)
    }

    fn set(&self, program: &str, verb: &str, context: &[String]) -> Command {
        let part = |at: usize| context.get(at).map(String::as_str).unwrap_or_default();
        let mut options = vec!["--seuser", part(0), "--type", part(2)];
        options.extend(if part(3).is_empty() { Vec::new() } else { vec!["--range", part(3)] });
        self.command(program, verb, &options)
    }
}
