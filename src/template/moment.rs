//! `now()`: a moment as Python's `datetime` shows it to playbooks.

use std::any::Any;
use std::cmp::Ordering;
use std::sync::Arc;

use jiff::Zoned;
use jiff::tz::TimeZone;

use super::arguments::Args;
use super::error::{Error, Result};
use super::eval::Eval;
use super::object::Object;
use super::value::Value;

/// A point in time, in the zone it is shown in.
#[derive(Debug)]
pub(super) struct Moment(pub(super) Zoned);

/// `now(utc=False, fmt=None)`.
pub(super) fn now(_eval: &Eval<'_>, mut args: Args) -> Result<Value> {
    let utc = args.flag("utc", false);
    let now = if utc { Zoned::now().with_time_zone(TimeZone::UTC) } else { Zoned::now() };
    match args.text("fmt")? {
        Some(format) if !format.is_empty() => formatted(&now, &format),
        _ => Ok(Value::Object(Arc::new(Moment(now)))),
    }
}

fn formatted(moment: &Zoned, format: &str) -> Result<Value> {
    let text = jiff::fmt::strtime::format(format, moment).map_err(|error| Error::failed(format!("strftime: {error}")))?;
    Ok(Value::from(text))
}

impl Object for Moment {
    fn type_name(&self) -> &'static str {
        "datetime"
    }

    fn text(&self) -> String {
        self.0.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()
    }

    fn repr(&self) -> String {
        let time = self.0.datetime();
        let micros = time.subsec_nanosecond() / 1000;
        format!(
            "datetime.datetime({}, {}, {}, {}, {}, {}, {micros})",
            time.year(),
            time.month(),
            time.day(),
            time.hour(),
            time.minute(),
            time.second()
        )
    }

    fn attribute(&self, name: &str) -> Option<Value> {
        let time = self.0.datetime();
        Some(Value::from(match name {
            "year" => i64::from(time.year()),
            "month" => i64::from(time.month()),
            "day" => i64::from(time.day()),
            "hour" => i64::from(time.hour()),
            "minute" => i64::from(time.minute()),
            "second" => i64::from(time.second()),
            "microsecond" => i64::from(time.subsec_nanosecond() / 1000),
            _ => return None,
        }))
    }

    fn method(&self, name: &str, _eval: &Eval<'_>, args: &mut Option<Args>) -> Option<Result<Value>> {
        if !["strftime", "isoformat", "timestamp", "weekday", "isoweekday"].contains(&name) {
            return None;
        }
        let mut args = args.take()?;
        Some(match name {
            "strftime" => args.required_text("format").and_then(|format| formatted(&self.0, &format)),
            "isoformat" => Ok(self.0.strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string().into()),
            "weekday" => Ok(Value::from(i64::from(self.0.weekday().to_monday_zero_offset()))),
            "isoweekday" => Ok(Value::from(i64::from(self.0.weekday().to_monday_one_offset()))),
            _ => Ok(Value::Float(self.0.timestamp().as_duration().as_secs_f64())),
        })
    }

    fn any(&self) -> &dyn Any {
        self
    }

    fn order(&self, other: &dyn Object) -> Option<Ordering> {
        other.any().downcast_ref::<Self>().map(|other| self.0.timestamp().cmp(&other.0.timestamp()))
    }
}
