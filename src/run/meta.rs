//! `meta`: tasks that steer the run itself.

use std::sync::Arc;

use super::batch::{Batch, Round};
use super::cursor::State;
use super::settings::AfterFatalRescue;
use crate::event::EventKind;
use crate::template::Scope;
use crate::text::Diagnostic;

impl Batch {
    /// Does `action` for the hosts of `round` whose conditions hold.
    pub(super) async fn meta(&mut self, action: &str, round: Round) {
        if round.step.span != self.play.plan.span {
            self.announce(&round).await;
            if round.step.handler && action == "flush_handlers" {
                let diagnostic = Diagnostic::error("flush-handler", "`flush_handlers` cannot be a handler").at(round.step.span, "");
                self.shared.fail_run(diagnostic.ansible("flush_handlers cannot be used as a handler")).await;
                self.abort("a handler flushes handlers");
                return;
            }
        }
        let handlers = self.play.handlers();
        let mut hosts = Vec::new();
        for host in &round.hosts {
            match self.condition(host, &round) {
                Ok(true) => hosts.push(host.clone()),
                Ok(false) => {
                    self.tell_skipped(host, action, &round).await;
                    self.advance_host(host);
                }
                Err(diagnostic) => {
                    self.shared.events.warn(diagnostic).await;
                    self.lose(host, State::Failed);
                }
            }
        }
        self.tell_done(action, &hosts, &round).await;
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
            "clear_facts" => hosts.iter().for_each(|host| self.shared.memory.forget(host)),
            "clear_host_errors" => self.clear_host_errors(&round),
            "refresh_inventory" => self.shared.refresh_inventory(&self.play).await,
            "reset_connection" => self.shared.fleet.close().await,
            _ => {}
        }
        for host in &hosts {
            self.advance_host(host);
        }
    }

    /// What Ansible says of it at `-vv`.
    async fn tell_done(&self, action: &str, hosts: &[String], round: &Round) {
        if self.shared.settings.verbosity < 2 || round.step.span == self.play.plan.span {
            return;
        }
        for host in hosts {
            let text = match action {
                "flush_handlers" => format!("triggered running handlers for {host}"),
                "end_host" => format!("ending play for {host}"),
                "end_role" => format!("ending role for {host}"),
                "end_play" => "ending play".to_owned(),
                "end_batch" => "ending batch".to_owned(),
                "clear_facts" => "facts cleared".to_owned(),
                "clear_host_errors" => "cleared host errors".to_owned(),
                "refresh_inventory" => "inventory successfully refreshed".to_owned(),
                "reset_connection" => "reset connection".to_owned(),
                other => other.to_owned(),
            };
            self.shared.events.emit(EventKind::Note { text: format!("META: {text}") }).await;
            if !matches!(action, "flush_handlers" | "end_host" | "end_role") {
                break;
            }
        }
    }

    /// A condition that does not hold; it counts as nothing, and Ansible says so of most.
    async fn tell_skipped(&self, host: &str, action: &str, round: &Round) {
        let silent = matches!(action, "noop" | "refresh_inventory" | "reset_connection") || round.step.span == self.play.plan.span;
        if silent || self.shared.settings.after_fatal_rescue == AfterFatalRescue::Stop {
            return;
        }
        let reason = match action {
            "end_play" => "end_play conditional evaluated to False, continuing play".to_owned(),
            "end_batch" => "end_batch conditional evaluated to false, continuing current batch".to_owned(),
            _ => format!("{action} conditional evaluated to False, continuing execution for {host}"),
        };
        let verbosity = self.shared.settings.verbosity;
        let told = if verbosity > 0 { format!(" => {{\"msg\": \"\", \"skip_reason\": \"{reason}\"}}") } else { String::new() };
        let mut text = format!("skipping: [{host}]{told}");
        if verbosity > 1 {
            text = format!("META: {reason}\n{text}");
        }
        self.shared.events.emit(EventKind::Note { text }).await;
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
