//! Makes or removes a group in an inventory of AWX, or of an Automation Platform controller.
//!
//! ```yaml
//! - awx.awx.group: {name: web, inventory: Shop, hosts: [web1, web2], variables: {port: 8080}, controller_host: "https://awx"}
//!   delegate_to: localhost
//! ```
//!
//! The host asks the controller, as its `uri` would. Objects are named by name or number.

use super::awx::{Access, State, fields};
use super::prelude::*;

pub(super) const REVERSIBLE: Reversible = Reversible::Impossible;

params! {
    pub struct AwxGroup {
        /// The group.
        name: String,
        /// What it shall be called from now on.
        new_name: Option<String>,
        /// What it is for.
        description: Option<String>,
        /// The inventory that it is in.
        inventory: String,
        /// Its variables.
        variables: Option<Map>,
        /// The hosts in it.
        hosts: Option<Vec<String>>,
        /// The groups in it.
        children | groups: Option<Vec<String>>,
        /// Keep hosts that are in it besides.
        preserve_existing_hosts: bool = false,
        /// Keep groups that are in it besides.
        preserve_existing_children | preserve_existing_groups: bool = false,
        /// Whether it is wanted; `exists` leaves one that is there alone.
        state: State = State::Present,
    }
    group = access: Access;
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: AwxGroup = call.decode()?;
    let mut controller = params.access.controller(&call).await?;
    let inventory = controller.number("inventories", &params.inventory, None).await?;
    let there = controller.find("groups", &params.name, Some(&inventory)).await?;
    if let Some(outcome) = controller.settled("groups", params.state, there.as_ref()).await? {
        return Ok(outcome.into());
    }
    let name = params.new_name.as_ref().unwrap_or(&params.name);
    let mut related = Vec::new();
    for (kind, path, names, keep) in [
        ("hosts", "hosts", &params.hosts, params.preserve_existing_hosts),
        ("groups", "children", &params.children, params.preserve_existing_children),
    ] {
        let Some(names) = names else { continue };
        let mut numbers = Vec::new();
        for name in names {
            numbers.push(controller.number(kind, name, Some(&inventory)).await?);
        }
        related.push((path, numbers, keep));
    }
    let wanted = fields(name, &inventory, params.description.as_ref(), params.variables.as_ref())?;
    let object = controller.make("groups", there, wanted).await?;
    // One that check mode did not make has nothing in it.
    if let Some(number) = object.get("id").map(Value::to_text) {
        for (path, numbers, keep) in related {
            controller.relate(&format!("groups/{number}/{path}/"), &numbers, keep).await?;
        }
    }
    Ok(controller.outcome(&object).into())
}
