//! A pattern's tree as a program for [`super::run`].

use super::Error;
use super::parse::{At, Greed, Node, One, Parsed};

/// One step; without a word on where it goes on, that is the next one.
#[derive(Clone, Debug)]
pub(super) enum Step {
    One(One),
    At(At),
    /// Try one way, and the other when it does not lead to a match.
    Split {
        first: usize,
        second: usize,
    },
    Jump(usize),
    /// Note the place.
    Save(usize),
    Same {
        group: usize,
        ignore_case: bool,
    },
    /// Runs what follows up to its [`Step::Match`], so many characters back, then goes on at `end`, where it was.
    Look {
        back: usize,
        negated: bool,
        end: usize,
    },
    /// Runs what follows up to its [`Step::Match`], then goes on at `end`, where that ended.
    Atomic {
        end: usize,
    },
    If {
        group: usize,
        no: usize,
    },
    /// Begins a loop, whose count is in slot `count` and the place of its last turn in the one after.
    Begin {
        count: usize,
    },
    /// A turn of it, which ends by a jump back to here.
    Loop {
        count: usize,
        least: u32,
        most: u32,
        lazy: bool,
        end: usize,
    },
    /// One character many times.
    Many {
        one: One,
        least: u32,
        most: u32,
        greed: Greed,
    },
    Match,
}

#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    pub(super) slots: usize,
    pub(super) groups: usize,
    pub(super) names: Vec<(String, usize)>,
    /// What every match begins with.
    pub(super) prefix: String,
    /// Whether it matches nowhere but at the start of the text.
    pub(super) at_start: bool,
}

pub(super) fn compile(parsed: Parsed) -> Result<Program, Error> {
    let Parsed { node, groups, names } = parsed;
    let mut compiler = Compiler { steps: Vec::new(), slots: 2 * groups, widths: vec![(0, 0); groups] };
    compiler.node(&node)?;
    compiler.steps.push(Step::Match);
    let Compiler { steps, slots, .. } = compiler;
    let plain = |step: &Step| if let Step::One(One::Char(character)) = step { Some(*character) } else { None };
    let prefix = steps.iter().map_while(plain).collect();
    let at_start = matches!(steps.first(), Some(Step::At(At::Start)));
    Ok(Program { steps, slots, groups, names, prefix, at_start })
}

struct Compiler {
    steps: Vec<Step>,
    slots: usize,
    /// The fewest and most characters of every group.
    widths: Vec<(usize, usize)>,
}

impl Compiler {
    /// Appends `step`, to be replaced when it is known where it leads.
    fn push(&mut self, step: Step) -> usize {
        self.steps.push(step);
        self.steps.len() - 1
    }

    fn set(&mut self, at: usize, step: Step) {
        if let Some(slot) = self.steps.get_mut(at) {
            *slot = step;
        }
    }

    fn node(&mut self, node: &Node) -> Result<(), Error> {
        match node {
            Node::One(one) => self.steps.push(Step::One(one.clone())),
            Node::At(at) => self.steps.push(Step::At(*at)),
            Node::Sequence(nodes) => nodes.iter().try_for_each(|node| self.node(node))?,
            Node::Either(branches) => self.either(branches)?,
            Node::Group(number, inner) => {
                self.steps.push(Step::Save(2 * number));
                self.node(inner)?;
                self.steps.push(Step::Save(2 * number + 1));
                let width = self.width(inner);
                if let Some(slot) = self.widths.get_mut(*number) {
                    *slot = width;
                }
            }
            Node::Repeat { node, least, most, greed } => self.repeat(node, *least, *most, *greed)?,
            Node::Same { group, ignore_case } => self.steps.push(Step::Same { group: *group, ignore_case: *ignore_case }),
            Node::Look { behind, negated, node } => {
                let at = self.push(Step::Match);
                self.node(node)?;
                self.steps.push(Step::Match);
                let (least, most) = if *behind { self.width(node) } else { (0, 0) };
                if least != most {
                    return Err(Error::Syntax { reason: "look-behind requires fixed-width pattern".to_owned(), position: 0 });
                }
                self.set(at, Step::Look { back: least, negated: *negated, end: self.steps.len() });
            }
            Node::Atomic(node) => self.atomic(|compiler| compiler.node(node))?,
            Node::If { group, yes, no } => {
                let at = self.push(Step::Match);
                self.node(yes)?;
                let jump = self.push(Step::Match);
                self.set(at, Step::If { group: *group, no: self.steps.len() });
                self.node(no)?;
                self.set(jump, Step::Jump(self.steps.len()));
            }
        }
        Ok(())
    }

    fn atomic(&mut self, inner: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        let at = self.push(Step::Match);
        inner(self)?;
        self.steps.push(Step::Match);
        self.set(at, Step::Atomic { end: self.steps.len() });
        Ok(())
    }

    fn either(&mut self, branches: &[Node]) -> Result<(), Error> {
        let mut jumps = Vec::new();
        for (number, branch) in branches.iter().enumerate() {
            if number + 1 == branches.len() {
                self.node(branch)?;
                break;
            }
            let split = self.push(Step::Match);
            self.node(branch)?;
            jumps.push(self.push(Step::Match));
            self.set(split, Step::Split { first: split + 1, second: self.steps.len() });
        }
        let end = self.steps.len();
        for jump in jumps {
            self.set(jump, Step::Jump(end));
        }
        Ok(())
    }

    fn repeat(&mut self, node: &Node, least: u32, most: u32, greed: Greed) -> Result<(), Error> {
        if let Node::One(one) = node {
            self.steps.push(Step::Many { one: one.clone(), least, most, greed });
            return Ok(());
        }
        if greed == Greed::Possessive {
            return self.atomic(|compiler| compiler.repeat(node, least, most, Greed::Greedy));
        }
        let lazy = greed == Greed::Lazy;
        if (least, most) == (0, 1) {
            let split = self.push(Step::Match);
            self.node(node)?;
            let (inside, end) = (split + 1, self.steps.len());
            self.set(split, if lazy { Step::Split { first: end, second: inside } } else { Step::Split { first: inside, second: end } });
            return Ok(());
        }
        let count = self.slots;
        self.slots += 2;
        self.steps.push(Step::Begin { count });
        let at = self.push(Step::Match);
        self.node(node)?;
        self.steps.push(Step::Jump(at));
        self.set(at, Step::Loop { count, least, most, lazy, end: self.steps.len() });
        Ok(())
    }

    /// The fewest and the most characters that `node` matches.
    fn width(&self, node: &Node) -> (usize, usize) {
        match node {
            Node::One(_) => (1, 1),
            Node::At(_) | Node::Look { .. } => (0, 0),
            Node::Sequence(nodes) => nodes
                .iter()
                .map(|node| self.width(node))
                .fold((0, 0), |(low, high), (least, most)| (low.saturating_add(least), high.saturating_add(most))),
            Node::Either(branches) => wider(branches.iter().map(|node| self.width(node))),
            Node::Group(_, node) | Node::Atomic(node) => self.width(node),
            Node::Repeat { node, least, most, .. } => {
                let (low, high) = self.width(node);
                let most = if *most == u32::MAX { usize::MAX } else { *most as usize };
                (low.saturating_mul(*least as usize), high.saturating_mul(most))
            }
            Node::Same { group, .. } => self.widths.get(*group).copied().unwrap_or_default(),
            Node::If { yes, no, .. } => wider([self.width(yes), self.width(no)].into_iter()),
        }
    }
}

fn wider(widths: impl Iterator<Item = (usize, usize)>) -> (usize, usize) {
    widths.reduce(|(low, high), (least, most)| (low.min(least), high.max(most))).unwrap_or_default()
}
