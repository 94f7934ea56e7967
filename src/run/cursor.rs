//! [`Cursor`]: where one host stands in a play. Block, rescue and always as a state machine, with nothing of the network in it.

use std::collections::HashSet;
use std::sync::Arc;

use crate::plan::{Block, Handler, Item, Step};

/// Where a step stands in a play, comparable between hosts: of all hosts' next steps, the lowest runs next.
pub(super) type Path = Vec<u32>;

/// Why a block failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A task failed on this host; a rescue makes up for it.
    Own,
    /// The batch or fleet rolls back: rescue sections run, but the play does not go on after them.
    Fatal,
}

/// What a failure led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caught {
    /// A rescue section runs next.
    Rescue,
    /// Nothing catches it (an `always` may still run).
    Nothing,
}

/// How far a host has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There may be more to do.
    Active,
    /// Everything is done, or the play was ended for it.
    Done,
    /// A task failed, and nothing caught it.
    Failed,
    /// It cannot be reached any more.
    Unreachable,
    /// A rescue section ran because the whole batch rolls back.
    RolledBack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    Tasks,
    Rescue,
    Always,
}

#[derive(Clone, Debug)]
enum Kind {
    Block(Arc<Block>),
    /// A flush: the handlers that are notified, in their order.
    Handlers(Arc<Vec<Arc<Handler>>>),
}

#[derive(Clone, Debug)]
struct Frame {
    kind: Kind,
    section: Section,
    index: usize,
    path: Path,
    failing: Option<Cause>,
    /// A rescue has begun here because of `Cause::Fatal`.
    rolled_back: bool,
    /// A task inside ran, and was not just skipped.
    ran: bool,
}

impl Frame {
    fn new(kind: Kind, path: Path) -> Self {
        Self { kind, section: Section::Tasks, index: 0, path, failing: None, rolled_back: false, ran: false }
    }

    fn items(&self) -> &[Item] {
        match (&self.kind, self.section) {
            (Kind::Block(block), Section::Tasks) => &block.tasks,
            (Kind::Block(block), Section::Rescue) => block.rescue.as_deref().unwrap_or_default(),
            (Kind::Block(block), Section::Always) => &block.always,
            (Kind::Handlers(_), _) => &[],
        }
    }

    fn here(&self) -> Path {
        let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        let mut path = self.path.clone();
        path.push(self.section as u32);
        path.push(number(self.index));
        path
    }
}

/// The next step of a host.
#[derive(Clone, Debug)]
pub(super) struct Next {
    /// The step.
    pub step: Arc<Step>,
    /// Where it stands.
    pub path: Path,
}

/// Where one host stands.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    frames: Vec<Frame>,
    state: State,
    /// Handlers that were notified and have not run, by their number.
    notified: HashSet<usize>,
    /// Roles that are complete, by identity.
    complete: HashSet<String>,
    /// A rescue section failed while the whole batch rolled back.
    rescue_failed: bool,
    /// The host has failed, but its handlers are run all the same (`force_handlers`).
    failed: bool,
    /// The handler that runs now: it can be notified again, by itself too.
    running: Option<usize>,
}

impl Cursor {
    /// At the beginning of `body`.
    pub(super) fn new(body: &Arc<Block>) -> Self {
        Self {
            frames: vec![Frame::new(Kind::Block(body.clone()), Path::new())],
            state: State::Active,
            notified: HashSet::new(),
            complete: HashSet::new(),
            rescue_failed: false,
            failed: false,
            running: None,
        }
    }

    /// The next step begins. A handler that does is no longer one that was notified.
    pub(super) fn begin(&mut self) {
        if let Some(Frame { kind: Kind::Handlers(_), index, .. }) = self.frames.last() {
            self.notified.remove(index);
            self.running = Some(*index);
        }
    }

    /// Whether a rescue section failed while the whole batch rolled back.
    pub(super) fn rescue_failed(&self) -> bool {
        self.rescue_failed
    }

    /// How far the host has come.
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Whether it has a failure that nothing has caught (its `always` sections may still run).
    pub(super) fn failing(&self) -> bool {
        self.failed
            || self.state == State::Failed
            || self.frames.iter().any(|frame| frame.failing.is_some() && frame.section == Section::Always)
    }

    /// Whether a rescue or always section runs.
    pub(super) fn recovering(&self) -> bool {
        self.frames.iter().any(|frame| frame.section != Section::Tasks)
    }

    /// Whether the block at `path` has failed: its tasks are not gone on with.
    pub(super) fn failing_at(&self, path: &Path) -> bool {
        match self.frames.iter().find(|frame| frame.path == *path) {
            Some(frame) => frame.failing.is_some() || frame.section == Section::Rescue,
            None => self.failing(),
        }
    }

    /// The paths of the transactions that the host stands in, outermost first.
    pub(super) fn transactions(&self) -> Vec<(Path, Arc<Block>)> {
        let open = |frame: &Frame| match &frame.kind {
            Kind::Block(block) if block.transaction.is_some() => Some((frame.path.clone(), block.clone())),
            _ => None,
        };
        self.frames.iter().filter_map(open).collect()
    }

    /// The next step; enters and leaves blocks on the way.
    pub(super) fn next(&mut self) -> Option<Next> {
        while self.state == State::Active {
            let Some(frame) = self.frames.last() else {
                self.state = if self.failed { State::Failed } else { State::Done };
                break;
            };
            let path = frame.here();
            if let Kind::Handlers(handlers) = &frame.kind {
                let Some(handler) = handlers.get(frame.index) else {
                    self.leave();
                    continue;
                };
                if self.notified.contains(&frame.index) || self.running == Some(frame.index) {
                    return Some(Next { step: handler.step.clone(), path });
                }
                self.skip();
                continue;
            }
            match frame.items().get(frame.index).cloned() {
                Some(Item::Step(step)) => return Some(Next { step, path }),
                Some(Item::Block(block)) if self.is_complete(&block) => self.skip(),
                Some(Item::Block(block)) => self.frames.push(Frame::new(Kind::Block(block), path)),
                None => self.end_of_section(),
            }
        }
        None
    }

    /// The next step ran: a role of which nothing did is not complete.
    pub(super) fn note_run(&mut self) {
        self.frames.iter_mut().for_each(|frame| frame.ran = true);
    }

    /// The next step is done.
    pub(super) fn advance(&mut self) {
        self.begin();
        self.running = None;
        self.skip();
    }

    /// How many blocks it stands inside.
    pub(super) fn depth(&self) -> usize {
        self.frames.len()
    }

    /// The next step is an include, and it brought `block`. `number` orders blocks that different hosts got here.
    pub(super) fn enter(&mut self, block: Arc<Block>, number: usize) {
        self.begin();
        self.running = None;
        if let Some(frame) = self.frames.last() {
            let mut path = frame.here();
            path.push(u32::try_from(number).unwrap_or(u32::MAX));
            self.frames.push(Frame::new(Kind::Block(block), path));
        }
    }

    /// The next step is `meta: flush_handlers`: the notified of `handlers` run now.
    pub(super) fn flush(&mut self, handlers: &Arc<Vec<Arc<Handler>>>) {
        let in_handlers = self.frames.iter().any(|frame| matches!(frame.kind, Kind::Handlers(_)));
        if self.notified.is_empty() || in_handlers {
            self.advance();
        } else if let Some(frame) = self.frames.last() {
            let path = frame.here();
            self.frames.push(Frame::new(Kind::Handlers(handlers.clone()), path));
        }
    }

    /// Handler number `index` is to run at the next flush; `false` when it was to already.
    pub(super) fn notify(&mut self, index: usize) -> bool {
        self.notified.insert(index)
    }

    /// Forgets what was notified (the changes are undone).
    pub(super) fn forget_notified(&mut self) {
        self.notified.clear();
    }

    /// The step failed, or the whole batch does.
    pub(super) fn fail(&mut self, cause: Cause) -> Caught {
        self.running = None;
        // An `always` may come first; what counts is whether some block makes up for it.
        let rescues = |frame: &Frame| match &frame.kind {
            Kind::Block(block) => frame.section == Section::Tasks && block.rescue.is_some(),
            Kind::Handlers(_) => false,
        };
        let rescued = cause == Cause::Own && self.frames.iter().any(rescues);
        let caught = self.unwind(cause);
        if self.frames.is_empty() {
            self.state = State::Failed;
        }
        if rescued { Caught::Rescue } else { caught }
    }

    /// The host has failed, but handlers that were notified run before it ends.
    pub(super) fn fail_after_handlers(&mut self, handlers: &Arc<Vec<Arc<Handler>>>) {
        if self.state == State::Failed && !self.failed && !self.notified.is_empty() {
            self.failed = true;
            self.state = State::Active;
            self.frames = vec![Frame::new(Kind::Handlers(handlers.clone()), vec![u32::MAX])];
        }
    }

    /// Nothing more is done on this host.
    pub(super) fn end(&mut self, state: State) {
        self.frames.clear();
        self.state = state;
    }

    /// A failure is forgotten; there is nothing more to do in this play.
    pub(super) fn forgive(&mut self) {
        self.state = State::Done;
        self.failed = false;
    }

    /// Takes a failed or unreachable host back in (`meta: clear_host_errors`): it goes on where `other` stands.
    pub(super) fn resume_at(&mut self, other: &Cursor) {
        self.frames.clone_from(&other.frames);
        self.state = State::Active;
        self.failed = false;
    }

    /// A host that is in an `always` section after a failure goes on after it as if nothing had failed.
    pub(super) fn clear_failure(&mut self) {
        self.frames.iter_mut().for_each(|frame| frame.failing = None);
    }

    /// Leaves the role that the next step belongs to (`meta: end_role`).
    pub(super) fn end_role(&mut self) {
        while let Some(frame) = self.frames.last() {
            let role = matches!(&frame.kind, Kind::Block(block) if block.role.is_some());
            self.leave();
            if role {
                break;
            }
        }
    }

    fn is_complete(&self, block: &Block) -> bool {
        block.role.as_ref().is_some_and(|role| !role.allow_duplicates && self.complete.contains(&role.identity))
    }

    fn skip(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.index += 1;
        }
    }

    /// A section ran to its end.
    fn end_of_section(&mut self) {
        let Some(frame) = self.frames.last_mut() else { return };
        if frame.section == Section::Rescue && frame.failing == Some(Cause::Own) {
            frame.failing = None;
        }
        if frame.section == Section::Always {
            self.leave();
        } else {
            frame.section = Section::Always;
            frame.index = 0;
        }
    }

    /// Leaves the innermost block, handing on what it failed of.
    fn leave(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        match frame.failing {
            Some(Cause::Own) => {
                self.unwind(Cause::Own);
                if self.frames.is_empty() {
                    self.state = State::Failed;
                }
            }
            Some(Cause::Fatal) => {
                self.unwind_past_rescues();
                if self.frames.is_empty() {
                    self.state = if frame.rolled_back { State::RolledBack } else { State::Failed };
                } else if frame.rolled_back
                    && let Some(outer) = self.frames.last_mut()
                {
                    outer.rolled_back = true;
                }
            }
            None => {
                if let Kind::Block(block) = &frame.kind
                    && let Some(role) = block.role.as_ref().filter(|_| frame.ran)
                {
                    self.complete.insert(role.identity.clone());
                }
                self.skip();
            }
        }
    }

    /// Finds the section that runs after a failure in the innermost block.
    fn unwind(&mut self, cause: Cause) -> Caught {
        while let Some(frame) = self.frames.last_mut() {
            if let Kind::Block(block) = &frame.kind {
                let has_rescue = block.rescue.is_some();
                self.rescue_failed |= frame.section == Section::Rescue && frame.failing == Some(Cause::Fatal);
                frame.failing = Some(cause);
                if frame.section == Section::Tasks && has_rescue {
                    frame.section = Section::Rescue;
                    frame.index = 0;
                    frame.rolled_back = cause == Cause::Fatal;
                    return Caught::Rescue;
                }
                if frame.section != Section::Always && !block.always.is_empty() {
                    // A rescue that fails has not rolled back.
                    frame.rolled_back = false;
                    frame.section = Section::Always;
                    frame.index = 0;
                    return Caught::Nothing;
                }
            }
            self.frames.pop();
        }
        Caught::Nothing
    }

    /// After a roll-back: outer `always` sections still run, outer rescues do not.
    fn unwind_past_rescues(&mut self) {
        while let Some(frame) = self.frames.last_mut() {
            if let Kind::Block(block) = &frame.kind
                && frame.section != Section::Always
                && !block.always.is_empty()
            {
                frame.failing = Some(Cause::Fatal);
                frame.section = Section::Always;
                frame.index = 0;
                return;
            }
            self.frames.pop();
        }
    }
}
