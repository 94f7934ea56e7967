//! What a terminal shows while a run goes on: looked at in a real one, by `tmux`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const SITE: &str = "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Wait for the database\n      command: \"sleep {{ seconds }}\"\n    - name: Say so\n      debug: msg=done\n";

/// A terminal of its own, which ends with the test.
struct Terminal {
    socket: String,
}

impl Terminal {
    /// `None` where there is no `tmux`.
    fn start(folder: &Path, columns: u16, command: &str) -> Option<Self> {
        let terminal = Self { socket: folder.join("tmux").display().to_string() };
        let (columns, shell) = (columns.to_string(), format!("cd {} && {command}; echo ended; sleep 60", folder.display()));
        let mut tmux = terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", "40", &shell]);
        let Ok(out) = tmux.env("LC_ALL", "C.UTF-8").output() else {
            println!("skipped: `tmux` is not installed");
            return None;
        };
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-S", &self.socket]).args(arguments);
        command
    }

    fn screen(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p"]).output().unwrap().stdout).unwrap()
    }

    fn wait_for(&self, text: &str) -> String {
        let began = Instant::now();
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return screen;
            }
            assert!(began.elapsed() < Duration::from_secs(40), "`{text}` does not come:\n{screen}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).output();
    }
}

fn project(folder: &Path) -> String {
    fs::write(folder.join("hosts"), "web1 seconds=0\nweb2 seconds=8\n[all:vars]\nansible_connection=local\n").unwrap();
    fs::write(folder.join("site.yml"), SITE).unwrap();
    let place = folder.display();
    let program = env!("CARGO_BIN_EXE_rappel");
    format!("env -u CI HOME={place} ANSIBLE_CONFIG=/dev/null LC_ALL=C.UTF-8 {program} play -i hosts site.yml")
}

#[test]
fn a_terminal_shows_what_runs_and_names_the_slow_host_and_nothing_of_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let Some(terminal) = Terminal::start(folder.path(), 90, &project(folder.path())) else { return };
    let screen = terminal.wait_for("waiting for web2");
    assert!(screen.contains(" Wait for the database · 1 of 2 hosts · "), "{screen}");
    assert!(!screen.contains("waiting for web1"), "{screen}");
    let last = terminal.wait_for("ended");
    assert!(!last.contains("waiting for") && !last.contains("of 2 hosts"), "{last}");
    let lines: Vec<_> = last.lines().map(str::trim_end).collect();
    let task = lines.iter().position(|line| line.starts_with("TASK [Wait for the database]")).unwrap();
    assert_eq!(lines[task + 1..task + 4], ["changed: [web1]", "changed: [web2]", ""], "{last}");
    assert!(last.contains("web2                       : ok=2    changed=1"), "{last}");
}

#[test]
fn a_narrow_terminal_without_colours_and_letters_beyond_ascii_shows_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let command = project(folder.path()).replace("LC_ALL=C.UTF-8", "LC_ALL=C NO_COLOR=1");
    let Some(terminal) = Terminal::start(folder.path(), 40, &command) else { return };
    let screen = terminal.wait_for("waiting for web2");
    let line = screen.lines().find(|line| line.contains("of 2 hosts")).unwrap_or_else(|| panic!("{screen}"));
    assert!(line.is_ascii() && line.trim_end().len() < 40 && line.contains("Wait for"), "{line}");
    let raw = String::from_utf8(terminal.tmux(&["capture-pane", "-p", "-e"]).output().unwrap().stdout).unwrap();
    assert!(!raw.contains("\x1b[3"), "no colours were wanted: {raw:?}");
}

#[test]
fn what_is_no_terminal_gets_plain_lines_and_is_told_what_takes_long() {
    let folder = tempfile::tempdir().unwrap();
    let command = project(folder.path()).replace("site.yml", "-e '{seconds: 31}' -l web2 site.yml");
    let out = Command::new("sh").args(["-c", &command]).current_dir(folder.path()).output().unwrap();
    assert!(out.status.success() && !out.stdout.contains(&0x1b), "{}", String::from_utf8_lossy(&out.stdout));
    let told = String::from_utf8(out.stderr).unwrap();
    assert!(told.contains("waiting: [web2]: Wait for the database (30s)"), "{told}");
}
