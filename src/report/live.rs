//! [`Live`]: the human output, and below it on a terminal what runs now, for how long, and on which slow hosts.
//!
//! The lines above are those of [`Human`], and stay; the lines below are drawn again in their place and are gone at the end. Only
//! what has changed is drawn, so that nothing flickers, and no line is wider than the terminal, so that nothing wraps.

use std::io;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::paint::{Color, Paint};
use super::{Human, Reporter, Streams};
use crate::event::{Event, EventKind, TaskInfo};

/// From when on a host is named.
const SLOW: Duration = Duration::from_secs(3);
/// How many slow hosts are named.
const NAMED: usize = 4;
/// How long what runs must have run to be shown: short tasks would only flicker.
const FIRST: Duration = Duration::from_millis(300);
/// The least time between two pictures while events come.
const PACE: Duration = Duration::from_millis(80);

/// The terminal that is drawn on.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Its columns now; it may be resized at any time.
    pub columns: fn() -> usize,
    /// Colours.
    pub paint: Paint,
    /// It can show more than ASCII.
    pub unicode: bool,
}

/// See the module.
pub struct Live {
    human: Human,
    terminal: Terminal,
    stage: Option<(String, Instant)>,
    /// The tasks that run, each with its hosts.
    tasks: IndexMap<u64, Running>,
    /// What is on the screen.
    drawn: Vec<String>,
    last: Option<Instant>,
    frame: usize,
}

struct Running {
    name: String,
    /// It asks at the terminal, which is not to be disturbed.
    asks: bool,
    begun: Instant,
    hosts: IndexMap<String, Instant>,
    ended: usize,
    /// Its results are there.
    told: usize,
}

impl Live {
    /// Shows a run by `human`, and what happens on `terminal`.
    pub fn new(human: Human, terminal: Terminal) -> Self {
        Self { human, terminal, stage: None, tasks: IndexMap::new(), drawn: Vec::new(), last: None, frame: 0 }
    }

    fn note(&mut self, event: &Event) {
        match &event.kind {
            EventKind::StageStarted { stage } => self.stage = Some((stage.clone(), Instant::now())),
            EventKind::StageFinished { .. } => self.stage = None,
            EventKind::TaskStarted(task) => {
                let (hosts, begun) = (IndexMap::new(), Instant::now());
                self.tasks.insert(task.id, Running { name: name(task), asks: asks(task), begun, hosts, ended: 0, told: 0 });
            }
            EventKind::HostStarted { task, host } => {
                if let Some(running) = self.tasks.get_mut(task) {
                    running.hosts.insert(host.clone(), Instant::now());
                }
            }
            EventKind::HostEnded { task, host } => {
                if let Some(running) = self.tasks.get_mut(task)
                    && running.hosts.shift_remove(host).is_some()
                {
                    running.ended += 1;
                }
            }
            EventKind::TaskFinished(result) => {
                if let Some(running) = self.tasks.get_mut(&result.task) {
                    running.told += 1;
                    // A result of a host that never began is that of another host, shared.
                    if running.hosts.is_empty() && running.told >= running.ended {
                        self.tasks.shift_remove(&result.task);
                    }
                }
            }
            EventKind::PlayStarted { .. } | EventKind::RunFinished { .. } => self.tasks.clear(),
            _ => {}
        }
    }

    /// The lines that belong on the screen now.
    fn picture(&self, now: Instant) -> Vec<String> {
        if self.tasks.values().any(|running| running.asks) {
            return Vec::new();
        }
        let busy: Vec<_> = self.tasks.values().filter(|running| !running.hosts.is_empty()).collect();
        let Some(first) = busy.first() else { return Vec::new() };
        if now.duration_since(first.begun) < FIRST {
            return Vec::new();
        }
        let paint = self.terminal.paint;
        let stage =
            self.stage.as_ref().map(|(stage, since)| format!("{stage} {} · ", time(now.duration_since(*since)))).unwrap_or_default();
        let (left, all) = (first.hosts.len(), first.hosts.len() + first.ended);
        let others = if busy.len() > 1 { format!(" · and {} other tasks", busy.len() - 1) } else { String::new() };
        let hosts =
            if all == 1 { first.hosts.keys().next().cloned().unwrap_or_default() } else { format!("{} of {all} hosts", all - left) };
        let tail = format!(" · {hosts} · {}{others}", time(now.duration_since(first.begun)));
        let room = self.columns().saturating_sub(2 + stage.width() + tail.width());
        let head = cut(&format!("{stage}{}{tail}", cut(&first.name, room.max(12))), self.columns().saturating_sub(2));
        let mut lines = vec![format!("{} {}", paint.text(Color::Skip, self.spinner()), self.plain(&head))];
        if all > 1 {
            let mut slow: Vec<_> =
                busy.iter().flat_map(|running| &running.hosts).filter(|(_, since)| now.duration_since(**since) >= SLOW).collect();
            slow.sort_by_key(|(_, since)| **since);
            let width = slow.iter().take(NAMED).map(|(host, _)| host.width()).max().unwrap_or(0);
            for (host, since) in slow.iter().take(NAMED) {
                let gap = " ".repeat(width.saturating_sub(host.width()));
                let text = self.plain(&cut(&format!("  waiting for {host}{gap}  {}", time(now.duration_since(**since))), self.columns()));
                lines.push(paint.text(Color::Changed, &text).into_owned());
            }
            if slow.len() > NAMED {
                lines.push(cut(&format!("  and {} more", slow.len() - NAMED), self.columns()));
            }
        }
        lines
    }

    /// The last column stays empty: some terminals wrap as soon as it is written.
    fn columns(&self) -> usize {
        (self.terminal.columns)().saturating_sub(1).max(20)
    }

    fn plain(&self, text: &str) -> String {
        if self.terminal.unicode { text.to_owned() } else { text.replace('·', "-").replace('…', "~") }
    }

    fn spinner(&self) -> &'static str {
        const DOTS: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
        const BARS: [&str; 4] = ["|", "/", "-", "\\"];
        let frames: &[&str] = if self.terminal.unicode { &DOTS } else { &BARS };
        frames.get(self.frame % frames.len()).copied().unwrap_or_default()
    }

    /// Takes the lines away.
    fn clear(&mut self, to: &mut Streams<'_>) -> io::Result<()> {
        if !self.drawn.is_empty() {
            to.out.write_all(self.up().as_bytes())?;
            to.out.write_all(b"\x1b[J")?;
            to.out.flush()?;
            self.drawn.clear();
        }
        Ok(())
    }

    /// The way from behind the last line to the first. A terminal that was made narrower has wrapped them.
    fn up(&self) -> String {
        let columns = (self.terminal.columns)().max(1);
        let rows: usize = self.drawn.iter().map(|line| bare(line).width().max(1).div_ceil(columns)).sum();
        format!("\r\x1b[{rows}A")
    }

    fn draw(&mut self, to: &mut Streams<'_>) -> io::Result<()> {
        let now = Instant::now();
        let lines = self.picture(now);
        if lines == self.drawn {
            return Ok(());
        }
        let mut text = String::new();
        if !self.drawn.is_empty() {
            text.push_str(&self.up());
        }
        for line in &lines {
            text.push_str(line);
            text.push_str("\x1b[K\n");
        }
        text.push_str("\x1b[J");
        (self.drawn, self.last) = (lines, Some(now));
        // In one piece, so that no terminal shows a half of it.
        to.out.write_all(text.as_bytes())?;
        to.out.flush()
    }
}

impl Reporter for Live {
    fn on(&mut self, event: &Event, to: &mut Streams<'_>) -> io::Result<()> {
        self.note(event);
        // These print nothing, and the third is what the lines below say.
        let silent = matches!(event.kind, EventKind::HostStarted { .. } | EventKind::HostEnded { .. } | EventKind::Waiting { .. });
        if !silent {
            self.clear(to)?;
            self.human.on(event, to)?;
            to.out.flush()?;
        }
        if self.last.is_none_or(|last| last.elapsed() >= PACE) { self.draw(to) } else { Ok(()) }
    }

    fn tick(&mut self, to: &mut Streams<'_>) -> io::Result<()> {
        self.frame += 1;
        self.draw(to)
    }

    fn over(&mut self, to: &mut Streams<'_>) -> io::Result<()> {
        self.clear(to)?;
        self.human.over(to)
    }

    fn ticks(&self) -> bool {
        true
    }
}

fn name(task: &TaskInfo) -> String {
    task.name.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn asks(task: &TaskInfo) -> bool {
    task.module.rsplit('.').next() == Some("pause")
}

/// `7s`, `1m 05s`, `2h 03m`.
fn time(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        seconds => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `text`, not wider than `columns`.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut width = 1; // of the mark
    let short: String = text
        .chars()
        .take_while(|letter| {
            width += letter.width().unwrap_or(0);
            width <= columns
        })
        .collect();
    short + "…"
}

/// Without escape sequences, which take no room.
fn bare(line: &str) -> String {
    let mut parts = line.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Look;
    use crate::text::Position;

    fn live(columns: fn() -> usize) -> Live {
        let terminal = Terminal { columns, paint: Paint(false), unicode: true };
        Live::new(Human::new(Look::default()), terminal)
    }

    fn event(kind: EventKind) -> Event {
        Event { at: jiff::Timestamp::UNIX_EPOCH, elapsed: Duration::ZERO, kind }
    }

    fn started(live: &mut Live, name: &str, hosts: &[&str]) {
        let position = Position { name: "site.yml".to_owned(), line: 1, column: 1 };
        let task = TaskInfo {
            id: 1,
            name: name.to_owned(),
            role: None,
            module: "command".to_owned(),
            position,
            path: String::new(),
            handler: false,
            check: false,
            section: None,
            no_log: false,
            bridge: false,
            undo: None,
        };
        live.note(&event(EventKind::TaskStarted(task)));
        for host in hosts {
            live.note(&event(EventKind::HostStarted { task: 1, host: (*host).to_owned() }));
        }
    }

    #[test]
    fn slow_hosts_are_named_with_their_time_and_the_others_counted() {
        let mut live = live(|| 80);
        started(&mut live, "Install packages", &["web1", "web2", "db-primary"]);
        assert!(live.picture(Instant::now()).is_empty(), "what is short is not shown");
        live.note(&event(EventKind::HostEnded { task: 1, host: "web2".to_owned() }));
        let picture = live.picture(Instant::now() + Duration::from_secs(65));
        let head = "⠋ Install packages · 1 of 3 hosts · 1m 05s";
        assert_eq!(picture, [head, "  waiting for web1        1m 05s", "  waiting for db-primary  1m 05s"]);
        let mut out = Vec::new();
        for host in ["web1", "db-primary"] {
            live.note(&event(EventKind::HostEnded { task: 1, host: host.to_owned() }));
        }
        live.drawn = picture;
        live.tick(&mut Streams { out: &mut out, err: &mut io::sink() }).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\r\x1b[3A\x1b[J", "nothing is left of it");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_more_than_six_are_drawn() {
        let mut live = live(|| 40);
        let hosts: Vec<String> = (0..50).map(|number| format!("production-web-{number:02}.example.org")).collect();
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        started(&mut live, "Wait for the database of the application 起動 to come up", &hosts);
        let picture = live.picture(Instant::now() + Duration::from_secs(4000));
        assert_eq!(picture.len(), 6, "{picture:?}");
        assert!(picture.iter().all(|line| line.width() < 40), "{picture:?}");
        assert!(picture[0].contains("0 of 50 hosts") && picture[5].contains("and 46 more"), "{picture:?}");
    }
}
