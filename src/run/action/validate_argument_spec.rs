//! Checks variables against an argument specification: what a role with `argument_specs` does first.
//!
//! ```yaml
//! - validate_argument_spec: {argument_spec: {port: {type: int, required: true}}}
//! ```

use super::prelude::*;

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

params! {
    pub struct ValidateArgumentSpec {
        /// The specification: options by name.
        argument_spec: Map,
        /// Values to check; variables of the same names when not given.
        provided_arguments: Option<Map>,
        /// What the role says of itself.
        validate_args_context: Option<Map>,
    }
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: ValidateArgumentSpec = call.decode()?;
    let mut given = Map::new();
    for name in params.argument_spec.keys() {
        if let Some(binding) = call.scope().get(name) {
            let value = match binding {
                crate::template::Binding::Value(value) => value,
                crate::template::Binding::Expr(expr) => call.templar().evaluate(&expr, call.scope())?,
            };
            given.insert(name.clone(), to_wire(&value));
        }
    }
    given.extend(params.provided_arguments.unwrap_or_default());
    let errors = crate::run::argument_spec::errors(&params.argument_spec, &given);
    if errors.is_empty() {
        return Ok(Outcome::default().with("msg", "The arg spec validation passed").into());
    }
    let failure = Failure::new(format!("Validation of arguments failed:\n{}", errors.join("\n")))
        .with("argument_errors", errors)
        .with("argument_spec_data", params.argument_spec)
        .with("validate_args_context", params.validate_args_context.unwrap_or_default());
    Err(failure.into())
}
