//! `--list-hosts`, `--list-tasks`, `--list-tags`, `--syntax-check`: what would run, and nothing else.

use super::play::PlayOptions;
use super::prepare::Prepared;
use super::{Outcome, Stopped};
use crate::event::Exit;
use crate::model::{Inventory, Pattern};
use crate::plan::{Block, Item, Plan, Play, Step};
use crate::run::Settings;
use crate::template::to_wire;
use crate::text::{Diagnostics, Spanned};
use crate::wire::Value;

/// Shows what was asked for.
#[expect(clippy::print_stdout, reason = "a listing is what the command line is asked for")]
pub(super) fn show(options: &PlayOptions, plan: &Plan, inventory: &Inventory, settings: &Settings, prepared: &Prepared) -> Outcome {
    let limit = settings
        .limit
        .as_ref()
        .map(|limit| Pattern::limit(&prepared.sources, limit))
        .transpose()
        .map_err(|found| Stopped::error(found.message))?;
    for playbook in &options.playbooks {
        println!("\nplaybook: {}", playbook.display());
        if options.syntax_check {
            continue;
        }
        for (number, play) in
            plan.plays.iter().filter(|play| play.file == *playbook || plan.plays.len() == 1 || options.playbooks.len() == 1).enumerate()
        {
            print!("{}", listed(options, number + 1, play, inventory, limit.as_ref(), prepared));
        }
    }
    Ok(Exit::Success)
}

fn listed(
    options: &PlayOptions,
    number: usize,
    play: &Play,
    inventory: &Inventory,
    limit: Option<&Pattern>,
    prepared: &Prepared,
) -> String {
    let pattern = match play.hosts.literal().map(to_wire) {
        Some(Value::List(items)) => items.iter().map(Value::to_text).collect::<Vec<_>>().join(","),
        Some(value) => value.to_text(),
        None => String::new(),
    };
    let name = play.name.as_ref().and_then(|name| name.literal()).map_or_else(|| pattern.clone(), crate::template::Value::to_text);
    let tags = play.context.tags.join(",");
    let mut out = format!("\n  play #{number} ({pattern}): {name}\tTAGS: [{tags}]\n");
    if options.hosts.list_hosts {
        let parsed = Pattern::parse(&[Spanned::new(pattern.clone(), play.hosts.span())]);
        let hosts = inventory.select(&parsed, limit, &mut Diagnostics::default());
        out += &format!("    pattern: ['{pattern}']\n    hosts ({}):\n", hosts.len());
        for host in hosts {
            out += &format!("      {}\n", host.name);
        }
    }
    let steps = steps(play);
    if options.list_tasks {
        out += "    tasks:\n";
        for step in &steps {
            out += &format!("      {}\tTAGS: [{}]\n", title(step, prepared), sorted_tags([*step]).join(", "));
        }
    }
    if options.list_tags {
        out += &format!("      TASK TAGS: [{}]\n", sorted_tags(steps).join(", "));
    }
    out
}

/// The task as it is called before there is a host: with the templates of its name as they are written.
fn title(step: &Step, prepared: &Prepared) -> String {
    let name = step.name.as_ref().map(|name| name.literal().map_or_else(|| prepared.text(name.span()), crate::template::Value::to_text));
    let role = step.context.role.as_ref().filter(|_| step.work.name() != "include_role");
    let role = role.map(|role| format!("{} : ", role.name)).unwrap_or_default();
    match name {
        Some(name) => format!("{role}{name}"),
        // Ansible leaves the role away where an include has no name.
        None if step.module.value.contains("include_") => step.module.value.clone(),
        None => format!("{role}{}", step.module.value),
    }
}

fn sorted_tags<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Vec<&'a str> {
    let mut tags: Vec<&str> = steps.into_iter().flat_map(|step| step.context.tags.iter().map(String::as_str)).collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// The tasks that somebody has written, in their order.
pub(super) fn steps(play: &Play) -> Vec<&Step> {
    let mut steps = Vec::new();
    collect(&play.body, &mut steps);
    steps.retain(|step| step.span != play.span);
    steps
}

fn collect<'a>(block: &'a Block, steps: &mut Vec<&'a Step>) {
    for item in block.tasks.iter().chain(block.rescue.iter().flatten()).chain(&block.always) {
        match item {
            Item::Step(step) => steps.push(step),
            Item::Block(block) => collect(block, steps),
        }
    }
}
