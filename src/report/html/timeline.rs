//! The timeline: a row for each host, a bar for each task. A gap is a host that waited for others.

use std::fmt::Write as _;

use super::{Bar, Run, escape, seconds, word};
use crate::event::Status;

/// Columns of the names at most; of a longer one the end is shown, which tells hosts apart.
const NAME: usize = 28;
/// A letter's width, about.
const LETTER: f64 = 6.4;
const WIDTH: f64 = 1200.0;
const ROW: f64 = 16.0;

/// Draws it; nothing where nothing ran.
pub(super) fn draw(run: &Run) -> String {
    let end = run.bars.iter().map(|bar| bar.end).fold(0.0, f64::max);
    if run.bars.is_empty() || end <= 0.0 {
        return String::new();
    }
    let longest = run.hosts.iter().map(|host| host.chars().count()).max().unwrap_or(0).min(NAME);
    #[expect(clippy::cast_precision_loss, reason = "a few letters")]
    let names = longest as f64 * LETTER + 14.0;
    // The last bar must not touch the edge, nor the last number be cut.
    let scale = (WIDTH - names - 24.0) / end;
    #[expect(clippy::cast_precision_loss, reason = "a row's number")]
    let top = |row: usize| 20.0 + row as f64 * ROW;
    let height = top(run.hosts.len()) + 4.0;
    let mut svg =
        format!("<svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"timeline\">");
    let step = tick(end);
    // Multiples, not sums: rounding would add up. And no more decimals than the step has.
    let whole = |number: f64| (number - number.round()).abs() < 1e-6;
    let decimals = (0_u8..6).find(|&decimals| whole(step * 10_f64.powi(decimals.into()))).map_or(6, usize::from);
    for at in (0..).map(|line| f64::from(line) * step).take_while(|at| *at <= end) {
        let x = names + at * scale;
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"16\" y2=\"{height}\"/><text class=\"tick\" x=\"{x:.1}\" y=\"11\">{at:.decimals$} s</text>"
        );
    }
    for (row, host) in run.hosts.iter().enumerate() {
        let letters = host.chars().count();
        let shown: String =
            if letters > NAME { "…".chars().chain(host.chars().skip(letters - NAME + 1)).collect() } else { host.clone() };
        let (x, y) = (names - 8.0, top(row) + 11.5);
        let _ = write!(svg, "<text class=\"host\" x=\"{x:.1}\" y=\"{y:.1}\">{}<title>{}</title></text>", escape(&shown), escape(host));
    }
    // Failures are drawn last, so that nothing covers them.
    let bad = |bar: &&Bar| matches!(bar.status, Status::Failed | Status::Unreachable);
    for bar in run.bars.iter().filter(|bar| !bad(bar)).chain(run.bars.iter().filter(bad)) {
        draw_bar(&mut svg, run, bar, (names, scale), top(bar.host) + 2.0);
    }
    svg.push_str("</svg>");
    svg
}

fn draw_bar(svg: &mut String, run: &Run, bar: &Bar, (left, scale): (f64, f64), y: f64) {
    let least = if matches!(bar.status, Status::Failed | Status::Unreachable) { 4.0 } else { 1.0 };
    let (x, width) = (left + bar.start * scale, ((bar.end - bar.start) * scale).max(least));
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
