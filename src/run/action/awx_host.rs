//! Makes or removes a host in an inventory of AWX, or of an Automation Platform controller.
//!
//! ```yaml
//! - awx.awx.host: {name: web1, inventory: Shop, variables: {ansible_host: 192.0.2.1}, controller_host: "https://awx"}
//!   delegate_to: localhost
//! ```
//!
//! The host asks the controller, as its `uri` would. Objects are named by name or number.

use super::awx::{Access, State, fields};
use super::prelude::*;

pub(super) const REVERSIBLE: Reversible = Reversible::Impossible;

params! {
    pub struct AwxHost {
        /// The host.
        name: String,
        /// What it shall be called from now on.
        new_name: Option<String>,
        /// What it is for.
        description: Option<String>,
        /// The inventory that it is in.
        inventory: String,
        /// Whether it takes part.
        enabled: Option<bool>,
        /// Its variables.
        variables: Option<Map>,
        /// Whether it is wanted; `exists` leaves one that is there alone.
        state: State = State::Present,
    }
    group = access: Access;
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: AwxHost = call.decode()?;
    let mut controller = params.access.controller(&call).await?;
    let inventory = controller.number("inventories", &params.inventory, None).await?;
    let there = controller.find("hosts", &params.name, Some(&inventory)).await?;
    if let Some(outcome) = controller.settled("hosts", params.state, there.as_ref()).await? {
        return Ok(outcome.into());
    }
    let name = params.new_name.as_ref().unwrap_or(&params.name);
    let mut wanted = fields(name, &inventory, params.description.as_ref(), params.variables.as_ref())?;
    wanted.extend(params.enabled.map(|enabled| ("enabled".to_owned(), enabled.into())));
    let object = controller.make("hosts", there, wanted).await?;
    Ok(controller.outcome(&object).into())
}
