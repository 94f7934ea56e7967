//! `meta`: tasks that steer the run itself.

use std::sync::Arc;

use super::batch::{Batch, Round};
use super::cursor::State;
use crate::template::Scope;
use crate::text::Diagnostic;

impl Batch {
    /// Does `action` for the hosts of `round` whose conditions hold.
    pub(super) async fn meta(&mut self, action: &str, round: Round) {
        if !matches!(action, "flush_handlers" | "noop" | "end_role") && round.step.span != self.play.plan.span {
            self.announce(&round).await;
        }
        let handlers = self.play.handlers();
        let mut hosts = Vec::new();
        for host in &round.hosts {
            match self.condition(host, &round) {
                Ok(true) => hosts.push(host.clone()),
                Ok(false) => self.advance_host(host),
                Err(diagnostic) => {
                    self.shared.events.warn(diagnostic).await;
                    self.lose(host, State::Failed);
                }
            }
        }
        match action {
            "flush_handlers" => {
                for host in &hosts {
                    if let Some(cursor) = self.cursors.get_mut(host) {
                        cursor.flush(&handlers);
                    }
                }
                return;
            }
            "end_play" if !hosts.is_empty() => {
                self.ended = true;
                self.play.end();
                self.end_all();
                return;
            }
            "end_batch" if !hosts.is_empty() => {
                self.end_all();
                return;
            }
            "end_host" => hosts.iter().for_each(|host| self.end_host(host)),
            "end_role" => {
                for host in &hosts {
                    if let Some(cursor) = self.cursors.get_mut(host) {
                        cursor.end_role();
                    }
                }
                return;
            }
            "clear_facts" => hosts.iter().for_each(|host| self.shared.memory.host(host).clear_facts()),
            "clear_host_errors" => self.clear_host_errors(&round),
            "refresh_inventory" => self.shared.refresh_inventory(&self.play).await,
            "reset_connection" => self.shared.fleet.close().await,
            _ => {}
        }
        for host in &hosts {
            self.advance_host(host);
        }
    }

    fn advance_host(&mut self, host: &str) {
        if let Some(cursor) = self.cursors.get_mut(host)
            && cursor.state() == State::Active
        {
            cursor.advance();
        }
    }

    fn condition(&self, host: &str, round: &Round) -> Result<bool, Diagnostic> {
        if round.step.context.when.is_empty() {
            return Ok(true);
        }
        let scope: Arc<dyn Scope> = Arc::new(self.shared.layers(&self.play, host, &round.step.context));
        for condition in &round.step.context.when {
            if !self.shared.templar.holds(&condition.expr, &scope)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn end_host(&mut self, host: &str) {
        if let Some(cursor) = self.cursors.get_mut(host) {
            cursor.end(State::Done);
        }
    }

    fn end_all(&mut self) {
        for cursor in self.cursors.values_mut().filter(|cursor| cursor.state() == State::Active) {
            cursor.end(State::Done);
        }
    }

    /// Hosts that failed or were lost come back and go on with the others.
    fn clear_host_errors(&mut self, round: &Round) {
        let Some(model) = round.hosts.first().and_then(|host| self.cursors.get(host)).cloned() else { return };
        for (host, cursor) in &mut self.cursors {
            match cursor.state() {
                State::Unreachable => {
                    cursor.resume_at(&model);
                    cursor.advance();
                }
                // As in Ansible, a host that failed is back in the plays that follow, not in this one.
                State::Failed => cursor.forgive(),
                State::Active => cursor.clear_failure(),
                _ => continue,
            }
            self.play.regain(host);
        }
    }
}
