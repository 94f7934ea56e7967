//! Dates: `now()`, `to_datetime`, `strftime`, and what Python can do with a date and a difference of two.

use std::any::Any;
use std::cmp::Ordering;
use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::{Filter, filter};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::object::Object;
use crate::template::python::as_float;
use crate::template::syntax::Operator;
use crate::template::text::text_of;
use crate::template::value::Value;

pub(super) const FILTERS: &[Filter] = &[filter("to_datetime", to_datetime), filter("strftime", strftime)];

const MICROS: i128 = 1_000_000;
const DAY: i128 = 86_400 * MICROS;

/// `datetime.datetime`, without a zone.
#[derive(Clone, Copy, Debug)]
struct Date(DateTime);

/// `datetime.timedelta`, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Delta(i128);

fn date(value: DateTime) -> Value {
    Value::Object(Arc::new(Date(value)))
}

fn failed(error: &jiff::Error) -> Error {
    Error::failed(error.to_string())
}

/// `now(utc=False, fmt=None)`.
pub(in crate::template) fn now(_eval: &Eval<'_>, mut args: Args) -> Result<Value> {
    let utc = args.flag("utc", false);
    let pattern = args.text("fmt")?;
    args.end()?;
    let zone = if utc { TimeZone::UTC } else { TimeZone::system() };
    let now = Timestamp::now().to_zoned(zone);
    match pattern {
        Some(pattern) => formatted(&now, &pattern),
        None => Ok(date(now.datetime())),
    }
}

/// Python writes microseconds with `%f` where the library writes them with a precision.
fn pattern(pattern: &str) -> String {
    pattern.replace("%f", "%6f")
}

fn formatted(time: &Zoned, wanted: &str) -> Result<Value> {
    jiff::fmt::strtime::format(pattern(wanted), time).map(Value::from).map_err(|error| failed(&error))
}

/// A date in the zone of this machine, as Python takes dates without one.
fn local(time: DateTime) -> Result<Zoned> {
    time.to_zoned(TimeZone::system()).map_err(|error| failed(&error))
}

fn to_datetime(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let wanted = args.required_or("format", "%Y-%m-%d %H:%M:%S")?;
    args.end()?;
    let refused = || Error::failed(format!("time data '{text}' does not match format '{wanted}'"));
    // A zone's name is read over: what comes out has no zone.
    let (wanted_here, text_here) = without_zone_name(&wanted, &text);
    let parsed = BrokenDownTime::parse(wanted_here, &text_here).map_err(|_| refused())?;
    let (year, month, of_month) = (parsed.year().unwrap_or(1900), parsed.month().unwrap_or(1), parsed.day().unwrap_or(1));
    let day = parsed.to_date().or_else(|_| jiff::civil::Date::new(year, month, of_month)).map_err(|_| refused())?;
    let time = parsed.to_time().unwrap_or(jiff::civil::Time::midnight());
    Ok(date(day.to_datetime(time)))
}

fn without_zone_name(pattern: &str, text: &str) -> (String, String) {
    match (pattern.strip_suffix("%Z"), text.rsplit_once(' ')) {
        (Some(pattern), Some((text, zone))) if zone.chars().all(char::is_alphabetic) => {
            (pattern.trim_end().to_owned(), text.trim_end().to_owned())
        }
        _ => (pattern.to_owned(), text.to_owned()),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "microseconds since 1970 fit")]
fn strftime(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let wanted = text_of(&value)?;
    let second = args.next("second").filter(|second| !second.is_none());
    let utc = args.flag("utc", false);
    args.end()?;
    let at = match second {
        None => Timestamp::now(),
        Some(second) => {
            let number = match &second {
                Value::Str(text) => text.trim().parse().ok(),
                other => as_float(other),
            };
            let number = number.ok_or_else(|| Error::failed(format!("Invalid value for epoch value ({})", second.type_name())))?;
            Timestamp::from_microsecond((number * 1e6) as i64).map_err(|error| failed(&error))?
        }
    };
    formatted(&at.to_zoned(if utc { TimeZone::UTC } else { TimeZone::system() }), &wanted)
}

impl Date {
    fn microsecond(self) -> i64 {
        i64::from(self.0.subsec_nanosecond()) / 1000
    }

    /// Microseconds since 1970, as if in UTC.
    fn micros(self) -> Result<i128> {
        let zoned = self.0.to_zoned(TimeZone::UTC).map_err(|error| failed(&error))?;
        Ok(i128::from(zoned.timestamp().as_microsecond()))
    }

    fn of_micros(micros: i128) -> Result<Value> {
        let micros = i64::try_from(micros).map_err(|_| Error::failed("date value out of range"))?;
        let timestamp = Timestamp::from_microsecond(micros).map_err(|error| failed(&error))?;
        Ok(date(timestamp.to_zoned(TimeZone::UTC).datetime()))
    }

    fn iso(self, separator: char) -> String {
        let fraction = match self.microsecond() {
            0 => String::new(),
            micros => format!(".{micros:06}"),
        };
        let (day, time) = (self.0.date(), self.0.time());
        format!("{day}{separator}{:02}:{:02}:{:02}{fraction}", time.hour(), time.minute(), time.second())
    }
}

impl Object for Date {
    fn type_name(&self) -> &'static str {
        "datetime"
    }

    fn text(&self) -> String {
        self.iso(' ')
    }

    fn repr(&self) -> String {
        format!("datetime.datetime({})", self.iso(' '))
    }

    fn attribute(&self, name: &str) -> Option<Value> {
        let time = self.0;
        Some(match name {
            "year" => Value::from(i64::from(time.year())),
            "month" => Value::from(i64::from(time.month())),
            "day" => Value::from(i64::from(time.day())),
            "hour" => Value::from(i64::from(time.hour())),
            "minute" => Value::from(i64::from(time.minute())),
            "second" => Value::from(i64::from(time.second())),
            "microsecond" => Value::from(self.microsecond()),
            "tzinfo" => Value::None,
            _ => return None,
        })
    }

    fn method(&self, name: &str, _eval: &Eval<'_>, args: &mut Option<Args>) -> Option<Result<Value>> {
        let args = args.as_mut()?;
        let monday = i64::from(self.0.date().weekday().to_monday_zero_offset());
        Some(match name {
            "strftime" => args.required_text("format").and_then(|wanted| formatted(&local(self.0)?, &wanted)),
            "isoformat" => args.required_or("sep", "T").map(|separator| Value::from(self.iso(separator.chars().next().unwrap_or('T')))),
            "timestamp" => local(self.0).map(|zoned| seconds(i128::from(zoned.timestamp().as_microsecond()))),
            "weekday" => Ok(Value::from(monday)),
            "isoweekday" => Ok(Value::from(monday + 1)),
            "date" => Ok(date(self.0.date().to_datetime(jiff::civil::Time::midnight()))),
            _ => return None,
        })
    }

    fn order(&self, other: &dyn Object) -> Option<Ordering> {
        Some(self.0.cmp(&other.any().downcast_ref::<Self>()?.0))
    }

    fn arithmetic(&self, operator: Operator, right: &Value) -> Option<Result<Value>> {
        let Value::Object(right) = right else { return None };
        let this = match self.micros() {
            Ok(this) => this,
            Err(error) => return Some(Err(error)),
        };
        if let (Operator::Subtract, Some(other)) = (operator, right.any().downcast_ref::<Self>()) {
            return Some(other.micros().map(|other| Value::Object(Arc::new(Delta(this - other)))));
        }
        let Delta(delta) = right.any().downcast_ref::<Delta>()?;
        match operator {
            Operator::Add => Some(Self::of_micros(this + delta)),
            Operator::Subtract => Some(Self::of_micros(this - delta)),
            _ => None,
        }
    }

    fn storable(&self) -> bool {
        true
    }

    fn any(&self) -> &dyn Any {
        self
    }
}

#[expect(clippy::cast_precision_loss, reason = "as in Python, where the nearest float is taken")]
fn seconds(micros: i128) -> Value {
    Value::Float(micros as f64 / 1e6)
}

impl Object for Delta {
    fn type_name(&self) -> &'static str {
        "timedelta"
    }

    fn repr(&self) -> String {
        let (days, rest) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        let (whole, micros) = (rest / MICROS, rest % MICROS);
        let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
        let time = format!("{}:{:02}:{:02}{fraction}", whole / 3600, whole / 60 % 60, whole % 60);
        match days {
            0 => time,
            1 | -1 => format!("{days} day, {time}"),
            _ => format!("{days} days, {time}"),
        }
    }

    fn attribute(&self, name: &str) -> Option<Value> {
        Some(Value::Int(match name {
            "days" => self.0.div_euclid(DAY),
            "seconds" => self.0.rem_euclid(DAY) / MICROS,
            "microseconds" => self.0.rem_euclid(MICROS),
            _ => return None,
        }))
    }

    fn method(&self, name: &str, _eval: &Eval<'_>, _args: &mut Option<Args>) -> Option<Result<Value>> {
        (name == "total_seconds").then(|| Ok(seconds(self.0)))
    }

    fn order(&self, other: &dyn Object) -> Option<Ordering> {
        Some(self.0.cmp(&other.any().downcast_ref::<Self>()?.0))
    }

    fn arithmetic(&self, operator: Operator, right: &Value) -> Option<Result<Value>> {
        let Value::Object(right) = right else { return None };
        let Self(other) = right.any().downcast_ref::<Self>()?;
        match operator {
            Operator::Add => Some(Ok(Value::Object(Arc::new(Self(self.0 + other))))),
            Operator::Subtract => Some(Ok(Value::Object(Arc::new(Self(self.0 - other))))),
            _ => None,
        }
    }

    fn any(&self) -> &dyn Any {
        self
    }
}
