//! `--start-at-task`: what comes before that task is left out of the plan.

use std::sync::Arc;

use globset::Glob;

use super::{Block, Item, Plan, Play, Step};

impl Plan {
    /// Leaves out everything before the first task called `name`, which may hold `*` and `?`; but not the gathering of facts.
    ///
    /// Whether there is such a task.
    pub fn start_at(&mut self, name: &str) -> bool {
        let wanted = Wanted { name, glob: Glob::new(name).ok().map(|glob| glob.compile_matcher()) };
        let first = self.plays.iter().enumerate().find_map(|(index, play)| Some((index, wanted.block_from(&play.body)?)));
        let Some((index, block)) = first else {
            self.plays.clear();
            return false;
        };
        self.plays.drain(..index);
        if let Some(play) = self.plays.first_mut() {
            let facts = play.body.tasks.iter().filter(|item| is_gathering(item, play)).cloned();
            let tasks = facts.chain(block.tasks).collect();
            *play = Arc::new(Play { body: Arc::new(Block { tasks, ..block_of(&play.body) }), ..(**play).clone() });
        }
        true
    }
}

fn block_of(block: &Block) -> Block {
    Block { tasks: Vec::new(), ..block.clone() }
}

/// The implied first task of a play.
fn is_gathering(item: &Item, play: &Play) -> bool {
    matches!(item, Item::Step(step) if step.span == play.span && step.module.value == "gather_facts")
}

struct Wanted<'a> {
    name: &'a str,
    glob: Option<globset::GlobMatcher>,
}

impl Wanted<'_> {
    fn is(&self, step: &Step) -> bool {
        let matches = |name: &str| name == self.name || self.glob.as_ref().is_some_and(|glob| glob.is_match(name));
        let Some(name) = step.name.as_ref().and_then(|name| name.literal()) else { return false };
        let name = name.to_text();
        let with_role = step.context.role.as_ref().map(|role| format!("{} : {name}", role.name));
        matches(&name) || with_role.is_some_and(|name| matches(&name))
    }

    /// The block from the task on, if it is in there.
    fn block_from(&self, block: &Block) -> Option<Block> {
        let tasks = self.items_from(&block.tasks)?;
        Some(Block { tasks, ..block.clone() })
    }

    fn items_from(&self, items: &[Item]) -> Option<Vec<Item>> {
        items.iter().enumerate().find_map(|(index, item)| {
            let first = match item {
                Item::Step(step) => self.is(step).then(|| item.clone())?,
                Item::Block(block) => Item::Block(Arc::new(self.block_from(block)?)),
            };
            Some(std::iter::once(first).chain(items.iter().skip(index + 1).cloned()).collect())
        })
    }
}
