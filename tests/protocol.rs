//! The protocol of transactions, explored: every interleaving of three hosts, the controller, and a recovery that begins at any
//! moment, with crashes, losses and delays of messages, within bounds.
//!
//! Hosts and controllers decide by [`rappel::wire::protocol`], as the program does. What is modelled here is the world: disks
//! that lose what was not synced, messages that come late or never, processes that end between any two things they do.

use std::collections::HashSet;

use rappel::wire::protocol::{Act, Answer, Ask, Closing, End, Known, Phase, Ruling};

const HOSTS: usize = 3;
const COORDINATOR: usize = 0;

/// What the tasks of the transaction did to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Effects {
    Old,
    /// Done, but a loss of power may take it back.
    Cached,
    New,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Host {
    journal: Option<Phase>,
    effects: Effects,
}

/// A question on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    who: usize,
    ask: Ask,
    /// Which controller waits for the answer; `None` when it gave up, or is no more.
    from: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Controller {
    Gone,
    /// Asks the journals, one by one.
    Listing(Vec<Option<Known>>),
    Closing(Closing),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    hosts: [Host; HOSTS],
    controllers: Vec<Controller>,
    questions: Vec<Question>,
    crashes: u8,
    losses: u8,
    recoveries: u8,
}

/// Rules taken out of the protocol, to see that the explorer notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// The effects are not brought to disk before the vote.
    SyncBeforeVote,
    /// Who does not know a transaction refuses to abort it.
    PresumedAbort,
    /// A host that starts again goes on where it was.
    UndoAfterRestart,
    /// A recovery that finds no decision aborts everywhere at once, not where the decision would be first.
    ForbiddingFirst,
    /// A controller that does not hear of its decision takes it for not written.
    DoubtAboutDecision,
    /// The dead-man's timer also undoes on a host that has voted.
    PatienceAfterVote,
    /// The coordinator host forgets the decision with the others, not after them.
    SealingLast,
}

struct Explorer {
    without: Without,
    seen: HashSet<World>,
    waiting: Vec<World>,
    committed: u64,
    undone: u64,
}

impl Explorer {
    fn acts(&self, phase: Option<Phase>, ask: Ask) -> Ruling {
        match (self.without, Phase::rule(phase, ask)) {
            (Without::PresumedAbort, _) if phase.is_none() && ask == Ask::Abort => Ruling::Refuse,
            (Without::SyncBeforeVote, Ruling::Do([Act::SyncEffects, ..])) => Ruling::Do(&[Act::Write(Phase::Prepared)]),
            (_, ruling) => ruling,
        }
    }

    fn heal(&self, phase: Phase) -> &'static [Act] {
        match (self.without, phase) {
            (Without::PatienceAfterVote, Phase::Prepared) => Phase::Open.heal(),
            _ => phase.heal(),
        }
    }

    fn settle(&self, known: &[Known]) -> Closing {
        let closing = Closing::settle(known, COORDINATOR);
        let aborts = closing.questions().iter().any(|(_, ask)| *ask == Ask::Abort);
        match self.without {
            Without::ForbiddingFirst if aborts => Closing::abort(HOSTS, COORDINATOR),
            _ => closing,
        }
    }

    fn add(&mut self, world: World) {
        if self.seen.insert(world.clone()) {
            self.waiting.push(world);
        }
    }

    /// Explores everything from `start`; says what is wrong, if anything is.
    fn explore(&mut self, start: World) -> Result<(), String> {
        self.add(start);
        while let Some(world) = self.waiting.pop() {
            if world.controllers.iter().all(|controller| matches!(controller, Controller::Gone)) {
                self.verify(world.clone())?;
            }
            for next in self.successors(&world) {
                self.add(next);
            }
        }
        Ok(())
    }

    fn successors(&self, world: &World) -> Vec<World> {
        let mut all = Vec::new();
        self.deliveries(world, &mut all);
        for index in 0..world.controllers.len() {
            self.controller(world, index, &mut all);
        }
        for (who, host) in world.hosts.iter().enumerate() {
            if let Some(phase) = host.journal {
                let healed = self.perform(*host, self.heal(phase));
                if healed != *host {
                    let mut next = world.clone();
                    next.hosts[who] = healed;
                    all.push(next);
                }
            }
            if world.crashes > 0 {
                all.extend(self.crash(world, who, *host));
            }
        }
        if world.recoveries > 0 {
            let mut next = world.clone();
            next.recoveries -= 1;
            next.controllers.push(Controller::Listing(vec![None; HOSTS]));
            all.push(next);
        }
        all
    }

    /// A question arrives; the host answers, or dies at any point of it; the answer arrives, or is lost, or is asked for again.
    fn deliveries(&self, world: &World, all: &mut Vec<World>) {
        for index in 0..world.questions.len() {
            let mut world = world.clone();
            let Question { who, ask, from } = world.questions.remove(index);
            let host = world.hosts[who];
            let (acts, answer): (&[Act], _) = match self.acts(host.journal, ask) {
                Ruling::Do(acts) => (acts, Answer::Done),
                Ruling::Refuse => (&[], Answer::Refused(host.journal)),
            };
            let mut done = world.clone();
            done.hosts[who] = self.perform(host, acts);
            if from.is_some() && world.losses > 0 {
                let mut lost = done.clone();
                lost.losses -= 1;
                all.push(ask_again(&lost, who, ask, from));
                self.tell(&mut lost, from, who, ask, Answer::Lost);
                all.push(lost);
            }
            self.tell(&mut done, from, who, ask, answer);
            all.push(done);
            for count in 0..=acts.len() {
                if world.crashes > 0 {
                    for mut dead in self.crash(&world, who, self.perform(host, &acts[..count])) {
                        all.extend(from.is_some().then(|| ask_again(&dead, who, ask, from)));
                        self.tell(&mut dead, from, who, ask, Answer::Lost);
                        all.push(dead);
                    }
                }
            }
        }
    }

    /// What controller number `index` may do, or what may happen to it.
    fn controller(&self, world: &World, index: usize, all: &mut Vec<World>) {
        match &world.controllers[index] {
            Controller::Gone => return,
            Controller::Listing(known) => {
                let who = known.iter().position(Option::is_none).unwrap();
                let mut answers = vec![Known::Phase(world.hosts[who].journal)];
                answers.extend((world.losses > 0).then_some(Known::Unreachable));
                for answer in answers {
                    let mut next = world.clone();
                    next.losses -= u8::from(answer == Known::Unreachable);
                    let mut known = known.clone();
                    known[who] = Some(answer);
                    if known.iter().all(Option::is_some) {
                        let known: Vec<_> = known.into_iter().flatten().collect();
                        self.ask(&mut next, index, self.settle(&known));
                    } else {
                        next.controllers[index] = Controller::Listing(known);
                    }
                    all.push(next);
                }
            }
            Controller::Closing(_) if world.losses > 0 => {
                // It gives up on a question that is still on its way.
                for (number, question) in world.questions.iter().enumerate().filter(|(_, question)| question.from == Some(index)) {
                    let mut next = world.clone();
                    next.losses -= 1;
                    next.questions[number].from = None;
                    self.tell(&mut next, Some(index), question.who, question.ask, Answer::Lost);
                    all.push(next);
                }
            }
            Controller::Closing(_) => {}
        }
        if world.crashes > 0 {
            let mut next = world.clone();
            next.crashes -= 1;
            leave(&mut next, index);
            all.push(next);
        }
    }

    fn tell(&self, world: &mut World, from: Option<usize>, who: usize, ask: Ask, answer: Answer) {
        let Some(index) = from else { return };
        let Controller::Closing(closing) = &world.controllers[index] else { return };
        let mut closing = closing.clone();
        closing.hear(who, answer);
        if self.without == Without::DoubtAboutDecision && ask == Ask::Decide && answer == Answer::Lost {
            closing = Closing::abort(HOSTS, COORDINATOR);
        }
        if self.without == Without::SealingLast && ask == Ask::Decide && answer == Answer::Done {
            // The record goes at once, and with it what a recovery would ask for.
            world.hosts[COORDINATOR].journal = None;
        }
        self.ask(world, index, closing);
    }

    /// Sends what `closing` has to ask and has not asked yet.
    fn ask(&self, world: &mut World, index: usize, closing: Closing) {
        for (who, ask) in closing.questions() {
            let known = |question: &Question| question.from == Some(index) && question.who == who && question.ask == ask;
            if !world.questions.iter().any(known) {
                world.questions.push(Question { who, ask, from: Some(index) });
            }
        }
        if closing.end().is_some() {
            leave(world, index);
        } else {
            world.controllers[index] = Controller::Closing(closing);
        }
        world.questions.sort_by_key(|question| (question.who, question.ask, question.from));
    }

    fn perform(&self, mut host: Host, acts: &[Act]) -> Host {
        for act in acts {
            match act {
                Act::SyncEffects if host.effects == Effects::Cached => host.effects = Effects::New,
                Act::SyncEffects => {}
                Act::Write(phase) => host.journal = Some(*phase),
                Act::Undo => host.effects = Effects::Old,
            }
        }
        host
    }

    /// Nobody works any more: a recovery that reaches everybody must leave the fleet whole, also when late messages come after it.
    fn verify(&mut self, mut world: World) -> Result<(), String> {
        let before = world.clone();
        for _ in 0..2 {
            let known: Vec<_> = world.hosts.iter().map(|host| Known::Phase(host.journal)).collect();
            if !world.hosts.iter().any(|host| host.journal.is_some_and(Phase::is_open)) {
                break;
            }
            let mut closing = self.settle(&known);
            while let Some((who, ask)) = closing.questions().first().copied() {
                closing.hear(who, self.answer(&mut world, who, ask));
            }
            if matches!(closing.end(), Some(End::InDoubt | End::Contradiction)) {
                return Err(format!("{:?} of {before:?}", closing.end()));
            }
        }
        for question in std::mem::take(&mut world.questions) {
            self.answer(&mut world, question.who, question.ask);
        }
        let open = world.hosts.iter().any(|host| host.journal.is_some_and(Phase::is_open));
        let all = |wanted: &[Effects]| world.hosts.iter().all(|host| wanted.contains(&host.effects));
        let (new, old) = (all(&[Effects::New, Effects::Cached]), all(&[Effects::Old]));
        if open || !(new || old) {
            return Err(format!("{:?} from {before:?}", world.hosts));
        }
        self.committed += u64::from(new);
        self.undone += u64::from(old);
        Ok(())
    }

    fn answer(&self, world: &mut World, who: usize, ask: Ask) -> Answer {
        let host = world.hosts[who];
        match self.acts(host.journal, ask) {
            Ruling::Do(acts) => {
                world.hosts[who] = self.perform(host, acts);
                Answer::Done
            }
            Ruling::Refuse => Answer::Refused(host.journal),
        }
    }

    /// Host `who` loses power in the state `host`, and comes back with what was on its disk.
    fn crash(&self, world: &World, who: usize, host: Host) -> Vec<World> {
        let journal = match self.without {
            Without::UndoAfterRestart => host.journal,
            _ => host.journal.map(Phase::restarted),
        };
        let survives: &[Effects] = match host.effects {
            Effects::Cached => &[Effects::Old, Effects::New],
            Effects::Old => &[Effects::Old],
            Effects::New => &[Effects::New],
        };
        survives
            .iter()
            .map(|effects| {
                let mut next = world.clone();
                next.crashes -= 1;
                next.hosts[who] = Host { journal, effects: *effects };
                next
            })
            .collect()
    }
}

/// A controller that got no answer asks once more, over a new connection.
fn ask_again(world: &World, who: usize, ask: Ask, from: Option<usize>) -> World {
    let mut world = world.clone();
    world.questions.push(Question { who, ask, from });
    world.questions.sort_by_key(|question| (question.who, question.ask, question.from));
    world
}

/// The controller is no more; its questions may still arrive.
fn leave(world: &mut World, index: usize) {
    world.controllers[index] = Controller::Gone;
    for question in world.questions.iter_mut().filter(|question| question.from == Some(index)) {
        question.from = None;
    }
    world.questions.sort_by_key(|question| (question.who, question.ask, question.from));
    world.questions.dedup();
}

fn explore(without: Without, crashes: u8, losses: u8, recoveries: u8) -> Result<(u64, u64, usize), String> {
    let mut explorer = Explorer { without, seen: HashSet::new(), waiting: Vec::new(), committed: 0, undone: 0 };
    let worked = Host { journal: Some(Phase::Open), effects: Effects::Cached };
    let untouched = Host { journal: None, effects: Effects::Old };
    for hosts in [[worked; HOSTS], [untouched, worked, worked], [worked, worked, untouched]] {
        for closing in [Closing::commit(HOSTS, COORDINATOR), Closing::abort(HOSTS, COORDINATOR)] {
            let mut world = World { hosts, controllers: vec![Controller::Gone], questions: Vec::new(), crashes, losses, recoveries };
            explorer.ask(&mut world, 0, closing);
            explorer.explore(world)?;
        }
    }
    Ok((explorer.committed, explorer.undone, explorer.seen.len()))
}

#[test]
fn every_interleaving_ends_whole() {
    ends_whole(&[(1, 1, 1)]);
}

#[test]
#[ignore = "takes a minute"]
fn every_interleaving_within_wider_bounds_ends_whole() {
    ends_whole(&[(2, 0, 1), (0, 2, 1), (1, 0, 2), (2, 1, 1)]);
}

fn ends_whole(bounds: &[(u8, u8, u8)]) {
    for &(crashes, losses, recoveries) in bounds {
        let (committed, undone, states) = explore(Without::Nothing, crashes, losses, recoveries).unwrap();
        assert!(committed > 0 && undone > 0, "both ends must be possible");
        println!("{crashes} crashes, {losses} losses, {recoveries} recoveries: {states} states, ends: {committed} new, {undone} old");
    }
}

#[test]
fn each_rule_is_needed() {
    for without in [
        Without::SyncBeforeVote,
        Without::PresumedAbort,
        Without::UndoAfterRestart,
        Without::ForbiddingFirst,
        Without::DoubtAboutDecision,
        Without::PatienceAfterVote,
        Without::SealingLast,
    ] {
        let found =
            [(1, 1, 1), (2, 0, 1)].iter().find_map(|(crashes, losses, recoveries)| explore(without, *crashes, *losses, *recoveries).err());
        assert!(found.is_some(), "nothing is amiss without {without:?}");
    }
}

#[test]
fn nothing_is_decided_or_committed_without_a_vote() {
    for phase in [None, Some(Phase::Open), Some(Phase::Undoing), Some(Phase::Undone)] {
        for ask in [Ask::Decide, Ask::Commit] {
            assert_eq!(Phase::rule(phase, ask), Ruling::Refuse, "{phase:?} {ask:?}");
        }
    }
}
