//! Runs a compiled pattern over a text: one way at a time, with the others on a stack of its own.

use super::compile::{Program, Step};
use super::parse::{At, Greed, One};
use super::set::{Class, fold};
use super::{Anchor, Error};

/// A slot that holds no place.
pub(super) const NONE: usize = usize::MAX;

/// The steps after which a search gives up, less than a second; and how many more there may be for every byte of the text.
const MOST_STEPS: u64 = 10_000_000;
const MORE_STEPS: u64 = 64;
/// How many other ways may wait.
const MOST_WAYS: usize = 8 << 20;

/// What is done when a way leads nowhere.
enum Back {
    /// Go on there instead.
    Way { step: usize, at: usize },
    /// Forget a place.
    Slot { slot: usize, was: usize },
    /// Give back one character of many, not below `low`.
    Less { step: usize, low: usize, high: usize },
    /// Take one more, of the loop at `step`.
    More { step: usize, at: usize, count: u32 },
}

/// What a way must lead to.
#[derive(Clone, Copy)]
enum Goal {
    /// A match from here on, which must not be empty.
    Moved(usize),
    /// A match.
    Whole,
    /// The end of a part.
    Part,
}

pub(super) struct Run<'p, 't> {
    program: &'p Program,
    text: &'t str,
    anchor: Anchor,
    slots: Vec<usize>,
    stack: Vec<Back>,
    /// How many steps are left.
    steps: u64,
}

impl<'p, 't> Run<'p, 't> {
    pub(super) fn new(program: &'p Program, text: &'t str, anchor: Anchor) -> Self {
        Self {
            program,
            text,
            anchor,
            slots: vec![NONE; program.slots],
            stack: Vec::new(),
            steps: MOST_STEPS + MORE_STEPS * text.len() as u64,
        }
    }

    /// The places of the first match from `from` on; one at `from` itself must not be empty when it `must_move`.
    pub(super) fn search(mut self, from: usize, must_move: bool) -> Result<Option<Vec<usize>>, Error> {
        let mut start = from;
        loop {
            if self.anchor == Anchor::None {
                let Some(next) = self.candidate(start) else { return Ok(None) };
                start = next;
            }
            self.slots.fill(NONE);
            self.stack.clear();
            let goal = if must_move && start == from { Goal::Moved(start) } else { Goal::Whole };
            if let Some(end) = self.run(0, start, goal)? {
                self.slots.truncate(2 * self.program.groups);
                for (slot, place) in self.slots.iter_mut().zip([start, end]) {
                    *slot = place;
                }
                return Ok(Some(self.slots));
            }
            match self.after(start) {
                Some((_, next)) if self.anchor == Anchor::None => start = next,
                _ => return Ok(None),
            }
        }
    }

    /// The next place where a match can begin.
    fn candidate(&self, start: usize) -> Option<usize> {
        if self.program.at_start {
            return (start == 0).then_some(0);
        }
        Some(start + self.text.get(start..)?.find(&self.program.prefix)?)
    }

    /// The character at `at`, and where the next one is.
    fn after(&self, at: usize) -> Option<(char, usize)> {
        let character = self.text.get(at..)?.chars().next()?;
        Some((character, at + character.len_utf8()))
    }

    fn before(&self, at: usize) -> Option<char> {
        self.text.get(..at)?.chars().next_back()
    }

    fn slot(&self, slot: usize) -> usize {
        self.slots.get(slot).copied().unwrap_or(NONE)
    }

    /// Notes `value`, until a way that leads nowhere takes it back.
    fn save(&mut self, slot: usize, value: usize) {
        if let Some(place) = self.slots.get_mut(slot) {
            self.stack.push(Back::Slot { slot, was: std::mem::replace(place, value) });
        }
    }

    /// Follows the program from `step` at `at` to the goal; where that is.
    fn run(&mut self, mut step: usize, mut at: usize, goal: Goal) -> Result<Option<usize>, Error> {
        let base = self.stack.len();
        loop {
            self.steps = self.steps.saturating_sub(1);
            if self.steps == 0 || self.stack.len() > MOST_WAYS {
                return Err(Error::TooHard);
            }
            let program = self.program;
            let next = match program.steps.get(step) {
                Some(Step::Match) | None => {
                    if self.reached(goal, at) {
                        return Ok(Some(at));
                    }
                    None
                }
                Some(Step::Look { back, negated, end }) => self.look(step, at, *back)?.filter(|found| found != negated).map(|_| (*end, at)),
                Some(Step::Atomic { end }) => self.part(step + 1, at, false)?.map(|after| (*end, after)),
                Some(other) => self.step(other, step, at),
            };
            let Some(next) = next.or_else(|| self.retreat(base)) else { return Ok(None) };
            (step, at) = next;
        }
    }

    fn reached(&self, goal: Goal, at: usize) -> bool {
        match goal {
            Goal::Part => true,
            Goal::Moved(start) if start == at => false,
            Goal::Moved(_) | Goal::Whole => self.anchor != Anchor::Both || at == self.text.len(),
        }
    }

    /// One step that asks no other run; where to go on.
    fn step(&mut self, what: &Step, step: usize, at: usize) -> Option<(usize, usize)> {
        match what {
            Step::One(one) => self.after(at).filter(|(character, _)| one.is(*character)).map(|(_, next)| (step + 1, next)),
            Step::At(place) => self.is_at(*place, at).then_some((step + 1, at)),
            Step::Split { first, second } => {
                self.stack.push(Back::Way { step: *second, at });
                Some((*first, at))
            }
            Step::Jump(to) => Some((*to, at)),
            Step::Save(slot) => {
                self.save(*slot, at);
                Some((step + 1, at))
            }
            Step::Same { group, ignore_case } => self.same(*group, *ignore_case, at).map(|next| (step + 1, next)),
            Step::If { group, no } => Some((if self.slot(2 * group + 1) == NONE { *no } else { step + 1 }, at)),
            Step::Begin { count } => {
                self.save(*count, 0);
                self.save(count + 1, NONE);
                Some((step + 1, at))
            }
            Step::Loop { count, least, most, lazy, end } => Some(self.turn(step, at, (*count, *least, *most), *lazy, *end)),
            Step::Many { one, least, most, greed } => self.many(step, at, one, (*least, *most), *greed),
            Step::Look { .. } | Step::Atomic { .. } | Step::Match => None, // these are the run's own
        }
    }

    /// Takes up the last way that was put aside, above `base`.
    fn retreat(&mut self, base: usize) -> Option<(usize, usize)> {
        while self.stack.len() > base {
            match self.stack.pop()? {
                Back::Way { step, at } => return Some((step, at)),
                Back::Slot { slot, was } => self.restore(slot, was),
                Back::Less { step, low, high } => {
                    let at = high - self.before(high)?.len_utf8();
                    if at > low {
                        self.stack.push(Back::Less { step, low, high: at });
                    }
                    return Some((step, at));
                }
                Back::More { step, at, count } => {
                    if let Some(Step::Many { one, most, .. }) = self.program.steps.get(step)
                        && let Some((_, next)) = self.after(at).filter(|(character, _)| one.is(*character))
                    {
                        if count + 1 < *most {
                            self.stack.push(Back::More { step, at: next, count: count + 1 });
                        }
                        return Some((step + 1, next));
                    }
                }
            }
        }
        None
    }

    fn restore(&mut self, slot: usize, was: usize) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = was;
        }
    }

    /// Runs a part by itself. Its other ways are forgotten; what it noted stays, unless it is to be forgotten too.
    fn part(&mut self, step: usize, at: usize, forget: bool) -> Result<Option<usize>, Error> {
        let base = self.stack.len();
        let end = self.run(step, at, Goal::Part)?;
        let above = self.stack.split_off(base);
        if forget {
            for back in above.into_iter().rev() {
                if let Back::Slot { slot, was } = back {
                    self.restore(slot, was);
                }
            }
        } else {
            self.stack.extend(above.into_iter().filter(|back| matches!(back, Back::Slot { .. })));
        }
        Ok(end)
    }

    /// Whether what `step` looks for is there; always an answer, to be compared with what is wanted.
    fn look(&mut self, step: usize, at: usize, back: usize) -> Result<Option<bool>, Error> {
        let negated = matches!(self.program.steps.get(step), Some(Step::Look { negated: true, .. }));
        let before = self.text.get(..at).unwrap_or_default();
        let start = match back {
            0 => Some(at),
            _ => before.char_indices().rev().nth(back - 1).map(|(start, _)| start),
        };
        let Some(start) = start else { return Ok(Some(false)) };
        Ok(Some(self.part(step + 1, start, negated)?.is_some()))
    }

    fn is_at(&self, place: At, at: usize) -> bool {
        let rest = || self.text.get(at..).unwrap_or_default();
        match place {
            At::Start => at == 0,
            At::LineStart => at == 0 || self.before(at) == Some('\n'),
            At::End => matches!(rest(), "" | "\n"),
            At::LineEnd => rest().is_empty() || rest().starts_with('\n'),
            At::VeryEnd => at == self.text.len(),
            At::Boundary(word) => !self.text.is_empty() && self.changes(word, at),
            At::Inside(word) => !self.text.is_empty() && !self.changes(word, at),
        }
    }

    fn changes(&self, word: Class, at: usize) -> bool {
        let is = |character: Option<char>| character.is_some_and(|character| word.has(character));
        is(self.before(at)) != is(self.after(at).map(|(character, _)| character))
    }

    /// Where the text of `group` ends when it is here again.
    fn same(&self, group: usize, ignore_case: bool, at: usize) -> Option<usize> {
        let (start, end) = (self.slot(2 * group), self.slot(2 * group + 1));
        let (wanted, rest) = (self.text.get(start..end)?, self.text.get(at..)?);
        if !ignore_case {
            return rest.starts_with(wanted).then_some(at + wanted.len());
        }
        let mut next = at;
        for character in wanted.chars() {
            let (found, after) = self.after(next)?;
            if fold(found) != fold(character) {
                return None;
            }
            next = after;
        }
        Some(next)
    }

    /// Another turn of a loop, or what follows it. A turn that would begin where the last one began leads nowhere.
    fn turn(&mut self, step: usize, at: usize, (slot, least, most): (usize, u32, u32), lazy: bool, end: usize) -> (usize, usize) {
        let count = self.slot(slot);
        if count < least as usize {
            self.save(slot, count + 1);
            return self.enter(step, slot, at);
        }
        let done = most != u32::MAX && count >= most as usize || self.slot(slot + 1) == at;
        if done {
            return (end, at);
        }
        if lazy {
            // Popped in this order: the turn is noted, taken, and forgotten when it leads nowhere.
            let (count, last) = (self.slot(slot), self.slot(slot + 1));
            for (slot, was) in [(slot, count), (slot + 1, last)] {
                self.stack.push(Back::Slot { slot, was });
            }
            self.stack.push(Back::Way { step: step + 1, at });
            for (slot, was) in [(slot, count + 1), (slot + 1, at)] {
                self.stack.push(Back::Slot { slot, was });
            }
            return (end, at);
        }
        self.stack.push(Back::Way { step: end, at });
        self.save(slot, count + 1);
        self.enter(step, slot, at)
    }

    fn enter(&mut self, step: usize, slot: usize, at: usize) -> (usize, usize) {
        self.save(slot + 1, at);
        (step + 1, at)
    }

    fn many(&mut self, step: usize, at: usize, one: &One, (least, most): (u32, u32), greed: Greed) -> Option<(usize, usize)> {
        let (mut next, mut count, mut low) = (at, 0, at);
        let wanted = if greed == Greed::Lazy { least } else { most };
        while count < wanted
            && let Some((_, after)) = self.after(next).filter(|(character, _)| one.is(*character))
        {
            next = after;
            count += 1;
            if count == least {
                low = next;
            }
        }
        if count < least {
            return None;
        }
        self.steps = self.steps.saturating_sub(u64::from(count / 8));
        match greed {
            Greed::Greedy if next > low => self.stack.push(Back::Less { step: step + 1, low, high: next }),
            Greed::Lazy if count < most => self.stack.push(Back::More { step, at: next, count }),
            _ => {}
        }
        Some((step + 1, next))
    }
}
