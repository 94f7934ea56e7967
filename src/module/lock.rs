//! The deployment lock: a queue of tickets in a directory of the coordinator host. Internal: `rappel deploy` calls it, playbooks need not.
//!
//! First come, first served. Whoever is first in the queue holds the lock while its lease lasts; each call under a ticket
//! renews the lease. Times are the coordinator host's alone, so that controllers' clocks do not matter. A holder whose
//! lease ran out is not pushed aside in silence: the next in line is told who it was, and takes over when it says so.
//!
//! ```yaml
//! - lock: {directory: /var/lib/rappel/deploy, action: take, owner: {user: alice}, reason: "release 1.2", lease: 60}
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::prelude::*;

choice! {
    /// What to do with the queue.
    pub enum Action {
        Take = "take",
        Renew = "renew",
        TakeOver = "take_over",
        Leave = "leave",
        Release = "release",
        Show = "show",
    }
}

params! {
    /// The lock.
    pub struct Lock {
        /// Where the queue is kept; made when missing.
        directory: PathText,
        /// `take` draws a ticket, `renew` keeps it alive and asks for its turn, `take_over` removes a dead holder,
        /// `leave` keeps the ticket but lets its lease end now, `release` gives the ticket back, `show` lists the queue.
        action: Action,
        /// The ticket, for all but `take` and `show`.
        ticket: Option<i64>,
        /// Who asks: shown to those who wait.
        owner: Option<Map>,
        /// What for.
        reason: Option<String>,
        /// Seconds without a call after which the ticket counts as dead; 0 for never.
        lease: i64 = 60,
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Queue {
    /// The number of the next ticket. It only grows, so that it also fences: an older holder has a smaller number.
    next: i64,
    tickets: Vec<Ticket>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Ticket {
    number: i64,
    owner: Map,
    reason: String,
    lease: i64,
    /// Seconds since the epoch, by this host's clock.
    taken: i64,
    renewed: i64,
}

impl Ticket {
    fn is_dead(&self, now: i64) -> bool {
        // A clock that was set back must not kill anybody: then the age is negative, and the ticket lives.
        self.lease > 0 && now - self.renewed > self.lease
    }

    fn show(&self, now: i64) -> Value {
        Value::Map(Map::from_iter([
            ("ticket".to_owned(), Value::Int(self.number)),
            ("owner".to_owned(), Value::Map(self.owner.clone())),
            ("reason".to_owned(), self.reason.as_str().into()),
            ("taken".to_owned(), Value::Int(self.taken)),
            ("age".to_owned(), Value::Int((now - self.taken).max(0))),
            ("silent".to_owned(), Value::Int((now - self.renewed).max(0))),
            ("lease".to_owned(), Value::Int(self.lease)),
            ("dead".to_owned(), Value::Bool(self.is_dead(now))),
        ]))
    }
}

impl Queue {
    fn take(&mut self, owner: Map, reason: String, lease: i64, now: i64) -> i64 {
        self.next += 1;
        self.tickets.push(Ticket { number: self.next, owner, reason, lease, taken: now, renewed: now });
        self.next
    }

    fn position(&self, number: i64) -> Result<usize, Failure> {
        self.tickets.iter().position(|ticket| ticket.number == number).ok_or_else(|| {
            Failure::new(format!("ticket {number} is not in the queue: its lease ran out and another took over, or it was released"))
                .with("lost", true)
        })
    }

    fn renew(&mut self, number: i64, now: i64) -> Result<(), Failure> {
        let position = self.position(number)?;
        if let Some(ticket) = self.tickets.get_mut(position) {
            ticket.renewed = now;
        }
        // Those who died while they waited hold nothing, so nobody needs to look after them. The holder is another matter.
        let mut index = 0;
        self.tickets.retain(|ticket| {
            index += 1;
            index == 1 || !ticket.is_dead(now)
        });
        Ok(())
    }

    fn take_over(&mut self, number: i64, now: i64) -> Result<(), Failure> {
        self.renew(number, now)?;
        if self.position(number)? == 1 && self.tickets.first().is_some_and(|holder| holder.is_dead(now)) {
            self.tickets.remove(0);
            return Ok(());
        }
        Err(Failure::new(format!("ticket {number} cannot take over: the holder is alive, or others come first")))
    }

    fn leave(&mut self, number: i64, now: i64) -> Result<(), Failure> {
        let position = self.position(number)?;
        if let Some(ticket) = self.tickets.get_mut(position) {
            ticket.renewed = now - ticket.lease - 1;
        }
        Ok(())
    }

    fn outcome(&self, number: Option<i64>, now: i64) -> Result<Outcome, Failure> {
        let queue = Value::List(self.tickets.iter().map(|ticket| ticket.show(now)).collect());
        let mut outcome = Outcome::default().with("queue", queue);
        if let Some(number) = number {
            let ahead = self.position(number)?;
            outcome = outcome.with("ticket", number).with("ahead", i64::try_from(ahead).unwrap_or(i64::MAX)).with("held", ahead == 0);
        }
        Ok(outcome)
    }
}

impl Module for Lock {
    // Undone with the transaction, the lock would open in the middle of the rollback.
    const REVERSIBLE: Reversible = Reversible::ReadOnly;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let directory = machine.path(&self.directory.0);
        let wrong = |what: &str, error: &io::Error| Failure::new(format!("cannot {what} the lock in {}: {error}", directory.display()));
        if matches!(self.action, Action::Show) && !directory.exists() {
            return Queue::default().outcome(None, now());
        }
        fs::create_dir_all(&directory).map_err(|error| wrong("make", &error))?;
        // Held until this call ends, also when it ends by a crash.
        let guard = File::create(directory.join("guard")).map_err(|error| wrong("open", &error))?;
        guard.lock().map_err(|error| wrong("guard", &error))?;
        let file = directory.join("queue.json");
        let mut queue = read(&file)?;
        let now = now();
        let wanted = || self.ticket.ok_or_else(|| Failure::new("missing required parameter `ticket`"));
        let ticket = match self.action {
            Action::Show => return queue.outcome(None, now),
            Action::Take => Some(queue.take(self.owner.unwrap_or_default(), self.reason.unwrap_or_default(), self.lease, now)),
            Action::Renew => {
                queue.renew(wanted()?, now)?;
                self.ticket
            }
            Action::TakeOver => {
                queue.take_over(wanted()?, now)?;
                self.ticket
            }
            Action::Leave => {
                queue.leave(wanted()?, now)?;
                self.ticket
            }
            Action::Release => {
                let position = queue.position(wanted()?)?;
                queue.tickets.remove(position);
                None
            }
        };
        write(&directory, &queue).map_err(|error| wrong("write", &error))?;
        queue.outcome(ticket, now)
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

fn read(file: &Path) -> Result<Queue, Failure> {
    match fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
            Failure::new(format!("{} is not a lock queue: {error}; move it away once no deployment runs", file.display()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Queue::default()),
        Err(error) => Err(Failure::new(format!("cannot read {}: {error}", file.display()))),
    }
}

fn write(directory: &Path, queue: &Queue) -> io::Result<()> {
    let fresh = directory.join("queue.json.new");
    let mut file = File::create(&fresh)?;
    file.write_all(&serde_json::to_vec(queue)?)?;
    file.sync_all()?;
    fs::rename(&fresh, directory.join("queue.json"))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(directory: &Path, action: &str, ticket: Option<i64>) -> Result<Outcome, Failure> {
        let mut params = Map::from_iter([
            ("directory".to_owned(), Value::from(directory.to_str().unwrap())),
            ("action".to_owned(), action.into()),
            ("reason".to_owned(), "test".into()),
        ]);
        if let Some(ticket) = ticket {
            params.insert("ticket".into(), Value::Int(ticket));
        }
        <Lock as super::super::Declared>::decode(&params).map_err(Failure::new)?.run(&mut Machine::default())
    }

    fn held(outcome: &Outcome) -> bool {
        outcome.data.get("held") == Some(&Value::Bool(true))
    }

    #[test]
    fn first_come_first_served_over_many_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let tickets: Vec<i64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|_| {
                    scope.spawn(|| match ask(directory.path(), "take", None).unwrap().data.get("ticket") {
                        Some(Value::Int(number)) => *number,
                        other => panic!("expected a ticket, found {other:?}"),
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut sorted = tickets.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (1..=16).collect::<Vec<_>>(), "each has its own number");
        for number in sorted {
            assert!(held(&ask(directory.path(), "renew", Some(number)).unwrap()), "it is {number}'s turn");
            for later in number + 1..=16 {
                assert!(!held(&ask(directory.path(), "renew", Some(later)).unwrap()));
            }
            ask(directory.path(), "release", Some(number)).unwrap();
        }
    }

    fn queue(tickets: &[(i64, i64, i64)]) -> Queue {
        let ticket =
            |&(number, lease, renewed)| Ticket { number, owner: Map::new(), reason: String::new(), lease, taken: 0, renewed };
        Queue { next: 9, tickets: tickets.iter().map(ticket).collect() }
    }

    #[test]
    fn a_dead_holder_is_taken_over_by_the_next_and_by_nobody_else() {
        let mut waiting = queue(&[(1, 60, 100), (2, 60, 200), (3, 60, 200)]);
        assert!(waiting.take_over(2, 160).is_err(), "60 s of silence are within the lease");
        assert!(waiting.take_over(3, 161).is_err(), "not its turn");
        waiting.take_over(2, 161).unwrap();
        assert_eq!(waiting.position(2).unwrap(), 0);
        assert_eq!(waiting.renew(1, 162).unwrap_err().data.get("lost"), Some(&Value::Bool(true)), "the old holder hears of it");
    }

    #[test]
    fn a_ticket_that_is_left_counts_as_dead_at_once() {
        let mut waiting = queue(&[(1, 60, 100), (2, 60, 100)]);
        waiting.leave(1, 100).unwrap();
        waiting.take_over(2, 100).unwrap();
        assert_eq!(waiting.position(2).unwrap(), 0);
    }

    #[test]
    fn the_dead_who_wait_go_and_a_dead_holder_stays_to_be_looked_at() {
        let mut waiting = queue(&[(1, 60, 0), (2, 60, 0), (3, 60, 1000)]);
        waiting.renew(3, 1000).unwrap();
        assert_eq!(waiting.tickets.iter().map(|ticket| ticket.number).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a_hold_without_lease_never_dies_nor_does_one_after_the_clock_went_back() {
        let mut waiting = queue(&[(1, 0, 0), (2, 60, 1_000_000)]);
        assert!(waiting.take_over(2, 1_000_000).is_err());
        assert!(!queue(&[(1, 60, 5000)]).tickets[0].is_dead(100));
    }

    #[test]
    fn a_queue_of_another_tool_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("queue.json"), "someone else's").unwrap();
        let failure = ask(directory.path(), "take", None).unwrap_err();
        assert!(failure.msg.contains("is not a lock queue"), "{}", failure.msg);
        assert_eq!(fs::read_to_string(directory.path().join("queue.json")).unwrap(), "someone else's");
    }
}
