//! Prints a message or a variable.
//!
//! ```yaml
//! - debug: {msg: "deploying {{ version }}"}
//! - debug: {var: result.stdout}
//! ```

use super::prelude::*;

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

params! {
    pub struct Debug {
        /// What to print.
        msg: Option<Value>,
        /// An expression to print the value of.
        var: Option<Value>,
        /// Print only from this `-v` level on.
        verbosity: i64 = 0,
    }
    rules = [Rule::Exclusive(&["msg", "var"])];
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: Debug = call.decode()?;
    if params.verbosity > i64::from(call.item.task.shared.settings.verbosity) {
        let outcome = Outcome { skipped: Some(String::new()), ..Outcome::default() }.with("skipped_reason", "Verbosity threshold not met.");
        return Ok(Outcome { data: outcome.data, skipped: Some("Verbosity threshold not met.".to_owned()), ..Outcome::default() }.into());
    }
    let outcome = match params.var {
        Some(Value::Str(text)) => {
            let span = call.item.task.step.param("var").map_or(call.item.task.step.span, crate::template::Expr::span);
            let expr = call.templar().expression(&text, span);
            let value = match call.templar().evaluate(&expr, call.scope()) {
                Ok(value) => to_wire(&value),
                Err(diagnostic) if diagnostic.code == "undefined-variable" => "VARIABLE IS NOT DEFINED!".into(),
                Err(diagnostic) => return Err(diagnostic.into()),
            };
            Outcome::default().with(&text, value)
        }
        Some(value) => {
            let name = value.to_text();
            Outcome::default().with(&name, value)
        }
        None => Outcome::default().with("msg", call.params.get("msg").cloned().unwrap_or_else(|| "Hello world!".into())),
    };
    Ok(Answer { outcome, verbose_always: true, ..Answer::default() })
}
