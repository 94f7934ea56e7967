//! `rappel plan`: what a playbook would change.

use clap::Args;

use super::Outcome;
use super::output::{Format, Wanted};
use super::play::{self, PlayOptions};

/// Shows what playbooks would change: the differences grouped over hosts, and how well each step can be undone
///
/// Nothing is changed. What a command would do cannot be known before it runs; such steps are named.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  rappel plan -i inventories/production site.yml
  rappel plan -i hosts site.yml --output json
  rappel plan -i hosts site.yml --record site.plan    to be looked at; then `rappel play … --plan site.plan`")]
pub(super) struct PlanOptions {
    #[command(flatten)]
    play: PlayOptions,
}

/// Predicts, and shows the plan.
pub(super) fn run(options: PlanOptions) -> Outcome {
    let PlanOptions { mut play } = options;
    (play.check, play.diff) = (true, true);
    if play.output.output.is_empty() {
        play.output.output.push(Wanted { format: Format::Plan, file: None });
    }
    play::run(&play, false)
}
