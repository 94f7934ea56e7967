//! The look of Ansible's default output, so that eyes and scripts find what they know.
//!
//! Results go to standard output in Ansible's words; what rappel knows beyond that (warnings, where a failing expression stands)
//! goes to standard error, so that nothing that greps the output is disturbed.

mod finale;

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use crate::event::{Event, EventKind, Finding, Recap, Shown, Status, TaskInfo, TaskResult};
use crate::text::Severity;

use super::paint::{Color, Paint};
use super::{Reporter, Streams, diff, dump, snippet};
use finale::Finale;

/// How the output looks: the settings of Ansible's default callback.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "one for each setting of that name in ansible.cfg")]
pub struct Look {
    /// The number of `-v`.
    pub verbosity: u8,
    /// Show mistakes in Ansible's words too.
    pub ansible: bool,
    /// Colours.
    pub paint: Paint,
    /// Columns of a banner.
    pub width: usize,
    /// Show hosts that a task skipped.
    pub display_skipped_hosts: bool,
    /// Show hosts where a task changed nothing.
    pub display_ok_hosts: bool,
    /// Failures go to standard error.
    pub display_failed_stderr: bool,
    /// Say which file a failed task stands in.
    pub show_task_path_on_failure: bool,
    /// Mark what runs in check mode.
    pub check_mode_markers: bool,
    /// Show what `set_stats` collected.
    pub show_custom_stats: bool,
    /// Say at the end which modules ran over the bridge.
    pub tells_bridge: bool,
    /// The form of results.
    pub result_format: ResultFormat,
    /// Results are laid out for reading; `None` leaves it to the form.
    pub pretty: Option<bool>,
}

/// The form of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResultFormat {
    /// `{"changed": true}`.
    #[default]
    Json,
    /// YAML below the line.
    Yaml,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            verbosity: 0,
            ansible: false,
            paint: Paint(false),
            width: 79,
            display_skipped_hosts: true,
            display_ok_hosts: true,
            display_failed_stderr: false,
            show_task_path_on_failure: false,
            check_mode_markers: false,
            show_custom_stats: false,
            tells_bridge: false,
            result_format: ResultFormat::Json,
            pretty: None,
        }
    }
}

/// Shows a run to people.
pub struct Human {
    look: Look,
    recap: Recap,
    finale: Finale,
    tasks: HashMap<u64, TaskInfo>,
    /// The task whose banner was shown last.
    banner: Option<u64>,
    lockstep: bool,
    warned: HashSet<String>,
}

impl Human {
    /// A reporter with this look.
    pub fn new(look: Look) -> Self {
        let (recap, finale) = (Recap::default(), Finale::default());
        Self { look, recap, finale, tasks: HashMap::new(), banner: None, lockstep: true, warned: HashSet::new() }
    }
}

impl Reporter for Human {
    fn on(&mut self, event: &Event, to: &mut Streams<'_>) -> io::Result<()> {
        if matches!(event.kind, EventKind::RunStarted { .. }) {
            // A deployment is several runs, and each has an end of its own.
            (self.recap, self.finale) = Default::default();
        }
        self.recap.apply(event);
        self.finale.apply(event);
        match &event.kind {
            EventKind::RunStarted { check, config, playbooks, plays, .. } => {
                self.run_started(*check, config.as_deref(), (playbooks, *plays), to)
            }
            EventKind::PlayStarted { name, check, lockstep, .. } => {
                self.lockstep = *lockstep;
                self.banner = None;
                let title = if name.is_empty() { "PLAY".to_owned() } else { format!("PLAY [{name}]") };
                self.banner(&self.marked(title, *check), to)
            }
            EventKind::NoHostsMatched => self.line(Color::Skip, "skipping: no hosts matched", to.out),
            EventKind::NoHostsRemaining => self.banner("NO MORE HOSTS LEFT", to),
            EventKind::TaskStarted(task) => self.task_started(task, to),
            EventKind::ItemFinished(result) => self.item_finished(result, to),
            EventKind::TaskFinished(result) => self.task_finished(result, to),
            EventKind::Retrying { result, left } => self.retrying(result, *left, to),
            EventKind::Polled { host, job, finished } => self.polled(host, job, *finished, to),
            EventKind::HandlerNotified { host, handler } if self.look.verbosity > 1 => {
                self.line(Color::Verbose, &format!("NOTIFIED HANDLER {handler} for {host}"), to.out)
            }
            EventKind::Included { path, hosts, item } => {
                let item = item.as_ref().map(|item| format!(" => (item={item})")).unwrap_or_default();
                self.line(Color::Skip, &format!("included: {path} for {}{item}", hosts.join(", ")), to.out)
            }
            EventKind::Output { host, stderr, text, .. } => self.output(host, *stderr, text, to),
            EventKind::Waiting { host, task, since } => {
                self.line(Color::Debug, &format!("waiting: [{host}]: {task} ({}s)", since.as_secs()), to.err)
            }
            EventKind::Note { text } => writeln!(to.out, "{text}"),
            EventKind::Warned(finding) => self.warn(finding, to),
            EventKind::StageStarted { stage } => self.banner(&format!("STAGE [{stage}]"), to),
            EventKind::StageFinished { stage, status, detail, took } => {
                let (color, word) = finale::stage_word(*status);
                let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
                self.line(color, &format!("{word}: [{stage}] ({:.1}s){detail}", took.as_secs_f64()), to.out)
            }
            EventKind::Checked { check, host, status, detail, .. } => {
                let (color, word) = finale::check_word(*status);
                let place = host.as_deref().unwrap_or("controller");
                let detail = if detail.is_empty() { String::new() } else { format!(" => {detail}") };
                self.line(color, &format!("{word}: [{place}] {check}{detail}"), to.out)
            }
            EventKind::RunFinished { .. } => self.finale.show(&self.recap, &self.look, to),
            EventKind::HandlerNotified { .. }
            | EventKind::HostConnected { .. }
            | EventKind::HostStarted { .. }
            | EventKind::HostEnded { .. }
            | EventKind::TransactionStarted { .. }
            | EventKind::HostVerdict { .. }
            | EventKind::TransactionFinished { .. }
            | EventKind::Stats { .. } => Ok(()),
        }
    }
}

impl Human {
    fn run_started(&self, check: bool, config: Option<&str>, plays: (&[String], usize), to: &mut Streams<'_>) -> io::Result<()> {
        if self.look.verbosity > 0 {
            let text = config.map_or("No config file found; using defaults".to_owned(), |path| format!("Using {path} as config file"));
            self.line(Color::Verbose, &text, to.out)?;
        }
        if check && self.look.check_mode_markers {
            self.banner("DRY RUN", to)?;
        }
        if let ([playbook], count) = plays
            && self.look.verbosity > 1
        {
            let name =
                std::path::Path::new(playbook).file_name().map_or_else(|| playbook.clone(), |name| name.to_string_lossy().into_owned());
            self.banner(&format!("PLAYBOOK: {name}"), to)?;
            self.line(Color::Verbose, &format!("{count} plays in {playbook}"), to.out)?;
        }
        Ok(())
    }

    fn task_started(&mut self, task: &TaskInfo, to: &mut Streams<'_>) -> io::Result<()> {
        self.tasks.insert(task.id, task.clone());
        // Where results may be hidden, or come from several tasks at once, the banner waits for the first that is shown.
        if self.lockstep && self.look.display_ok_hosts && self.look.display_skipped_hosts {
            self.task_banner(task.id, to)?;
        }
        Ok(())
    }

    fn task_banner(&mut self, id: u64, to: &mut Streams<'_>) -> io::Result<()> {
        self.banner = Some(id);
        let Some(task) = self.tasks.get(&id) else { return Ok(()) };
        let kind = if task.handler { "RUNNING HANDLER" } else { "TASK" };
        self.banner(&self.marked(format!("{kind} [{}]", task.name.trim()), task.check), to)?;
        if self.look.verbosity > 1 { self.task_path(id, to) } else { Ok(()) }
    }

    fn task_path(&self, id: u64, to: &mut Streams<'_>) -> io::Result<()> {
        let Some(task) = self.tasks.get(&id) else { return Ok(()) };
        self.line(Color::Debug, &format!("task path: {}:{}", task.path, task.position.line), to.out)
    }

    /// Shows the task's banner unless it was the last one shown.
    fn ensure_banner(&mut self, id: u64, to: &mut Streams<'_>) -> io::Result<()> {
        if self.banner == Some(id) { Ok(()) } else { self.task_banner(id, to) }
    }

    fn task_finished(&mut self, result: &TaskResult, to: &mut Streams<'_>) -> io::Result<()> {
        self.warnings(result, to)?;
        let (label, host) = (label(result), &result.host);
        match result.status {
            Status::Failed => self.failed(result, &label, to)?,
            Status::Unreachable => {
                self.ensure_banner(result.task, to)?;
                let text = format!("fatal: [{label}]: UNREACHABLE! => {}", self.dump(result));
                self.failure(Color::Unreachable, &text, to)?;
            }
            Status::Skipped if self.look.display_skipped_hosts => {
                self.ensure_banner(result.task, to)?;
                let text = format!("skipping: [{host}]{}", self.verbose(result));
                self.line(Color::Skip, &text, to.out)?;
            }
            Status::Skipped => {}
            Status::Ok if self.is_include(result.task) => self.ensure_banner(result.task, to)?,
            Status::Ok if !self.look.display_ok_hosts => {}
            Status::Ok | Status::Changed if result.looped => {}
            Status::Ok | Status::Changed => {
                let (word, color) = if result.status == Status::Ok { ("ok", Color::Ok) } else { ("changed", Color::Changed) };
                self.ensure_banner(result.task, to)?;
                self.diff(result, to)?;
                self.line(color, &format!("{word}: [{label}]{}", self.verbose(result)), to.out)?;
            }
        }
        if result.ignored { self.line(Color::Skip, "...ignoring", to.out) } else { Ok(()) }
    }

    fn failed(&mut self, result: &TaskResult, label: &str, to: &mut Streams<'_>) -> io::Result<()> {
        self.ensure_banner(result.task, to)?;
        if self.look.show_task_path_on_failure && self.look.verbosity < 2 {
            self.task_path(result.task, to)?;
        }
        // The items have told already, except that Ansible sums up those of `debug`.
        if result.looped && !dump::is_debug(self.module(result.task)) {
            return Ok(());
        }
        self.failure(Color::Error, &format!("fatal: [{label}]: FAILED! => {}", self.dump(result)), to)
    }

    fn item_finished(&mut self, result: &TaskResult, to: &mut Streams<'_>) -> io::Result<()> {
        self.warnings(result, to)?;
        let (label, host) = (label(result), &result.host);
        let item = result.item.as_deref().unwrap_or_default();
        match result.status {
            Status::Ok if self.is_include(result.task) || !self.look.display_ok_hosts => Ok(()),
            Status::Skipped if !self.look.display_skipped_hosts => Ok(()),
            Status::Ok => {
                self.ensure_banner(result.task, to)?;
                self.line(Color::Ok, &format!("ok: [{label}] => (item={item}){}", self.verbose(result)), to.out)
            }
            Status::Changed => {
                self.ensure_banner(result.task, to)?;
                self.diff(result, to)?;
                self.line(Color::Changed, &format!("changed: [{label}] => (item={item}){}", self.verbose(result)), to.out)
            }
            Status::Skipped => {
                self.ensure_banner(result.task, to)?;
                self.line(Color::Skip, &format!("skipping: [{host}] => (item={item}) {}", self.verbose(result)), to.out)
            }
            Status::Failed | Status::Unreachable => {
                self.ensure_banner(result.task, to)?;
                self.failure(Color::Error, &format!("failed: [{label}] (item={item}) => {}", self.dump(result)), to)
            }
        }
    }

    fn retrying(&self, result: &TaskResult, left: u32, to: &mut Streams<'_>) -> io::Result<()> {
        let name = self.tasks.get(&result.task).map_or("", TaskInfo::short_name);
        let mut text = format!("FAILED - RETRYING: [{}]: {name} ({left} retries left).", label(result));
        if self.look.verbosity > 2 {
            text.push_str("Result was: ");
            text.push_str(&self.dump(result));
        }
        self.line(Color::Debug, &text, to.out)
    }

    fn polled(&self, host: &str, job: &str, finished: Option<bool>, to: &mut Streams<'_>) -> io::Result<()> {
        let text = match finished {
            None => format!("ASYNC POLL on {host}: jid={job} started=True finished=False"),
            Some(true) => format!("ASYNC OK on {host}: jid={job}"),
            Some(false) => format!("ASYNC FAILED on {host}: jid={job}"),
        };
        self.line(Color::Debug, &text, to.out)
    }

    fn output(&self, host: &str, stderr: bool, text: &str, to: &mut Streams<'_>) -> io::Result<()> {
        let color = if stderr { Color::Error } else { Color::Verbose };
        text.lines().try_for_each(|line| self.line(color, &format!("[{host}] {line}"), to.out))
    }

    fn diff(&self, result: &TaskResult, to: &mut Streams<'_>) -> io::Result<()> {
        if result.status != Status::Changed {
            return Ok(());
        }
        let text = diff::unified(&result.diff, self.look.paint);
        if text.is_empty() { Ok(()) } else { writeln!(to.out, "{text}") }
    }

    /// Warnings of the module, each once in a run.
    fn warnings(&mut self, result: &TaskResult, to: &mut Streams<'_>) -> io::Result<()> {
        for warning in &result.warnings {
            if self.warned.insert(warning.clone()) {
                self.line(Color::Warning, &format!("[WARNING]: {warning}"), to.err)?;
            }
        }
        Ok(())
    }

    fn warn(&mut self, finding: &Finding, to: &mut Streams<'_>) -> io::Result<()> {
        let picture = snippet::draw(finding, self.look.paint.0);
        if !self.warned.insert(picture.clone()) {
            return Ok(());
        }
        match finding.diagnostic.severity {
            Severity::Error if self.look.ansible => {
                self.finale.abandon();
                self.line(Color::Error, &format!("ERROR! {}", finding.classic().trim_end()), to.err)?;
                finding.diagnostic.help.iter().try_for_each(|help| writeln!(to.err, "\nhelp: {help}"))
            }
            Severity::Error => writeln!(to.err, "{picture}"),
            Severity::Warning => {
                // The words that scripts look for; below them where it stands.
                let message = &finding.diagnostic.message;
                let words = finding.diagnostic.ansible.as_ref().filter(|_| self.look.ansible).unwrap_or(message);
                self.line(Color::Warning, &format!("[WARNING]: {words}"), to.err)?;
                picture.lines().skip(message.lines().count()).try_for_each(|line| writeln!(to.err, "{line}"))
            }
        }
    }

    fn is_include(&self, id: u64) -> bool {
        self.tasks.get(&id).is_some_and(TaskInfo::is_include)
    }

    fn module(&self, id: u64) -> &str {
        self.tasks.get(&id).map_or("", |task| task.module.as_str())
    }

    /// ` => {…}`, where the result is shown at this verbosity.
    fn verbose(&self, result: &TaskResult) -> String {
        let shown = match result.shown {
            Shown::Never => false,
            Shown::Always if !is_censored(result) => true,
            Shown::Always | Shown::Verbose => self.look.verbosity > 0,
        };
        if shown { format!(" => {}", self.dump(result)) } else { String::new() }
    }

    fn dump(&self, result: &TaskResult) -> String {
        let visible = dump::visible(result, self.module(result.task), self.look.verbosity);
        match self.look.result_format {
            ResultFormat::Yaml => dump::yaml(&visible, self.look.pretty.unwrap_or(true)),
            ResultFormat::Json => {
                // What sums up a loop is never shown always, whatever its items are.
                let always = result.shown == Shown::Always && (result.item.is_some() || !result.looped) && !is_censored(result);
                let indented = always || self.look.verbosity > 2 || self.look.pretty == Some(true);
                dump::json(&visible, indented.then_some(4))
            }
        }
    }

    fn marked(&self, title: String, check: bool) -> String {
        if check && self.look.check_mode_markers { title + " [CHECK MODE]" } else { title }
    }

    fn banner(&self, title: &str, to: &mut Streams<'_>) -> io::Result<()> {
        self.look.banner(title, to.out)
    }

    fn line(&self, color: Color, text: &str, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.look.paint.text(color, text))
    }

    fn failure(&self, color: Color, text: &str, to: &mut Streams<'_>) -> io::Result<()> {
        let out = if self.look.display_failed_stderr { &mut to.err } else { &mut to.out };
        self.line(color, text, *out)
    }
}

impl Look {
    /// An empty line, the title, and stars to the end of the line (at least three).
    fn banner(&self, title: &str, out: &mut dyn Write) -> io::Result<()> {
        let stars = self.width.saturating_sub(unicode_width::UnicodeWidthStr::width(title)).max(3);
        writeln!(out, "\n{title} {}", "*".repeat(stars))
    }
}

/// Whether the result is kept secret, and only says that.
fn is_censored(result: &TaskResult) -> bool {
    result.result.contains_key("censored")
}

/// `host`, or `host -> other` where the task ran elsewhere.
fn label(result: &TaskResult) -> String {
    match &result.delegate {
        Some(delegate) if *delegate != result.host => format!("{} -> {delegate}", result.host),
        _ => result.host.clone(),
    }
}
