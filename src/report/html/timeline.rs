//! The timeline: a row for each host, a bar for each task. A gap is a host that waited for others.

use std::fmt::Write as _;

use super::{Bar, Run, escape, seconds, word};

const NAMES: f64 = 110.0;
const WIDTH: f64 = 1160.0;
const ROW: f64 = 16.0;

/// Draws it; nothing where nothing ran.
pub(super) fn draw(run: &Run) -> String {
    let end = run.bars.iter().map(|bar| bar.end).fold(0.0, f64::max);
    if run.bars.is_empty() || end <= 0.0 {
        return String::new();
    }
    let scale = (WIDTH - NAMES) / end;
    #[expect(clippy::cast_precision_loss, reason = "a row's number")]
    let top = |row: usize| 20.0 + row as f64 * ROW;
    let height = top(run.hosts.len()) + 4.0;
    let mut svg =
        format!("<svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"timeline\">");
    let step = tick(end);
    let mut at = 0.0;
    while at <= end {
        let x = NAMES + at * scale;
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"16\" y2=\"{height}\"/><text class=\"tick\" x=\"{x:.1}\" y=\"11\">{at} s</text>"
        );
        at += step;
    }
    for (row, host) in run.hosts.iter().enumerate() {
        let shown: String = host.chars().take(16).collect();
        let _ = write!(svg, "<text x=\"0\" y=\"{:.1}\">{}</text>", top(row) + 11.0, escape(&shown));
    }
    for bar in &run.bars {
        draw_bar(&mut svg, run, bar, scale, top(bar.host) + 2.0);
    }
    svg.push_str("</svg>");
    svg
}

fn draw_bar(svg: &mut String, run: &Run, bar: &Bar, scale: f64, y: f64) {
    let (x, width) = (NAMES + bar.start * scale, ((bar.end - bar.start) * scale).max(1.0));
    let name = run.tasks.get(bar.task).map_or("", |task| task.name.as_str());
    let host = run.hosts.get_index(bar.host).map_or("", String::as_str);
    let _ = write!(
        svg,
        "<rect class=\"{}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{}\"><title>{}: {} ({}, {})</title></rect>",
        word(bar.status),
        ROW - 4.0,
        escape(host),
        escape(name),
        word(bar.status),
        seconds(bar.end - bar.start)
    );
}

/// The distance of the grid's lines: 1, 2 or 5 of some power of ten, about ten of them.
fn tick(end: f64) -> f64 {
    let raw = end / 10.0;
    let power = 10_f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|factor| factor * power).find(|step| *step >= raw).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        for (end, wanted) in [(9.0, 1.0), (12.0, 2.0), (100.0, 10.0), (600.0, 100.0), (0.35, 0.05)] {
            assert!((tick(end) - wanted).abs() < 1e-9, "{end}: {}", tick(end));
        }
    }
}
