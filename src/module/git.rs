//! Brings a git repository to a host, at a branch, a tag or a commit.
//!
//! ```yaml
//! - git: {repo: "git@git.example.com:shop.git", dest: /srv/shop, version: v1.4.2, depth: 1, key_file: /root/.ssh/deploy}
//! ```
//!
//! The host's own `git` does the work. Undo removes a fresh clone, and sets a working copy back to the commit and branch it had;
//! local changes that `force` threw away are gone.

mod remote;

use std::path::{Path, PathBuf};

use super::prelude::*;
use crate::machine::{Undo, find_program};
use crate::wire::Diff;
use remote::Remote;

params! {
    pub struct Git {
        /// The repository: an address, or a path on the host.
        repo | name: String,
        /// The directory of the working copy.
        dest: Option<PathText>,
        /// A branch, a tag or a commit; the repository's own branch when not given.
        version: String = "HEAD",
        /// What the repository is called in the working copy.
        remote: String = "origin",
        /// What is fetched beside the branches.
        refspec: Option<String>,
        /// Throw away local changes.
        force: bool = false,
        /// Fetch only so many commits.
        depth: Option<i64>,
        /// Make a working copy when there is none.
        clone: bool = true,
        /// Fetch what is new.
        update: bool = true,
        /// The program to use.
        executable: Option<PathText>,
        /// No working copy: only what is in `.git`.
        bare: bool = false,
        /// Bring submodules along.
        recursive: bool = true,
        /// Fetch only the branch that is asked for.
        single_branch: bool = false,
        /// Bring submodules to the head of their branch.
        track_submodules: bool = false,
        /// A local repository to take objects from.
        reference: Option<String>,
        /// Accept only a commit or tag that is signed.
        verify_commit: bool = false,
        /// Accept only signatures by keys with these fingerprints.
        gpg_allowlist | gpg_whitelist: Vec<String> = Vec::<String>::new(),
        /// Where `.git` is kept instead.
        separate_git_dir: Option<PathText>,
        /// The private key for `ssh`.
        key_file: Option<PathText>,
        /// More options for `ssh`.
        ssh_opts: Option<String>,
        /// Accept any key of the server: an attacker's too. `accept_newhostkey` is better.
        accept_hostkey: bool = false,
        /// Accept the key of a server that is not known yet.
        accept_newhostkey: bool = false,
        /// Permissions that new files shall not have, as an octal number.
        umask: Option<Value>,
    }
    rules = [Rule::Exclusive(&["separate_git_dir", "bare"]), Rule::Exclusive(&["accept_hostkey", "accept_newhostkey"])];
}

impl Module for Git {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let dest = match &self.dest {
            Some(dest) => Some(machine.path(&dest.0)),
            None if self.clone => return Err(Failure::new("the destination directory must be specified unless clone=no")),
            None => None,
        };
        let tool = Tool::new(&self, machine)?;
        let there = dest.as_ref().filter(|dest| machine.exists(&git_dir(dest, self.bare).join("HEAD")) || machine.exists(&dest.join(".git")));
        match (there, &dest) {
            (Some(dest), _) if !self.update => {
                let head = tool.head(dest, machine)?;
                Ok(machine.outcome().with("before", head.clone()).with("after", head))
            }
            (Some(dest), _) => self.refresh(&tool, dest, machine),
            (None, Some(dest)) if self.clone && !machine.checking() => self.copy(&tool, dest, machine),
            (None, _) => {
                let remote = Remote::ask(&tool, &self.version, machine)?;
                machine.mark_changed();
                show(machine, None, remote.commit.as_deref());
                Ok(machine.outcome().with("before", Value::Null).with("after", remote.commit))
            }
        }
    }
}

fn git_dir(dest: &Path, bare: bool) -> PathBuf {
    if bare { dest.to_owned() } else { dest.join(".git") }
}

/// What `--diff` shows: the commits.
fn show(machine: &mut Machine, before: Option<&str>, after: Option<&str>) {
    if before != after {
        let line = |commit: Option<&str>| commit.map_or_else(String::new, |commit| format!("{commit}\n"));
        machine.add_diff(Diff { before: line(before), after: line(after), ..Diff::default() });
    }
}

/// The program `git`, and how it reaches the repository.
pub(super) struct Tool {
    program: PathBuf,
    repo: String,
    ssh: String,
    umask: Option<u32>,
}

impl Tool {
    fn new(module: &Git, machine: &Machine) -> Result<Self, Failure> {
        let program = match &module.executable {
            Some(path) => machine.path(&path.0),
            None => find_program("git").ok_or_else(|| Failure::new("Failed to find required executable \"git\" on this host: install the package `git`"))?,
        };
        let mut ssh = vec!["ssh".to_owned(), "-o".to_owned(), "BatchMode=yes".to_owned()];
        if let Some(key) = &module.key_file {
            let key = machine.path(&key.0).display().to_string();
            ssh.extend(["-i".to_owned(), key, "-o".to_owned(), "IdentitiesOnly=yes".to_owned()]);
        }
        let checking = if module.accept_hostkey { Some("no") } else { module.accept_newhostkey.then_some("accept-new") };
        if let Some(checking) = checking {
            ssh.extend(["-o".to_owned(), format!("StrictHostKeyChecking={checking}")]);
        }
        let mut ssh = crate::machine::words::join(&ssh);
        if let Some(options) = &module.ssh_opts {
            ssh = format!("{ssh} {options}");
        }
        // A path works as an address too, but then it ignores `depth`.
        let path = machine.path(&module.repo);
        let local = path.is_absolute() && !module.repo.contains("://") && machine.exists(&path);
        let repo = if local { format!("file://{}", path.display()) } else { module.repo.clone() };
        let octal = |value: &Value| {
            let text = value.to_text();
            u32::from_str_radix(text.trim_start_matches("0o"), 8).map_err(|_| Failure::new(format!("umask must be an octal integer, found `{text}`")))
        };
        Ok(Self { program, repo, ssh, umask: module.umask.as_ref().map(octal).transpose()? })
    }

    /// `git` with arguments; in `dest` if there is one.
    fn command(&self, dest: Option<&Path>, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program).args(arguments.iter().copied()).plain();
        command = command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_SSH_COMMAND", &self.ssh);
        command.chdir = dest.map(Path::to_owned);
        command.umask = self.umask;
        command
    }

    /// What it prints. For what only looks.
    pub(super) fn ask(&self, dest: Option<&Path>, arguments: &[&str], machine: &Machine) -> Result<String, Failure> {
        let command = self.command(dest, arguments);
        let ran = machine.query(&command)?;
        if ran.succeeded() { Ok(ran.stdout_text()) } else { Err(refused(&command, &ran, None)) }
    }

    /// What it prints, if it succeeds.
    fn find(&self, dest: &Path, arguments: &[&str], machine: &Machine) -> Result<Option<String>, Failure> {
        let ran = machine.query(&self.command(Some(dest), arguments))?;
        Ok(ran.succeeded().then(|| ran.stdout_text().trim().to_owned()))
    }

    /// Changes the working copy, of which the undo is in the journal already.
    fn act(&self, dest: Option<&Path>, arguments: &[&str], msg: Option<&str>, machine: &mut Machine) -> Result<String, Failure> {
        let command = self.command(dest, arguments);
        let ran = machine.attempt(&command, Undo::Nothing)?;
        if ran.succeeded() { Ok(ran.stdout_text()) } else { Err(refused(&command, &ran, msg)) }
    }

    fn head(&self, dest: &Path, machine: &Machine) -> Result<Option<String>, Failure> {
        self.find(dest, &["rev-parse", "--verify", "-q", "HEAD"], machine)
    }

    pub(super) fn repo(&self) -> &str {
        &self.repo
    }
}

/// Git's own complaint comes first; passwords in addresses stay out of it.
fn refused(command: &Command, ran: &Completed, msg: Option<&str>) -> Failure {
    let shown: Vec<String> = command.argv.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let stderr = ran.stderr_text();
    let msg = msg.map_or_else(|| stderr.trim().to_owned(), str::to_owned);
    let failure = Failure::new(if msg.is_empty() { format!("git exited with {}", ran.status) } else { msg });
    let failure = failure.with("cmd", remote::without_password(&crate::machine::words::join(&shown))).with("rc", ran.status);
    failure.with("stdout", ran.stdout_text()).with("stderr", stderr)
}

impl Git {
    /// Makes a working copy where there is none.
    fn copy(&self, tool: &Tool, dest: &Path, machine: &mut Machine) -> Result<Outcome, Failure> {
        let remote = Remote::ask(tool, &self.version, machine)?;
        let mut arguments = vec!["clone", "--origin", self.remote.as_str()];
        let depth = self.depth.map(|depth| depth.to_string());
        if let Some(depth) = &depth {
            arguments.extend(["--depth", depth]);
        }
        if self.bare {
            arguments.push("--bare");
        }
        if self.single_branch {
            arguments.push("--single-branch");
        }
        if let Some(reference) = &self.reference {
            arguments.extend(["--reference", reference]);
        }
        if remote.is_named() {
            arguments.extend(["--branch", &self.version]);
        }
        let separate = self.separate_git_dir.as_ref().map(|path| machine.path(&path.0).display().to_string());
        if let Some(separate) = &separate {
            arguments.extend(["--separate-git-dir", separate]);
        }
        let shown = dest.display().to_string();
        arguments.extend([tool.repo(), &shown]);
        if let Some(parent) = dest.parent() {
            machine.make_dir(parent, &Attributes::default())?;
            machine.protect(&[], &[parent.to_owned()])?;
        }
        let command = tool.command(None, &arguments);
        let removed = if machine.exists(dest) { vec!["find", &shown, "-mindepth", "1", "-delete"] } else { vec!["rm", "-rf", "--", &shown] };
        let undo = Undo::Command(format!("remove the clone {shown}"), removed.into_iter().map(str::to_owned).collect());
        let ran = machine.attempt(&command, undo)?;
        if !ran.succeeded() {
            return Err(refused(&command, &ran, None));
        }
        machine.mark_changed();
        if !self.bare {
            if self.depth.is_some() && !remote.is_named() && self.version != "HEAD" {
                self.fetch(tool, dest, &remote, machine)?;
            }
            self.check_out(tool, dest, &remote, machine)?;
            self.submodules(tool, dest, machine)?;
        }
        self.verify(tool, dest, machine)?;
        let after = tool.head(dest, machine)?;
        show(machine, None, after.as_deref());
        Ok(machine.outcome().with("before", Value::Null).with("after", after))
    }

    /// Brings a working copy up to date.
    fn refresh(&self, tool: &Tool, dest: &Path, machine: &mut Machine) -> Result<Outcome, Failure> {
        let before = tool.head(dest, machine)?;
        let mut msg = None;
        if !self.bare && self.modified(tool, dest, machine)? {
            if !self.force {
                let msg = format!("Local modifications exist in the destination: {} (force=no).", dest.display());
                return Err(Failure::new(msg).with("before", before));
            }
            msg = Some(format!("Local modifications exist in the destination: {}", dest.display()));
            machine.mark_changed();
        }
        let url = tool.find(dest, &["config", "--get", &format!("remote.{}.url", self.remote)], machine)?;
        let moved = url.as_deref() != Some(tool.repo());
        let remote = Remote::ask(tool, &self.version, machine)?;
        let stands = before.is_some() && before == remote.commit && self.on_branch(tool, dest, &remote, machine)?;
        if machine.checking() {
            if moved || !stands {
                machine.mark_changed();
            }
            show(machine, before.as_deref(), remote.commit.as_deref());
            let outcome = machine.outcome().with("before", before).with("after", remote.commit);
            return Ok(outcome.with("remote_url_changed", moved));
        }
        if moved || !stands || machine.changed() || self.refspec.is_some() || self.track_submodules {
            machine.announce(self.undo(tool, dest, before.as_deref(), url.as_deref(), machine)?)?;
        }
        if moved {
            let word = if url.is_some() { "set-url" } else { "add" };
            tool.act(Some(dest), &["remote", word, &self.remote, tool.repo()], None, machine)?;
            machine.mark_changed();
        }
        if !stands || msg.is_some() || self.refspec.is_some() {
            if msg.is_some() {
                tool.act(Some(dest), &["reset", "--hard", "HEAD", "--"], None, machine)?;
            }
            self.fetch(tool, dest, &remote, machine)?;
            if !self.bare {
                self.check_out(tool, dest, &remote, machine)?;
            }
        }
        if !self.bare {
            self.submodules(tool, dest, machine)?;
        }
        self.verify(tool, dest, machine)?;
        let after = tool.head(dest, machine)?;
        if before != after {
            machine.mark_changed();
        }
        show(machine, before.as_deref(), after.as_deref());
        let outcome = machine.outcome().with("before", before).with("after", after).with("remote_url_changed", moved);
        Ok(match msg {
            Some(msg) => outcome.with("msg", msg),
            None => outcome,
        })
    }

    fn modified(&self, tool: &Tool, dest: &Path, machine: &Machine) -> Result<bool, Failure> {
        let status = tool.ask(Some(dest), &["status", "--porcelain"], machine)?;
        Ok(status.lines().any(|line| !line.starts_with("??")))
    }

    /// Whether the working copy is on the branch that is wanted, not only at its commit.
    fn on_branch(&self, tool: &Tool, dest: &Path, remote: &Remote, machine: &Machine) -> Result<bool, Failure> {
        if self.bare {
            return Ok(true);
        }
        let Some(branch) = &remote.branch else { return Ok(true) };
        Ok(tool.find(dest, &["symbolic-ref", "-q", "--short", "HEAD"], machine)?.as_deref() == Some(branch))
    }

    fn undo(&self, tool: &Tool, dest: &Path, before: Option<&str>, url: Option<&str>, machine: &Machine) -> Result<Undo, Failure> {
        let Some(before) = before else { return Ok(Undo::Impossible(format!("what was fetched to {} stays", dest.display()))) };
        let branch = tool.find(dest, &["symbolic-ref", "-q", "--short", "HEAD"], machine)?.unwrap_or_default();
        let script = "set -e; git=$0 dest=$1 commit=$2 branch=$3 remote=$4 url=$5; cd \"$dest\"; \
            if [ -n \"$url\" ]; then \"$git\" remote set-url \"$remote\" \"$url\"; fi; \
            if [ \"$6\" = bare ]; then \"$git\" update-ref \"refs/heads/$branch\" \"$commit\"; exit; fi; \
            if [ -n \"$branch\" ]; then \"$git\" checkout --force \"$branch\"; \"$git\" reset --hard \"$commit\"; \
            else \"$git\" checkout --force --detach \"$commit\"; fi";
        let program = tool.program.display().to_string();
        let dest_text = dest.display().to_string();
        let kind = if self.bare { "bare" } else { "" };
        let words = ["sh", "-c", script, &program, &dest_text, before, &branch, &self.remote, url.unwrap_or_default(), kind];
        Ok(Undo::Command(format!("set {dest_text} back to {before}"), words.map(str::to_owned).to_vec()))
    }

    fn fetch(&self, tool: &Tool, dest: &Path, remote: &Remote, machine: &mut Machine) -> Result<(), Failure> {
        let depth = self.depth.map(|depth| depth.to_string());
        let mut arguments = vec!["fetch", "--force"];
        if let Some(depth) = &depth {
            arguments.extend(["--depth", depth]);
        }
        let mut refspecs: Vec<String> = Vec::new();
        match (&remote.branch, self.bare) {
            (_, true) => refspecs.push("+refs/heads/*:refs/heads/*".to_owned()),
            (Some(branch), _) => refspecs.push(format!("+refs/heads/{branch}:refs/remotes/{}/{branch}", self.remote)),
            (None, _) if remote.tag => refspecs.push(format!("+refs/tags/{0}:refs/tags/{0}", self.version)),
            (None, _) if depth.is_some() && remote::is_commit(&self.version) => refspecs.push(self.version.clone()),
            (None, _) => {}
        }
        if depth.is_none() {
            arguments.push("--tags");
            if !self.bare && !self.single_branch {
                refspecs.push(format!("+refs/heads/*:refs/remotes/{}/*", self.remote));
            }
        }
        refspecs.extend(self.refspec.clone());
        arguments.push(&self.remote);
        arguments.extend(refspecs.iter().map(String::as_str));
        tool.act(Some(dest), &arguments, None, machine).map(drop)
    }

    fn check_out(&self, tool: &Tool, dest: &Path, remote: &Remote, machine: &mut Machine) -> Result<(), Failure> {
        let Some(branch) = &remote.branch else {
            let msg = format!("Failed to checkout {}", self.version);
            return tool.act(Some(dest), &["checkout", "--force", &self.version], Some(&msg), machine).map(drop);
        };
        let theirs = format!("{}/{branch}", self.remote);
        let ours = format!("refs/heads/{branch}");
        let msg = format!("Failed to checkout branch {branch}");
        if tool.find(dest, &["rev-parse", "--verify", "-q", &ours], machine)?.is_none() {
            return tool.act(Some(dest), &["checkout", "--force", "--track", "-b", branch, &theirs], Some(&msg), machine).map(drop);
        }
        tool.act(Some(dest), &["checkout", "--force", branch], Some(&msg), machine)?;
        tool.act(Some(dest), &["reset", "--hard", &theirs, "--"], Some(&msg), machine).map(drop)
    }

    fn submodules(&self, tool: &Tool, dest: &Path, machine: &mut Machine) -> Result<(), Failure> {
        if !self.recursive || !machine.exists(&dest.join(".gitmodules")) {
            return Ok(());
        }
        let state = |machine: &Machine| tool.ask(Some(dest), &["submodule", "status", "--recursive"], machine);
        let before = state(machine)?;
        tool.act(Some(dest), &["submodule", "sync", "--recursive"], None, machine)?;
        let mut arguments = vec!["submodule", "update", "--init", "--recursive"];
        if self.track_submodules {
            arguments.push("--remote");
        }
        tool.act(Some(dest), &arguments, None, machine)?;
        if state(machine)? != before {
            machine.mark_changed();
        }
        Ok(())
    }

    fn verify(&self, tool: &Tool, dest: &Path, machine: &Machine) -> Result<(), Failure> {
        if !self.verify_commit {
            return Ok(());
        }
        let tag = format!("refs/tags/{}", self.version);
        let annotated = tool.find(dest, &["cat-file", "-t", &tag], machine)?.as_deref() == Some("tag");
        let (word, what) = if annotated { ("verify-tag", self.version.as_str()) } else { ("verify-commit", "HEAD") };
        let command = tool.command(Some(dest), &[word, "--raw", what]);
        let ran = machine.query(&command)?;
        let words = ran.stderr_text();
        let valid = words.lines().find_map(|line| line.strip_prefix("[GNUPG:] VALIDSIG "));
        let prints: Vec<&str> = valid.into_iter().flat_map(|line| [line.split_whitespace().next(), line.split_whitespace().last()]).flatten().collect();
        if !ran.succeeded() || prints.is_empty() {
            let msg = format!("Failed to verify GPG signature of commit/tag \"{}\"", self.version);
            return Err(refused(&command, &ran, Some(&msg)));
        }
        let allowed = |print: &&str| self.gpg_allowlist.iter().any(|allowed| print.ends_with(&allowed.replace(' ', "").to_ascii_uppercase()));
        if self.gpg_allowlist.is_empty() || prints.iter().any(allowed) {
            return Ok(());
        }
        Err(Failure::new(format!("The gpg_allowlist does not include the public key \"{}\" for this commit", prints.first().unwrap_or(&""))))
    }
}
