//! Local time, as results and facts show it.
//!
//! The C library's time zones are out of reach without `unsafe`, and a time library would be a tenth of the agent, so this
//! reads `/etc/localtime` itself (RFC 9636).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment on the wall clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The year.
    pub year: i64,
    /// The month, from 1.
    pub month: i64,
    /// The day of the month, from 1.
    pub day: i64,
    /// The hour.
    pub hour: i64,
    /// The minute.
    pub minute: i64,
    /// The second.
    pub second: i64,
    /// The microsecond.
    pub microsecond: u32,
    /// The day of the week, Sunday is 0.
    pub weekday: i64,
    /// The day of the year, from 1.
    pub yearday: i64,
    /// Which time this is.
    pub period: Period,
}

/// What a time zone is for a while: summer time, say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// Seconds east of Greenwich.
    pub offset: i64,
    /// Whether this is summer time.
    pub summer: bool,
    /// `CEST`
    pub name: String,
}

/// A time zone.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    periods: Vec<Period>,
    transitions: Vec<(i64, usize)>,
    rule: Option<Rule>,
}

/// What holds after the last transition: `CET-1CEST,M3.5.0,M10.5.0/3`.
#[derive(Clone, Debug)]
struct Rule {
    standard: Period,
    summer: Option<(Period, Change, Change)>,
}

/// When a period begins, every year.
#[derive(Clone, Copy, Debug)]
struct Change {
    day: Day,
    second: i64,
}

#[derive(Clone, Copy, Debug)]
enum Day {
    /// The `.1`-th `.2` (a weekday) of month `.0`; the fifth is the last.
    Month(i64, i64, i64),
    /// Day of the year from 1, without 29 February.
    Julian(i64),
    /// Day of the year from 0, with 29 February.
    Ordinal(i64),
}

/// Now, here: `2026-11-23 09:14:11.356408`.
pub fn local_now() -> String {
    let now = Moment::of(SystemTime::now(), &Zone::of_host());
    let Moment { year, month, day, hour, minute, second, microsecond, .. } = now;
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{microsecond:06}")
}

/// A span of time as Python prints it: `0:00:01.010983`, `1 day, 2:03:04`.
pub fn elapsed(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    let days = match days {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        more => format!("{more} days, "),
    };
    let micros = match span.subsec_micros() {
        0 => String::new(),
        micros => format!(".{micros:06}"),
    };
    format!("{days}{hours}:{minutes:02}:{:02}{micros}", seconds % 60)
}

impl Moment {
    /// `time` in `zone`.
    pub fn of(time: SystemTime, zone: &Zone) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
        Self::at(seconds, since.subsec_micros(), zone.period(seconds))
    }

    /// `seconds` since the epoch, in `period`.
    pub fn at(seconds: i64, microsecond: u32, period: Period) -> Self {
        let local = seconds + period.offset;
        let (days, rest) = (local.div_euclid(86400), local.rem_euclid(86400));
        let (year, month, day) = civil(days);
        Self {
            year,
            month,
            day,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
            microsecond,
            weekday: (days + 4).rem_euclid(7),
            yearday: days - days_before(year) + 1,
            period,
        }
    }
}

/// The date that is `days` after 1970-01-01, by Howard Hinnant's algorithm.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted_month + 2) / 5 + 1)
}

/// Days from 1970-01-01 to the first of January of `year`.
fn days_before(year: i64) -> i64 {
    let last = year - 1;
    (year - 1970) * 365 + (last.div_euclid(4) - last.div_euclid(100) + last.div_euclid(400)) - 477
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

impl Zone {
    /// Where this host thinks it is; Greenwich when that cannot be read.
    pub fn of_host() -> Self {
        Self::load().unwrap_or_default()
    }

    fn load() -> Option<Self> {
        let path = match std::env::var("TZ") {
            Ok(text) if !text.is_empty() => {
                let name = text.strip_prefix(':').unwrap_or(&text);
                let path = Path::new("/usr/share/zoneinfo").join(name);
                if !path.is_file() {
                    return Some(Self { rule: Rule::parse(name), ..Self::default() });
                }
                path
            }
            _ => PathBuf::from("/etc/localtime"),
        };
        Self::parse(&fs::read(path).ok()?)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let first = Header::parse(bytes)?;
        if first.version == 0 {
            return Self::parse_body(bytes.get(44..)?, &first, 4);
        }
        // The second, 64-bit part is complete in itself.
        let second = bytes.get(44 + first.length(4)..)?;
        let header = Header::parse(second)?;
        let mut zone = Self::parse_body(second.get(44..)?, &header, 8)?;
        let footer = second.get(44 + header.length(8)..).and_then(|footer| std::str::from_utf8(footer).ok());
        zone.rule = footer.and_then(|footer| Rule::parse(footer.trim()));
        Some(zone)
    }

    fn parse_body(body: &[u8], header: &Header, width: usize) -> Option<Self> {
        let (times, rest) = body.split_at_checked(header.times * width)?;
        let (kinds, rest) = rest.split_at_checked(header.times)?;
        let (periods, rest) = rest.split_at_checked(header.types * 6)?;
        let names = rest.get(..header.characters)?;
        let period = |entry: &[u8]| {
            let start = usize::from(*entry.get(5)?);
            let name = names.get(start..)?.split(|byte| *byte == 0).next()?;
            let offset = i64::from(i32::from_be_bytes(*entry.first_chunk()?));
            Some(Period { offset, summer: entry.get(4) == Some(&1), name: String::from_utf8_lossy(name).into_owned() })
        };
        let time = |bytes: &[u8]| match width {
            8 => bytes.first_chunk().map(|bytes| i64::from_be_bytes(*bytes)),
            _ => bytes.first_chunk().map(|bytes| i32::from_be_bytes(*bytes).into()),
        };
        let times: Option<Vec<i64>> = times.chunks_exact(width).map(time).collect();
        let periods: Option<Vec<Period>> = periods.chunks_exact(6).map(period).collect();
        let transitions = times?.into_iter().zip(kinds.iter().map(|kind| usize::from(*kind))).collect();
        Some(Self { periods: periods?, transitions, rule: None })
    }

    /// Which time it is here at `seconds` since the epoch.
    pub fn period(&self, seconds: i64) -> Period {
        let before = self.transitions.partition_point(|(time, _)| *time <= seconds);
        if before == self.transitions.len()
            && let Some(rule) = &self.rule
        {
            return rule.period(seconds);
        }
        let kind = before.checked_sub(1).and_then(|last| self.transitions.get(last)).map_or(0, |(_, kind)| *kind);
        let utc = || Period { name: "UTC".to_owned(), ..Period::default() };
        self.periods.get(kind).cloned().unwrap_or_else(utc)
    }

    /// The two times of this year, the usual one first: `CET` and `CEST`; where there is no summer time, one name twice.
    pub fn names(&self, seconds: i64) -> (String, String) {
        let half_year = 182 * 86400;
        let both = [self.period(seconds), self.period(seconds + half_year)];
        let name = |summer: bool| both.iter().find(|period| period.summer == summer).or(both.first()).map(|period| period.name.clone());
        (name(false).unwrap_or_default(), name(true).unwrap_or_default())
    }
}

struct Header {
    version: u8,
    utc_flags: usize,
    standard_flags: usize,
    leaps: usize,
    times: usize,
    types: usize,
    characters: usize,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let count = |at: usize| bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes) as usize);
        if !bytes.starts_with(b"TZif") {
            return None;
        }
        Some(Self {
            version: *bytes.get(4)?,
            utc_flags: count(20)?,
            standard_flags: count(24)?,
            leaps: count(28)?,
            times: count(32)?,
            types: count(36)?,
            characters: count(40)?,
        })
    }

    fn length(&self, width: usize) -> usize {
        self.times * (width + 1) + self.types * 6 + self.characters + self.leaps * (width + 4) + self.standard_flags + self.utc_flags
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = zone_name(text)?;
        let (west, rest) = time_of_day(rest)?;
        let standard = Period { offset: -west, summer: false, name };
        let Some((name, rest)) = zone_name(rest) else { return Some(Self { standard, summer: None }) };
        let (offset, rest) = match time_of_day(rest) {
            Some((west, rest)) => (-west, rest),
            None => (standard.offset + 3600, rest),
        };
        let mut changes = rest.strip_prefix(',')?.split(',');
        let (start, end) = (Change::parse(changes.next()?)?, Change::parse(changes.next()?)?);
        Some(Self { standard, summer: Some((Period { offset, summer: true, name }, start, end)) })
    }

    fn period(&self, seconds: i64) -> Period {
        let Some((summer, start, end)) = &self.summer else { return self.standard.clone() };
        let (year, ..) = civil((seconds + self.standard.offset).div_euclid(86400));
        let start = start.at(year) - self.standard.offset;
        let end = end.at(year) - summer.offset;
        let is_summer = if start < end { (start..end).contains(&seconds) } else { !(end..start).contains(&seconds) };
        if is_summer { summer.clone() } else { self.standard.clone() }
    }
}

impl Change {
    fn parse(text: &str) -> Option<Self> {
        let (day, second) = match text.split_once('/') {
            Some((day, time)) => (day, time_of_day(time)?.0),
            None => (text, 7200),
        };
        let day = if let Some(month) = day.strip_prefix('M') {
            let mut numbers = month.split('.').map(|number| number.parse().ok());
            Day::Month(numbers.next()??, numbers.next()??, numbers.next()??)
        } else if let Some(julian) = day.strip_prefix('J') {
            Day::Julian(julian.parse().ok()?)
        } else {
            Day::Ordinal(day.parse().ok()?)
        };
        Some(Self { day, second })
    }

    /// In seconds since the epoch, by a clock that shows local time.
    fn at(self, year: i64) -> i64 {
        const LENGTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let leap = i64::from(is_leap(year));
        let first = days_before(year);
        let day = match self.day {
            Day::Julian(day) => first + day - 1 + if day >= 60 { leap } else { 0 },
            Day::Ordinal(day) => first + day,
            Day::Month(month, week, weekday) => {
                let lengths = LENGTHS.iter().zip(1..).map(|(length, number)| (number, length + if number == 2 { leap } else { 0 }));
                let before: i64 = lengths.clone().filter(|(number, _)| *number < month).map(|(_, length)| length).sum();
                let length = lengths.clone().find(|(number, _)| *number == month).map_or(31, |(_, length)| length);
                let begin = first + before;
                let offset = (weekday - (begin + 4)).rem_euclid(7) + (week - 1) * 7;
                begin + if offset >= length { offset - 7 } else { offset }
            }
        };
        day * 86400 + self.second
    }
}

/// `CET` or `<+03>`, and the rest.
fn zone_name(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('<') {
        return quoted.split_once('>').map(|(name, rest)| (name.to_owned(), rest));
    }
    let end = text.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (end > 0).then(|| (name.to_owned(), rest))
}

/// `-1`, `2:30`, `+03:00:00` in seconds, and the rest.
fn time_of_day(text: &str) -> Option<(i64, &str)> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = unsigned.find(|character: char| !character.is_ascii_digit() && character != ':').unwrap_or(unsigned.len());
    let (digits, rest) = unsigned.split_at(end);
    let mut seconds = 0;
    for (part, unit) in digits.split(':').zip([3600, 60, 1]) {
        seconds += part.parse::<i64>().ok()? * unit;
    }
    Some((sign * seconds, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(seconds: i64, rule: &str) -> String {
        let zone = Zone { rule: Rule::parse(rule), ..Zone::default() };
        let Moment { year, month, day, hour, minute, second, weekday, yearday, period, .. } = Moment::at(seconds, 0, zone.period(seconds));
        format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} {} {weekday} {yearday}", period.name)
    }

    /// From `date -d @N '+%F %T %Z %w %j'` with the zone in `TZ`.
    #[test]
    fn shows_the_wall_clock() {
        let berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
        for (seconds, rule, expected) in [
            (0, "UTC0", "1970-01-01 00:00:00 UTC 4 1"),
            (951_782_400, "UTC0", "2000-02-29 00:00:00 UTC 2 60"),
            (1_774_746_000 - 1, berlin, "2026-03-29 01:59:59 CET 0 88"),
            (1_774_746_000, berlin, "2026-03-29 03:00:00 CEST 0 88"),
            (1_792_889_999, berlin, "2026-10-25 02:59:59 CEST 0 298"),
            (1_792_890_000, berlin, "2026-10-25 02:00:00 CET 0 298"),
            (1_800_000_000, "<+0530>-5:30", "2027-01-15 13:30:00 +0530 5 15"),
            (1_800_000_000, "AEST-10AEDT,M10.1.0,M4.1.0/3", "2027-01-15 19:00:00 AEDT 5 15"),
        ] {
            assert_eq!(show(seconds, rule), expected);
        }
    }

    #[test]
    fn spans_print_as_in_python() {
        for (millis, text) in [(13, "0:00:00.013000"), (61_000, "0:01:01"), (90_061_500, "1 day, 1:01:01.500000")] {
            assert_eq!(elapsed(Duration::from_millis(millis)), text);
        }
    }
}
