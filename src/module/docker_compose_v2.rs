//! Runs the services of a Compose project.
//!
//! ```yaml
//! - docker_compose_v2: {project_src: /srv/shop, pull: always, wait: true}
//! ```
//!
//! The host's `docker compose` does the work: what a Compose file means is known by nobody else. Undo stops what was started, and
//! cannot bring back containers that were replaced.

use super::prelude::*;
use crate::machine::Undo;

choice! {
    /// How the services shall be.
    pub enum State { Present = "present", Absent = "absent", Stopped = "stopped", Restarted = "restarted" }
}
choice! {
    /// When images are fetched.
    pub enum Pull { Always = "always", Missing = "missing", Never = "never", Policy = "policy" }
}
choice! {
    /// When images are built.
    pub enum Build { Always = "always", Never = "never", Policy = "policy" }
}
choice! {
    /// When containers are replaced.
    pub enum Recreate { Always = "always", Never = "never", Auto = "auto" }
}

params! {
    pub struct DockerComposeV2 {
        /// The directory of the project.
        project_src: Option<PathText>,
        /// Its name.
        project_name: Option<String>,
        /// Its files, in that directory.
        files: Vec<String> = Vec::<String>::new(),
        /// The project itself, instead of a directory.
        definition: Option<Map>,
        /// Files with its environment.
        env_files: Vec<String> = Vec::<String>::new(),
        /// Profiles to use.
        profiles: Vec<String> = Vec::<String>::new(),
        /// Only these services.
        services: Vec<String> = Vec::<String>::new(),
        /// How they shall be.
        state: State = State::Present,
        /// When images are fetched.
        pull: Pull = Pull::Policy,
        /// When images are built.
        build: Build = Build::Policy,
        /// When containers are replaced.
        recreate: Recreate = Recreate::Auto,
        /// Start what a service depends on, too.
        dependencies: bool = true,
        /// Remove containers of services that are not in the project any more.
        remove_orphans: bool = false,
        /// Remove images with `absent`: `all` or `local`.
        remove_images: Option<String>,
        /// Remove volumes with `absent`.
        remove_volumes: bool = false,
        /// Renew volumes that nothing names.
        renew_anon_volumes: bool = false,
        /// How many containers a service has.
        scale: Option<Map>,
        /// Wait until everything runs and is well.
        wait: bool = false,
        /// For how long, in seconds.
        wait_timeout: Option<i64>,
        /// How long containers have to stop, in seconds.
        timeout: Option<i64>,
        /// Answer questions with yes.
        assume_yes: bool = false,
        /// Another context of the program.
        docker_context: Option<String>,
        /// Where the engine listens.
        docker_host | docker_url: Option<String>,
    }
    rules = [Rule::OneOf(&["project_src", "definition"]), Rule::Exclusive(&["project_src", "definition"])];
}

/// What Compose says of a step, when something was done.
const DONE: [&str; 9] = ["Created", "Recreated", "Started", "Stopped", "Removed", "Restarted", "Pulled", "Built", "Killed"];

impl Module for DockerComposeV2 {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let file = match &self.definition {
            Some(definition) => {
                let text = serde_json::to_string(definition).map_err(|error| Failure::new(error.to_string()))?;
                Some(machine.spooled(&text.into())?.display().to_string())
            }
            None => None,
        };
        let base = self.base(file.as_deref(), machine);
        let asked = machine.query(&base.clone().arg("version"))?;
        if !asked.succeeded() {
            return Err(Failure::new(format!("this host has no `docker compose`: {}", asked.stderr_text().trim())));
        }
        let mut actions = Vec::new();
        let mut output = String::new();
        for words in self.steps() {
            let mut command = base.clone();
            if machine.checking() {
                command = command.arg("--dry-run");
            }
            let command = command.args(words.iter().map(String::as_str));
            let ran = if machine.checking() { machine.query(&command)? } else { machine.attempt(&command, self.undo(&base, &words))? };
            if !ran.succeeded() {
                let stderr = ran.stderr_text();
                let msg = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned();
                return Err(Failure { msg: format!("Error when processing: {msg}"), ..ran.failure(&command) }.with("actions", actions));
            }
            actions.extend(events(&ran.stderr_text()));
            output.push_str(&ran.stdout_text());
        }
        if !actions.is_empty() {
            machine.mark_changed();
        }
        let containers = listed(&machine.query(&base.clone().args(["ps", "--all", "--format", "json"]))?.stdout_text());
        let images = listed(&machine.query(&base.args(["images", "--format", "json"]))?.stdout_text());
        Ok(machine.outcome().with("actions", actions).with("containers", containers).with("images", images).with("stdout", output))
    }
}

/// What a list in JSON, or a line of JSON each, has.
fn listed(text: &str) -> Value {
    match serde_json::from_str::<Value>(text) {
        Ok(list @ Value::List(_)) => list,
        _ => Value::List(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
    }
}

/// The steps that did something: ` Container shop-web-1  Started`.
fn events(text: &str) -> Vec<Value> {
    let mut events = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.trim().trim_start_matches("DRY-RUN MODE - ").split_whitespace().collect();
        let (what, id, status) = match words.as_slice() {
            [what @ ("Container" | "Network" | "Volume" | "Image" | "Service"), id, status, ..] => (*what, *id, *status),
            [id, status @ ("Pulled" | "Built"), ..] => ("image", *id, *status),
            _ => continue,
        };
        if DONE.contains(&status) {
            let fields = [("what", what.to_ascii_lowercase()), ("id", id.trim_matches('"').to_owned()), ("status", status.to_owned())];
            events.push(Value::Map(fields.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect()));
        }
    }
    events
}

impl DockerComposeV2 {
    fn base(&self, file: Option<&str>, machine: &Machine) -> Command {
        let mut command = Command::new("docker").plain();
        if let Some(context) = &self.docker_context {
            command = command.args(["--context", context.as_str()]);
        } else if let Some(host) = &self.docker_host {
            command = command.args(["--host", host.as_str()]);
        }
        command = command.args(["compose", "--ansi", "never", "--progress", "plain"]);
        if let Some(directory) = &self.project_src {
            let directory = machine.path(&directory.0);
            command = command.arg("--project-directory").arg(&directory);
            command.chdir = Some(directory);
        }
        if let Some(file) = file {
            command = command.args(["--file", file]);
        }
        let lists = [("--file", &self.files), ("--env-file", &self.env_files), ("--profile", &self.profiles)];
        for (option, values) in lists {
            command = command.args(values.iter().flat_map(|value| [option, value.as_str()]));
        }
        if let Some(name) = &self.project_name {
            command = command.args(["--project-name", name.as_str()]);
        }
        command
    }

    fn steps(&self) -> Vec<Vec<String>> {
        let mut steps: Vec<Vec<String>> = Vec::new();
        let mut words: Vec<String> = Vec::new();
        let timeout = self.timeout.map(|seconds| ["--timeout".to_owned(), seconds.to_string()]);
        let switch = |words: &mut Vec<String>, wanted: bool, text: &str| words.extend(wanted.then(|| text.to_owned()));
        match self.state {
            State::Present => {
                words.extend(["up", "--detach"].map(str::to_owned));
                switch(&mut words, self.pull != Pull::Policy, "--pull");
                words.extend((self.pull != Pull::Policy).then(|| self.pull.word().to_owned()));
                switch(&mut words, self.build == Build::Always, "--build");
                switch(&mut words, self.build == Build::Never, "--no-build");
                switch(&mut words, self.recreate == Recreate::Always, "--force-recreate");
                switch(&mut words, self.recreate == Recreate::Never, "--no-recreate");
                switch(&mut words, !self.dependencies, "--no-deps");
                switch(&mut words, self.remove_orphans, "--remove-orphans");
                switch(&mut words, self.renew_anon_volumes, "--renew-anon-volumes");
                switch(&mut words, self.assume_yes, "--yes");
                switch(&mut words, self.wait, "--wait");
                words.extend(self.wait_timeout.iter().flat_map(|seconds| ["--wait-timeout".to_owned(), seconds.to_string()]));
                words.extend(self.scale.iter().flatten().flat_map(|(name, count)| ["--scale".to_owned(), format!("{name}={}", count.to_text())]));
            }
            State::Stopped => {
                steps.push(["create", "--no-recreate"].map(str::to_owned).into_iter().chain(self.services.iter().cloned()).collect());
                words.push("stop".to_owned());
            }
            State::Restarted => words.push("restart".to_owned()),
            State::Absent => {
                words.push("down".to_owned());
                switch(&mut words, self.remove_orphans, "--remove-orphans");
                switch(&mut words, self.remove_volumes, "--volumes");
                words.extend(self.remove_images.iter().flat_map(|which| ["--rmi".to_owned(), which.clone()]));
            }
        }
        words.extend(timeout.into_iter().flatten());
        words.extend(self.services.iter().cloned());
        steps.push(words);
        steps
    }

    fn undo(&self, base: &Command, words: &[String]) -> Undo {
        let back = match self.state {
            State::Present if self.definition.is_none() => "stop",
            State::Stopped if self.definition.is_none() => "start",
            _ => return Undo::Impossible(format!("docker compose {}", words.join(" "))),
        };
        let argv = base.argv.iter().map(|word| word.to_string_lossy().into_owned());
        let argv = argv.chain([back.to_owned()]).chain(self.services.iter().cloned()).collect();
        Undo::Command(format!("{back} the services of the project again"), argv)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Declared as _;
    use super::*;

    #[test]
    fn steps_that_did_something_are_actions() {
        let text = " Network shop_default  Creating\n Network shop_default  Created\n Container shop-web-1  Running\n DRY-RUN MODE -  Container shop-db-1  Started\n web Pulled\n";
        let found: Vec<String> = events(text).iter().map(|event| event.get("id").unwrap().to_text()).collect();
        assert_eq!(found, ["shop_default", "shop-db-1", "web"]);
    }

    #[test]
    fn parameters_become_words() {
        let steps = |text: &str| DockerComposeV2::decode(&serde_json::from_str(text).unwrap()).unwrap().steps();
        assert_eq!(
            steps(r#"{"project_src": "/s", "pull": "always", "wait": true, "services": ["web"], "scale": {"web": 2}}"#),
            [["up", "--detach", "--pull", "always", "--wait", "--scale", "web=2", "web"]]
        );
        assert_eq!(steps(r#"{"project_src": "/s", "state": "absent", "remove_volumes": true}"#), [["down", "--volumes"]]);
    }
}
