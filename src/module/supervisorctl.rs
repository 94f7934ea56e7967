//! Starts, stops and lists programs of supervisord.
//!
//! ```yaml
//! - supervisorctl: {name: "shop:", state: restarted}
//! ```
//!
//! `supervisorctl` does the work. It takes its password as an argument or from its own configuration, which is the better place.

use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// What is wanted of the program.
    pub enum State {
        Present = "present", Started = "started", Stopped = "stopped", Restarted = "restarted", Absent = "absent", Signalled = "signalled",
    }
}

params! {
    pub struct Supervisorctl {
        /// The program; with a colon at its end, a group; `all`.
        name: String,
        /// What is wanted: that it is known to supervisord, runs, does not run.
        state: State,
        /// The configuration of supervisord.
        config: Option<PathText>,
        /// Where supervisord listens.
        server_url: Option<String>,
        /// The user to log in as.
        username: Option<String>,
        /// The password of that one.
        password: Option<String>,
        /// The program `supervisorctl`.
        supervisorctl_path: Option<PathText>,
        /// The signal of `signalled`.
        signal: Option<String>,
        /// Stop what runs before `absent` removes it.
        stop_before_removing: bool = false,
    }
    rules = [Rule::When("state", "signalled", &["signal"])];
}

/// States that supervisord has for a process.
const STATES: [&str; 8] = ["STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "UNKNOWN"];

struct Process {
    name: String,
    runs: bool,
}

impl Module for Supervisorctl {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let program = match &self.supervisorctl_path {
            Some(path) => machine.path(&path.0).display().to_string(),
            None => machine.program("supervisorctl")?,
        };
        let name = self.name.trim_end_matches(':').to_owned();
        if self.state == State::Restarted && !machine.checking() {
            self.tell(machine, &program, &["update"], Undo::Nothing)?;
        }
        let processes = self.processes(machine, &program)?;
        if processes.is_empty() && !matches!(self.state, State::Present | State::Absent) {
            return Err(Failure::new("ERROR (no such process)").with("name", self.name));
        }
        let affected = match self.state {
            State::Present => {
                if processes.is_empty() {
                    self.tell(machine, &program, &["reread"], Undo::Nothing)?;
                    let undo = self.undo("remove what supervisord runs as", &program, &["remove", &name]);
                    self.expect(machine, &program, &["add", &name], undo, ": added process group")?;
                }
                Vec::new()
            }
            State::Absent => {
                if !processes.is_empty() {
                    if self.stop_before_removing {
                        self.each(machine, &program, &processes, "stop")?;
                    }
                    self.tell(machine, &program, &["reread"], Undo::Nothing)?;
                    let undo = self.undo("let supervisord know again", &program, &["add", &name]);
                    self.expect(machine, &program, &["remove", &name], undo, ": removed process group")?;
                }
                Vec::new()
            }
            State::Started => self.each(machine, &program, &running(processes, false), "start")?,
            State::Stopped => self.each(machine, &program, &running(processes, true), "stop")?,
            State::Signalled => self.each(machine, &program, &running(processes, true), "signal")?,
            State::Restarted => self.each(machine, &program, &processes, "restart")?,
        };
        let outcome = machine.outcome().with("name", name).with("state", self.state.word());
        Ok(if outcome.changed && !affected.is_empty() { outcome.with("affected", affected) } else { outcome })
    }
}

fn running(mut processes: Vec<Process>, runs: bool) -> Vec<Process> {
    processes.retain(|process| process.runs == runs);
    processes
}

impl Supervisorctl {
    fn command(&self, program: &str, words: &[&str], machine: &Machine) -> Command {
        let config = self.config.as_ref().map(|path| machine.path(&path.0).display().to_string());
        let options = [("-c", &config), ("-s", &self.server_url), ("-u", &self.username), ("-p", &self.password)];
        let given = options.into_iter().filter_map(|(option, value)| value.as_deref().map(|value| [option, value]));
        Command::new(program).args(given.flatten()).args(words).plain()
    }

    /// The processes that are meant.
    fn processes(&self, machine: &Machine, program: &str) -> Result<Vec<Process>, Failure> {
        let command = self.command(program, &["status"], machine);
        let ran = machine.query(&command)?;
        let text = ran.stdout_text();
        let group = self.name.strip_suffix(':');
        let mut processes = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let mut words = line.split_whitespace();
            let (Some(name), Some(state)) = (words.next(), words.next().filter(|state| STATES.contains(state))) else {
                return Err(ran.failure(&command).with("name", self.name.as_str()));
            };
            let meant = match group {
                Some(group) => name.split_once(':').is_some_and(|(of, _)| of == group),
                None => name == self.name || self.name == "all",
            };
            if meant {
                processes.push(Process { name: name.to_owned(), runs: matches!(state, "RUNNING" | "STARTING") });
            }
        }
        Ok(processes)
    }

    fn each(&self, machine: &mut Machine, program: &str, processes: &[Process], verb: &str) -> Result<Vec<String>, Failure> {
        let mut affected = Vec::new();
        for process in processes {
            let name = process.name.as_str();
            let (words, done, undo) = match verb {
                "start" => (vec!["start", name], ": started", self.undo("stop", program, &["stop", name])),
                "stop" => (vec!["stop", name], ": stopped", self.undo("start", program, &["start", name])),
                "restart" if process.runs => (vec!["restart", name], ": started", self.restarted(program, name)),
                "restart" => (vec!["restart", name], ": started", self.undo("stop", program, &["stop", name])),
                _ => {
                    let signal = self.signal.as_deref().unwrap_or_default();
                    (vec!["signal", signal, name], ": signalled", Undo::Impossible(format!("signal {signal} to {name}")))
                }
            };
            self.expect(machine, program, &words, undo, done)?;
            affected.push(process.name.clone());
        }
        Ok(affected)
    }

    /// Says it, and fails unless supervisord answers that it is done.
    fn expect(&self, machine: &mut Machine, program: &str, words: &[&str], undo: Undo, done: &str) -> Result<(), Failure> {
        let ran = self.tell(machine, program, words, undo)?;
        machine.mark_changed();
        if machine.checking() || ran.stdout_text().contains(done) {
            return Ok(());
        }
        Err(Failure::new(ran.stdout_text().trim().to_owned()).with("name", self.name.as_str()).with("state", self.state.word()))
    }

    fn tell(&self, machine: &mut Machine, program: &str, words: &[&str], undo: Undo) -> Result<Completed, Failure> {
        if machine.checking() {
            return Ok(Completed::default());
        }
        let command = self.command(program, words, machine);
        let ran = machine.attempt(&command, undo)?;
        if ran.succeeded() || !ran.stdout.is_empty() { Ok(ran) } else { Err(ran.failure(&command).with("name", self.name.as_str())) }
    }

    fn undo(&self, what: &str, program: &str, words: &[&str]) -> Undo {
        let shown = format!("{what} {}", words.last().unwrap_or(&""));
        match &self.password {
            // The journal keeps no passwords.
            Some(_) => Undo::Impossible(format!("{shown} would need the password of supervisord")),
            None => Undo::by(shown, &self.command(program, words, &Machine::default())),
        }
    }

    fn restarted(&self, program: &str, name: &str) -> Undo {
        match self.undo("restart", program, &["restart", name]) {
            Undo::Command(shown, words) => Undo::Afterwards(shown, words),
            other => other,
        }
    }
}
