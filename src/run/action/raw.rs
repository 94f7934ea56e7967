//! Runs a command through the login shell, with nothing else on the host: no agent, no Python.
//!
//! ```yaml
//! - raw: apt-get install -y sudo
//! ```

use super::prelude::*;
use crate::run::call::ModuleCall;
use crate::ssh::Completed;

pub(super) const REVERSIBLE: Reversible = Reversible::Impossible;

params! {
    pub struct Raw {
        /// The command.
        cmd: String,
        /// The shell that runs it, instead of the login shell.
        executable: Option<String>,
    }
    free_form = cmd;
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: Raw = call.decode()?;
    let wired = ModuleCall { item: call.item, params: Map::new(), delegate: call.delegate.clone() };
    if wired.checking() {
        return Ok(Outcome { skipped: Some(String::new()), ..Outcome::default() }.into());
    }
    let (endpoint, privilege) = wired.wiring()?;
    let session = wired.session(&endpoint).await?;
    let environment: String = wired.environment()?.iter().map(|(name, value)| format!("{name}={} ", quote(value))).collect();
    let command = match &params.executable {
        Some(shell) => format!("{environment}{shell} -c {}", quote(&params.cmd)),
        None => format!("{environment}{}", params.cmd),
    };
    let done = session.exec(&command, &[], privilege.as_ref()).await.map_err(|error| Trouble::Unreachable(error.to_string()))?;
    judged(&done).map_err(Trouble::from)
}

/// The result of a command that ran without an agent.
///
/// # Errors
/// When its status is not 0.
pub(super) fn judged(done: &Completed) -> Result<Answer, Failure> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&done.stdout), text(&done.stderr));
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let mut data = Map::new();
    data.insert("rc".to_owned(), done.status.into());
    data.insert("stdout_lines".to_owned(), lines(&stdout).into());
    data.insert("stderr_lines".to_owned(), lines(&stderr).into());
    data.insert("stdout".to_owned(), stdout.into());
    data.insert("stderr".to_owned(), stderr.into());
    if done.status != 0 {
        return Err(Failure { msg: "non-zero return code".to_owned(), data, changed: true, ..Failure::default() });
    }
    Ok(Outcome { changed: true, data, ..Outcome::default() }.into())
}

/// A text as one word of a shell.
pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
