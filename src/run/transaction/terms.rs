//! [`Terms`]: what `rappel_transaction` asks for.

use std::sync::Arc;

use crate::plan::scope::Layered;
use crate::run::Shared;
use crate::template::{Expr, Scope, to_wire};
use crate::text::{Diagnostic, did_you_mean};
use crate::wire::Value;

/// Seconds without word from the controller after which a host undoes by itself.
const CONFIRM_WITHIN: u32 = 60;

/// Who goes back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) enum Range {
    /// Each host for itself.
    Host,
    /// The hosts of a batch (`serial`).
    Batch,
    /// All hosts of the play; earlier batches can be undone until the last has ended.
    Fleet,
}

/// `rappel_transaction`, evaluated.
#[derive(Clone, Copy, Debug)]
pub(in crate::run) struct Terms {
    pub(super) range: Range,
    /// Whether there is a journal; without, going back is left to `rescue`.
    pub(super) undo: bool,
    pub(super) confirm_within: u32,
}

impl Terms {
    /// Reads what is written in `expr`.
    pub(super) fn read(shared: &Shared, expr: &Expr, layers: Layered) -> Result<Self, Diagnostic> {
        let scope: Arc<dyn Scope> = Arc::new(layers);
        let written = to_wire(&shared.templar.evaluate(expr, &scope)?);
        let mut terms = Self { range: Range::Fleet, undo: true, confirm_within: CONFIRM_WITHIN };
        let wrong = |message: String| Diagnostic::error("transaction", message).at(expr.span(), "");
        let map = match &written {
            Value::Null => return Ok(terms),
            Value::Map(map) => map,
            other => return Err(wrong(format!("`rappel_transaction`: expected a mapping, found {}", other.kind()))),
        };
        for (key, value) in map {
            let expected = |what: &str| wrong(format!("`{key}`: expected {what}, found `{}`", value.to_text()));
            match (key.as_str(), value.to_text().as_str()) {
                ("scope", "fleet") => terms.range = Range::Fleet,
                ("scope", "batch") => terms.range = Range::Batch,
                ("scope", "host") => terms.range = Range::Host,
                ("scope", _) => return Err(expected("`fleet`, `batch` or `host`")),
                ("undo", "auto") => terms.undo = true,
                ("undo", "none") => terms.undo = false,
                ("undo", _) => return Err(expected("`auto` or `none`")),
                ("confirm_within", text) => terms.confirm_within = text.trim().parse().map_err(|_| expected("a number of seconds"))?,
                (other, _) => {
                    let known = ["scope", "undo", "confirm_within"];
                    let help = match did_you_mean(other, known) {
                        Some(close) => format!("did you mean `{close}`?"),
                        None => "expected `scope`, `undo` and `confirm_within`".to_owned(),
                    };
                    return Err(wrong(format!("`rappel_transaction` has no `{other}`")).help(help));
                }
            }
        }
        Ok(terms)
    }
}
