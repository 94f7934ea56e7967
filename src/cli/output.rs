//! `--output`: which reporters a run has, where they write, how they look.

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{env, fmt, io};

use super::options::OutputOptions;
use super::settings::Settings;
use crate::report::{Github, Human, Json, Jsonl, Junit, Live, Log, Look, Outputs, Paint, Plan, Quiet, Reporter, ResultFormat, Terminal};
use crate::text::{Diagnostic, Diagnostics, did_you_mean};

/// A way to show a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// As Ansible does.
    Human,
    /// One document at the end, in the shape of Ansible's `json` callback.
    Json,
    /// Every event as a line.
    Jsonl,
    /// `JUnit` XML.
    Junit,
    /// Groups and annotations of `GitHub` Actions.
    Github,
    /// Failures and one line.
    Quiet,
    /// What would change, grouped over hosts.
    Plan,
}

impl Format {
    const NAMES: [(&str, Self); 7] = [
        ("human", Self::Human),
        ("json", Self::Json),
        ("jsonl", Self::Jsonl),
        ("junit", Self::Junit),
        ("github", Self::Github),
        ("quiet", Self::Quiet),
        ("plan", Self::Plan),
    ];

    /// The names of all.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().map(|(name, _)| name)
    }

    fn reporter(self, look: &Look) -> Box<dyn Reporter + Send> {
        let file = |name| env::var_os(name).map(PathBuf::from);
        match self {
            Self::Human => Box::new(Human::new(look.clone())),
            Self::Json => Box::new(Json::default()),
            Self::Jsonl => Box::new(Jsonl),
            Self::Junit => Box::new(Junit::default()),
            Self::Github => Box::new(Github::new(look.clone(), file("GITHUB_STEP_SUMMARY"), file("GITHUB_OUTPUT"))),
            Self::Quiet => Box::new(Quiet::new(look)),
            Self::Plan => Box::new(Plan::new(look)),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(Self::NAMES.iter().find(|(_, format)| format == self).map_or("", |(name, _)| name))
    }
}

/// One `--output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// How.
    pub(super) format: Format,
    /// Where, if not on standard output.
    pub(super) file: Option<PathBuf>,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, file) = text.split_once('=').map_or((text, None), |(name, file)| (name, Some(PathBuf::from(file))));
        let names = Format::NAMES.map(|(name, _)| name);
        if let Some((_, format)) = Format::NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Self { format: *format, file });
        }
        let meant = did_you_mean(name, names).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        Err(format!("expected one of {}, found `{name}`{meant}", names.join(", ")))
    }
}

/// All reporters of a run: those `wanted` (the human one, if none is), and the recording.
///
/// # Errors
/// In words for the user: a file that cannot be written, or two reporters that want standard output.
pub(super) fn outputs(wanted: &[Wanted], record: Option<&Path>, look: &Look) -> Result<Outputs, String> {
    outputs_or(|| Box::new(Human::new(look.clone())), wanted, record, look)
}

/// All reporters of a run: as [`outputs`], and on a terminal people see what runs now.
///
/// # Errors
/// As for [`outputs`].
pub(super) fn of_run(options: &OutputOptions, look: &Look) -> Result<Outputs, String> {
    let OutputOptions { output, record, no_progress, .. } = options;
    let human = Wanted { format: Format::Human, file: None };
    let shown = output.is_empty() || output.contains(&human);
    if !shown || *no_progress || look.ansible || !is_lively() {
        return outputs(output, record.as_deref(), look);
    }
    let others: Vec<_> = output.iter().filter(|wanted| **wanted != human).cloned().collect();
    if let Some(Wanted { format, .. }) = others.iter().find(|wanted| wanted.file.is_none()) {
        return Err(both(Format::Human, *format));
    }
    let terminal = Terminal { columns, paint: look.paint, unicode: speaks_unicode() };
    let mut outputs = Outputs::default();
    outputs.add(Box::new(Live::new(Human::new(look.clone()), terminal)));
    add_all(outputs, &others, record.as_deref(), look)
}

/// All reporters of a run: those `wanted` (that of `default`, if none is), and the recording.
///
/// # Errors
/// As for [`outputs`].
pub(super) fn outputs_or(
    default: impl FnOnce() -> Box<dyn Reporter + Send>,
    wanted: &[Wanted],
    record: Option<&Path>,
    look: &Look,
) -> Result<Outputs, String> {
    let mut standard = wanted.iter().filter(|wanted| wanted.file.is_none());
    if let (Some(first), Some(second)) = (standard.next(), standard.next()) {
        let (first, second) = (first.format, second.format);
        return Err(both(first, second));
    }
    let mut outputs = Outputs::default();
    if wanted.is_empty() {
        outputs.add(default());
    }
    add_all(outputs, wanted, record, look)
}

/// Adds the log that `log_path` asks for; where it cannot be written, that is told and the run goes on, as in Ansible.
pub(super) fn add_log(outputs: &mut Outputs, config: &Settings, look: &Look, diags: &mut Diagnostics) {
    let Some(path) = config.log_path.as_deref() else { return };
    let user = ["LOGNAME", "USER"].into_iter().find_map(|name| env::var(name).ok().filter(|user| !user.is_empty()));
    let user = user.unwrap_or_else(|| rustix::process::getuid().as_raw().to_string());
    if let Err(error) = outputs.append_to(Box::new(Log::new(look, &user)), path) {
        let message = format!("cannot write the log `{}`: {error}", path.display());
        diags.push(Diagnostic::warning("unwritable", message).help("`log_path` or `ANSIBLE_LOG_PATH` names it"));
    }
}

fn both(first: Format, second: Format) -> String {
    format!("`{first}` and `{second}` both want standard output; write one to a file: `--output {second}=FILE`")
}

fn add_all(mut outputs: Outputs, wanted: &[Wanted], record: Option<&Path>, look: &Look) -> Result<Outputs, String> {
    for Wanted { format, file } in wanted {
        // Escape sequences belong on a terminal, not in a file.
        let look = if file.is_some() { &Look { paint: Paint(false), ..look.clone() } } else { look };
        add(&mut outputs, format.reporter(look), file.as_deref())?;
    }
    if let Some(traces) = super::traces::Traces::from_environment() {
        outputs.add(Box::new(traces));
    }
    if let Some(path) = record {
        add(&mut outputs, Box::new(Jsonl), Some(path))?;
    }
    Ok(outputs)
}

fn add(outputs: &mut Outputs, reporter: Box<dyn Reporter + Send>, file: Option<&Path>) -> Result<(), String> {
    if let Some(path) = file {
        return outputs.add_file(reporter, path).map_err(|error| format!("cannot write `{}`: {error}", path.display()));
    }
    outputs.add(reporter);
    Ok(())
}

/// The look that the configuration of this place asks for. `verbosity` counts `-v`.
pub(super) fn look(verbosity: u8) -> Look {
    look_of(verbosity, &Settings::here())
}

/// The look that `config` asks for. `verbosity` counts `-v`.
pub(super) fn look_of(verbosity: u8, config: &Settings) -> Look {
    let yaml = config.result_format == "yaml" || config.stdout_callback.rsplit('.').next() == Some("yaml");
    Look {
        ansible: false,
        verbosity: verbosity.max(u8::try_from(config.verbosity).unwrap_or(u8::MAX)),
        paint: Paint(colored(config)),
        width: width(),
        display_skipped_hosts: config.display_skipped_hosts,
        display_ok_hosts: config.display_ok_hosts,
        display_failed_stderr: config.display_failed_stderr,
        show_task_path_on_failure: config.show_task_path_on_failure,
        check_mode_markers: config.check_mode_markers,
        show_custom_stats: config.show_custom_stats,
        tells_bridge: true,
        result_format: if yaml { ResultFormat::Yaml } else { ResultFormat::Json },
        pretty: config.callback_format_pretty,
    }
}

fn colored(config: &Settings) -> bool {
    // `NO_COLOR` counts whatever it is set to, not only as a boolean.
    let refused = config.no_color
        || env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || env::var_os("TERM").as_deref() == Some(OsStr::new("dumb"));
    config.force_color || !refused && io::stdout().is_terminal()
}

/// Ansible's width of a banner: one less than the terminal, and never less than 79.
fn width() -> usize {
    columns().saturating_sub(1).max(79)
}

fn columns() -> usize {
    rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col))
}

/// Whether standard output is a terminal that can be drawn on again and again.
fn is_lively() -> bool {
    io::stdout().is_terminal() && columns() > 0 && env::var_os("TERM").is_some_and(|term| term != "dumb") && env::var_os("CI").is_none()
}

fn speaks_unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()));
    locale.is_some_and(|locale| locale.to_ascii_lowercase().replace('-', "").ends_with("utf8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_a_format_and_perhaps_a_file() {
        let junit = Wanted { format: Format::Junit, file: Some("out.xml".into()) };
        assert_eq!("junit=out.xml".parse(), Ok(junit));
        assert_eq!("quiet".parse(), Ok(Wanted { format: Format::Quiet, file: None }));
        let error = "jsno".parse::<Wanted>().unwrap_err();
        assert_eq!(error, "expected one of human, json, jsonl, junit, github, quiet, plan, found `jsno`; did you mean `json`?");
    }

    #[test]
    fn standard_output_has_room_for_one() {
        let wanted = ["human".parse().unwrap(), "jsonl".parse().unwrap()];
        let error = outputs(&wanted, None, &Look::default()).err().unwrap();
        assert_eq!(error, "`human` and `jsonl` both want standard output; write one to a file: `--output jsonl=FILE`");
    }
}
