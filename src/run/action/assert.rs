//! Fails unless all conditions hold.
//!
//! ```yaml
//! - assert:
//!     that: [port > 1024, "name is match('web')"]
//!     fail_msg: not a web host
//! ```

use super::prelude::*;
use crate::template::Expr;

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

params! {
    pub struct Assert {
        /// The conditions.
        that: Value,
        /// What to say when one does not hold.
        fail_msg | msg: Option<Value>,
        /// What to say when all hold.
        success_msg: Option<Value>,
        /// Say nothing of conditions that hold.
        quiet: bool = false,
    }
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: Assert = call.decode()?;
    let failed_text = params.fail_msg.clone().unwrap_or_else(|| "Assertion failed".into());
    // One condition may stand without a list; its commas are its own.
    let conditions = params.that.as_list().map_or_else(|| vec![params.that.clone()], <[Value]>::to_vec);
    for (index, condition) in conditions.iter().enumerate() {
        if condition.is_null() || condition.as_str() == Some("") {
            if call.templar().manner().truthy_conditions {
                continue;
            }
            return Err(Failure::new("Empty conditional expressions are not allowed.").into());
        }
        let holds = match condition {
            Value::Bool(flag) => *flag,
            Value::Str(text) => {
                let expr = call.templar().expression(text, span(&call, index));
                call.templar().holds(&expr, call.scope())?
            }
            other => other.to_bool().unwrap_or(true),
        };
        if !holds {
            let mut failure = Failure::new("").with("evaluated_to", false).with("assertion", condition.clone());
            failure.data.insert(super::VERBOSE_ALWAYS.to_owned(), (!params.quiet).into());
            failure.data.insert("msg".to_owned(), failed_text);
            let finding = crate::text::Diagnostic::error("assertion-failed", "this condition does not hold").at(span(&call, index), "");
            return Err(Trouble::Failed(Box::new(failure), Some(Box::new(finding))));
        }
    }
    let msg = params.success_msg.unwrap_or_else(|| "All assertions passed".into());
    let outcome = Outcome::default().with("msg", msg);
    Ok(Answer { outcome, verbose_always: !params.quiet, ..Answer::default() })
}

fn span(call: &ActionCall<'_>, index: usize) -> crate::text::Span {
    let step = &call.item.task.step;
    match step.param("that") {
        Some(Expr::List(items, span)) => items.get(index).map_or(*span, Expr::span),
        Some(expr) => expr.span(),
        None => step.span,
    }
}
