//! Runs a program of the controller on the host. Needs nothing there but a shell: no agent, no Python.
//!
//! ```yaml
//! - script: migrate.sh --all
//!   args:
//!     creates: /opt/shop/.migrated
//! ```

use super::prelude::*;
use super::raw::{judged, quote};
use crate::run::call::ModuleCall;

pub(super) const REVERSIBLE: Reversible = Reversible::Impossible;

params! {
    pub struct Script {
        /// The program's path on the controller, and its arguments; the host's shell reads these.
        cmd: Option<String>,
        /// Do not run it when this exists; may be a pattern.
        creates: Option<String>,
        /// Only run it when this exists; may be a pattern.
        removes: Option<String>,
        /// Run it in this directory.
        chdir: Option<String>,
        /// The program that reads it, instead of the one that its first line names.
        executable: Option<String>,
        /// Open a vault file on the controller.
        decrypt: bool = true,
    }
    free_form = cmd;
}

/// What the host's shell says when there is nothing to run.
const IDLE: i32 = 97;

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: Script = call.decode()?;
    let wired = ModuleCall { item: call.item, params: call.params.clone(), delegate: call.delegate.clone() };
    let Some(cmd) = params.cmd.clone().filter(|cmd| !cmd.trim().is_empty()) else {
        return Err(Failure::new("one of the following is required: _raw_params, cmd").into());
    };
    let (name, arguments) = split(&cmd);
    if let Some(directory) = params.chdir.as_deref().filter(|directory| !directory.starts_with(['/', '~'])) {
        return Err(Failure::new(format!("chdir {directory} must be an absolute path for a Unix-aware remote node")).into());
    }
    let guarded = params.creates.is_some() || params.removes.is_some();
    if wired.checking() && !guarded {
        return Ok(skipped("Check mode is not supported for this task.".to_owned()));
    }
    let path = wired.find("files", &name)?;
    let bytes = wired.read(&path, params.decrypt)?;
    let (endpoint, privilege) = wired.wiring()?;
    let session = wired.session(&endpoint).await?;
    let exec = async |text: String, input: &[u8]| {
        let command = format!("sh -c {}", quote(&text));
        session.exec(&command, input, privilege.as_ref()).await.map_err(|error| Trouble::Unreachable(error.to_string()))
    };
    if guarded && exec(guards(&params), &[]).await?.status == IDLE {
        return Ok(skipped(match &params.creates {
            Some(creates) if exec(guard("creates", Some(creates)), &[]).await?.status == IDLE => {
                format!("{creates} exists, matching creates option")
            }
            _ => format!("{} does not exist, matching removes option", params.removes.unwrap_or_default()),
        }));
    }
    if wired.checking() {
        return Ok(Outcome { changed: true, ..Outcome::default() }.into());
    }
    let environment: String = wired.environment()?.iter().map(|(name, value)| format!("export {name}={}; ", quote(value))).collect();
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let done = exec(environment + &text(&params, &file, arguments), &bytes).await?;
    judged(&done).map_err(Trouble::from)
}

/// What the host's shell runs: the program comes in on its standard input, and is gone when it ends.
fn text(params: &Script, file: &str, arguments: &str) -> String {
    let place = format!("\"$d\"/{}", quote(file));
    let directory = params.chdir.as_ref().map(|directory| format!("cd {} || exit 2; ", path(directory))).unwrap_or_default();
    let reader = params.executable.as_ref().map(|executable| format!("{executable} ")).unwrap_or_default();
    format!(
        "d=$(mktemp -d) || exit 1; trap 'rm -rf \"$d\"' EXIT; cat > {place} && chmod 700 {place} || exit 1; {directory}{reader}{place} {arguments}"
    )
}

/// Both guards, as one question.
fn guards(params: &Script) -> String {
    guard("creates", params.creates.as_ref()) + &guard("removes", params.removes.as_ref())
}

/// Ends with [`IDLE`] when there is nothing to run.
fn guard(kind: &str, pattern: Option<&String>) -> String {
    let Some(pattern) = pattern else { return String::new() };
    let (found, none) = if kind == "creates" { (format!("exit {IDLE}"), ":".to_owned()) } else { (":".to_owned(), format!("exit {IDLE}")) };
    // Unquoted but for what is no pattern: the shell fills in what matches, the first of which decides.
    format!("set -- {}; if [ -e \"$1\" ] || [ -L \"$1\" ]; then {found}; else {none}; fi; ", path(pattern))
}

/// A path for the shell: its own signs are quoted, `~` and the signs of patterns are not.
fn path(text: &str) -> String {
    let (home, rest) = match text.split_once('/') {
        Some((home, rest)) if home.starts_with('~') => (format!("{home}/"), rest),
        _ => (String::new(), text),
    };
    let quoted: String = rest
        .chars()
        .map(|sign| if sign.is_alphanumeric() || "/._-+@%:,*?[]".contains(sign) { sign.to_string() } else { format!("\\{sign}") })
        .collect();
    home + &quoted
}

/// The first word, unquoted, and the rest as it is.
fn split(text: &str) -> (String, &str) {
    let text = text.trim_start();
    let (mut word, mut quoting) = (String::new(), None);
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        match (quoting, sign) {
            (Some(quote), sign) if sign == quote => quoting = None,
            (None, '\'' | '"') => quoting = Some(sign),
            (None | Some('"'), '\\') => word.extend(signs.next().map(|(_, sign)| sign)),
            (None, sign) if sign.is_whitespace() => return (word, text.get(at..).unwrap_or_default().trim()),
            (_, sign) => word.push(sign),
        }
    }
    (word, "")
}

fn skipped(msg: String) -> Answer {
    Outcome { skipped: Some(msg.clone()), ..Outcome::default() }.with("msg", msg).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_the_file() {
        for (text, name, rest) in [
            ("run.sh", "run.sh", ""),
            ("  run.sh -a 'b c'  \"$d\" ", "run.sh", "-a 'b c'  \"$d\""),
            ("'space path/run.sh' x", "space path/run.sh", "x"),
            (r#""a\"b".sh\ c d"#, "a\"b.sh c", "d"),
            ("", "", ""),
        ] {
            assert_eq!(split(text), (name.to_owned(), rest), "{text}");
        }
    }

    #[test]
    fn the_shell_sees_patterns_and_nothing_else() {
        for (text, expected) in [("/a/*.txt", "/a/*.txt"), ("~web/a b", r"~web/a\ b"), ("/a;rm $x", r"/a\;rm\ \$x")] {
            assert_eq!(path(text), expected);
        }
    }
}
