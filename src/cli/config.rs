//! `rappel config`, and when a configuration can be used.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::play::tell;
use super::{Outcome, Stopped, environments, output};
use crate::deploy::config::{Config, FILE};
use crate::event::Exit;
use crate::report::Outputs;
use crate::text::{Diagnostics, Sources};

/// Checks `rappel.yml`, or shows what can stand in it
#[derive(Args, Clone, Debug)]
pub(super) struct ConfigOptions {
    #[command(subcommand)]
    action: ConfigAction,
}

#[derive(Clone, Debug, Subcommand)]
enum ConfigAction {
    /// Reads the file and tells every mistake
    Check {
        /// The file
        #[arg(default_value = FILE)]
        file: PathBuf,
    },
    /// Prints the JSON Schema, for editors
    Schema,
    /// Prints every key with its meaning, as Markdown
    Reference,
}

/// The configuration, if nothing in it is wrong.
pub(super) fn usable(config: Option<Config>, file: &Path, outputs: &mut Outputs, sources: &Sources) -> Result<Config, Stopped> {
    let refused = || Stopped::error(format!("`{}` cannot be used", file.display()));
    let config = config.ok_or_else(refused)?;
    let mut diags = Diagnostics::default();
    environments::check(&config)?.into_iter().for_each(|found| diags.push(found));
    let failed = diags.has_errors();
    tell(outputs, diags, sources);
    if failed { Err(refused()) } else { Ok(config) }
}

/// `rappel config`.
pub(super) fn run(options: &ConfigOptions) -> Outcome {
    match &options.action {
        ConfigAction::Schema => say(&serde_json::to_string_pretty(&Config::schema()).map_err(|error| Stopped::error(error.to_string()))?),
        ConfigAction::Reference => say(Config::reference().trim_end()),
        ConfigAction::Check { file } => {
            let sources = Sources::default();
            let mut diags = Diagnostics::default();
            let mut outputs = output::outputs(&[], None, &output::look(0)).map_err(Stopped::error)?;
            let config = Config::load(&sources, file, &mut diags);
            tell(&mut outputs, diags, &sources);
            let config = usable(config, file, &mut outputs, &sources)?;
            let names: Vec<_> = config.environments.keys().map(String::as_str).collect();
            say(&format!("{}: {}", file.display(), names.join(", ")));
        }
    }
    Ok(Exit::Success)
}

#[expect(clippy::print_stdout, reason = "the answer to the command")]
fn say(text: &str) {
    println!("{text}");
}
