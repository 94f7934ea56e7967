//! A module call: connection, privilege, environment, files that go along, background jobs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::fleet::Wiring;
use super::item::{Item, Trouble};
use super::magic::search_path;
use crate::event::EventKind;
use crate::model::Keyword;
use crate::module::{self, Kind, Reversible};
use crate::plan::scope::Layered;
use crate::ssh::{Blobs, Endpoint, Link, LinkError, Privilege, Session, Transport};
use crate::template::{Expr, Scope, to_wire};
use crate::text::{Diagnostic, Diagnostics};
use crate::wire::{self, Blob, Call, Failure, Map, Outcome};

/// One call of a module for one item.
pub(super) struct ModuleCall<'a> {
    pub(super) item: &'a Item<'a>,
    pub(super) params: Map,
    pub(super) delegate: Option<String>,
}

impl ModuleCall<'_> {
    /// For what goes along.
    pub(super) fn blobs(&self) -> Blobs {
        Blobs::new(&self.item.task.shared.contents)
    }

    /// Calls the module `name` of the agent.
    pub(super) async fn run(self, name: &str) -> Result<Outcome, Trouble> {
        let mut blobs = self.blobs();
        let call = self.call(name, &mut blobs)?;
        self.dispatch(call, &blobs).await
    }

    /// Calls the module `name`, which only asks, in check mode too, and waits for its answer.
    pub(super) async fn query(self, name: &str) -> Result<Outcome, Trouble> {
        let mut blobs = self.blobs();
        let call = Call { check: false, diff: false, detach: None, stream: false, ..self.call(name, &mut blobs)? };
        let (endpoint, privilege) = self.wiring()?;
        let link = self.link(&endpoint, privilege.as_ref()).await?;
        self.send(&link, &endpoint, call, &blobs).await
    }

    /// Sends `call` where it belongs.
    pub(super) async fn dispatch(self, call: Call, blobs: &Blobs) -> Result<Outcome, Trouble> {
        let (endpoint, privilege) = self.wiring()?;
        Box::pin(self.dispatch_to(endpoint, privilege, call, blobs)).await
    }

    /// Sends `call` to the controller itself, as who runs it.
    pub(super) async fn dispatch_here(self, call: Call, blobs: &Blobs) -> Result<Outcome, Trouble> {
        let (endpoint, _) = self.wiring()?;
        Box::pin(self.dispatch_to(Endpoint { transport: Transport::Local, ..endpoint }, None, call, blobs)).await
    }

    async fn dispatch_to(
        self,
        endpoint: Endpoint,
        privilege: Option<Privilege>,
        mut call: Call,
        blobs: &Blobs,
    ) -> Result<Outcome, Trouble> {
        let link = self.link(&endpoint, privilege.as_ref()).await?;
        let transaction = self.item.task.play.transaction(&self.item.task.host);
        if let Some(transaction) = transaction.filter(|_| !call.check && self.acts(&call.module)) {
            let host = self.delegate.as_deref().unwrap_or(&self.item.task.host);
            let undo = self.undo()?;
            call.transaction = transaction.join(host, &endpoint, privilege.as_ref(), &link, undo).await?;
        }
        if let Some(user) = removed_user(&call) {
            self.session(&endpoint).await?.dismiss(&user).await;
        }
        let limit = call.detach;
        let environment = call.environment.clone();
        let started = self.send(&link, &endpoint, call, blobs).await?;
        match (limit, self.poll()?) {
            (Some(limit), Some(pause)) => self.wait(&link, &endpoint, started, environment, Duration::from_secs(limit.into()), pause).await,
            _ => Ok(started),
        }
    }

    /// Waits for a background job (`async` with `poll`): its result is the task's.
    async fn wait(
        &self,
        link: &Arc<Link>,
        endpoint: &Endpoint,
        started: Outcome,
        environment: Vec<(String, String)>,
        limit: Duration,
        pause: Duration,
    ) -> Result<Outcome, Trouble> {
        let Some(job) = started.data.get("ansible_job_id").map(wire::Value::to_text) else { return Ok(started) };
        let begun = std::time::Instant::now();
        let ask = |mode: &str| Call {
            module: "async_status".to_owned(),
            params: [("jid", job.as_str()), ("mode", mode)].into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect(),
            environment: environment.clone(),
            ..Call::default()
        };
        loop {
            tokio::time::sleep(pause).await;
            let answer = self.send(link, endpoint, ask("status"), &Blobs::default()).await;
            let finished = match &answer {
                Ok(outcome) => outcome.data.get("finished").and_then(wire::Value::to_bool).unwrap_or(false).then_some(true),
                Err(Trouble::Failed(..)) => Some(false),
                Err(Trouble::Unreachable(_)) => return answer,
            };
            let host = self.item.task.host.clone();
            self.item.task.shared.events.emit(EventKind::Polled { host, job: job.clone(), finished }).await;
            if finished.is_some() {
                // The result is here; what is left of the job on the host is of no more use.
                let _ = self.send(link, endpoint, ask("cleanup"), &Blobs::default()).await;
                return answer;
            }
            if begun.elapsed() >= limit {
                let host = self.item.task.host.clone();
                self.item.task.shared.events.emit(EventKind::Polled { host, job: job.clone(), finished: Some(false) }).await;
                let message = format!("async task did not complete within the requested time - {}s", limit.as_secs());
                return Err(Failure { data: started.data, ..Failure::new(message) }.into());
            }
        }
    }

    /// Whether the call may change the host. A command may not, when the task says so: `changed_when: false`.
    fn acts(&self, name: &str) -> bool {
        let step = &self.item.task.step;
        let harmless = step.keyword(Keyword::ChangedWhen).and_then(Expr::literal).map(to_wire);
        match module::find(name).map(|entry| entry.reversible) {
            Some(Reversible::ReadOnly) => false,
            Some(Reversible::Impossible) => harmless.is_none_or(|value| value.to_bool() != Some(false)),
            _ => true,
        }
    }

    /// The task's own undo (`rappel_undo`), ready to be called by the host itself.
    fn undo(&self) -> Result<Option<Call>, Trouble> {
        let task = self.item.task;
        let Some(step) = &task.step.undo else { return Ok(None) };
        let scope = &self.item.scope;
        let mut params = Map::new();
        for (name, expr) in &step.params {
            let value = task.shared.templar.evaluate(expr, scope)?;
            if !crate::template::is_omit(&value) {
                params.insert(name.value.clone(), to_wire(&value));
            }
        }
        Ok(Some(Call { module: step.work.name().to_owned(), params, environment: self.environment()?, ..Call::default() }))
    }

    async fn send(&self, link: &Arc<Link>, endpoint: &Endpoint, call: Call, blobs: &Blobs) -> Result<Outcome, Trouble> {
        let shared = &self.item.task.shared;
        let output = shared.settings.stream.then(|| self.stream());
        let (limit, module) = (call.timeout, call.module.clone());
        match link.call_in_line(call, blobs, output, self.item.queued.take()).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(failure)) => Err(timed_out(failure, limit, &module).into()),
            Err(error) => {
                if error.is_lost() {
                    shared.fleet.forget(endpoint).await;
                }
                Err(Trouble::Unreachable(explain(&error, endpoint)))
            }
        }
    }

    /// Passes on what programs print while they run.
    fn stream(&self) -> tokio::sync::mpsc::Sender<crate::ssh::Output> {
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<crate::ssh::Output>(64);
        let events = self.item.task.shared.events.clone();
        let (task, host) = (self.item.task.id, self.item.task.host.clone());
        tokio::spawn(async move {
            while let Some(output) = receiver.recv().await {
                let text = String::from_utf8_lossy(&output.bytes).into_owned();
                events.emit(EventKind::Output { task, host: host.clone(), stderr: output.stderr, text }).await;
            }
        });
        sender
    }

    /// The agent to call.
    pub(super) async fn link(&self, endpoint: &Endpoint, privilege: Option<&Privilege>) -> Result<Arc<Link>, Trouble> {
        let session = self.session(endpoint).await?;
        match session.agent(privilege).await {
            Ok(link) => Ok(link),
            Err(error) if error.is_privilege() => Err(Failure::new(error.to_string()).into()),
            Err(error) => {
                self.item.task.shared.fleet.forget(endpoint).await;
                Err(Trouble::Unreachable(with_help(&error)))
            }
        }
    }

    pub(super) async fn session(&self, endpoint: &Endpoint) -> Result<Arc<Session>, Trouble> {
        let shared = &self.item.task.shared;
        shared.fleet.session(endpoint, &shared.events).await.map_err(|error| Trouble::Unreachable(with_help(&error)))
    }

    /// Where and as whom the call runs.
    pub(super) fn wiring(&self) -> Result<(Endpoint, Option<Privilege>), Diagnostic> {
        let task = self.item.task;
        let shared = &task.shared;
        let host = self.delegate.as_deref().unwrap_or(&task.host);
        let scope = self.target_scope();
        let wiring = Wiring { templar: &shared.templar, scope: &scope, context: &task.step.context, defaults: &shared.settings.connection };
        let mut endpoint = wiring.endpoint(host)?;
        if shared.is_implicit(host) && scope.get("ansible_connection").is_none() {
            endpoint.transport = Transport::Local;
        }
        let privilege = wiring.privilege()?;
        for secret in [&endpoint.password, &privilege.as_ref().and_then(|privilege| privilege.password.clone())].into_iter().flatten() {
            shared.events.hide(secret.expose());
        }
        Ok((endpoint, privilege))
    }

    /// The variables of the host that the call goes to.
    pub(super) fn target_scope(&self) -> Arc<dyn Scope> {
        let task = self.item.task;
        match &self.delegate {
            None => Arc::new(self.item.layers.clone()),
            Some(delegate) => Arc::new(task.shared.layers(&task.play, delegate, &task.step.context)),
        }
    }

    fn call(&self, name: &str, blobs: &mut Blobs) -> Result<Call, Trouble> {
        let entry = module::find(name).ok_or_else(|| Failure::new(format!("module `{name}` is not supported")))?;
        let mut params = self.params.clone();
        if let ("setup", Ok(Some(python))) = (entry.name, self.python()) {
            params.insert("_python".to_owned(), python.into());
        }
        if entry.name == "service" {
            // Where systemd runs the service, what is said of `systemd` holds for what the task leaves open.
            let open = self.item.defaults_of("systemd_service")?.into_iter().filter(|(name, _)| !params.contains_key(name));
            let open: Map = open.collect();
            params.insert("_systemd".to_owned(), open.into());
        }
        if let ("uri", Some("form-multipart")) = (entry.name, params.get("body_format").and_then(wire::Value::as_str)) {
            self.fill_form(&mut params)?;
        }
        let mut attached = Vec::new();
        for param in entry.spec.params {
            let local = matches!(param.kind, Kind::LocalFile | Kind::LocalTemplate);
            let Some(text) = params.get(param.name).filter(|value| local && !value.is_null()).map(wire::Value::to_text) else { continue };
            let on_host = entry.spec.find("remote_src").is_some_and(|param| param.default == "true");
            if params.get("remote_src").and_then(wire::Value::to_bool).unwrap_or(on_host) {
                continue;
            }
            let blob = match param.kind {
                Kind::LocalTemplate => self.render(&text, &mut params, blobs)?,
                _ => self.attach(&text, &mut params, blobs)?,
            };
            attached.extend(blob.map(|blob| (param.name.to_owned(), blob)));
        }
        Ok(Call { module: entry.name.to_owned(), params, blobs: attached, ..self.around()? })
    }

    /// What a call has whatever it calls: mode, environment, limits.
    pub(super) fn around(&self) -> Result<Call, Diagnostic> {
        let task = self.item.task;
        let number = |keyword: Keyword| -> Result<Option<u32>, Diagnostic> {
            let Some(expr) = task.step.keyword(keyword) else { return Ok(None) };
            Ok(to_wire(&task.shared.templar.evaluate(expr, &self.item.scope)?).to_text().trim().parse().ok())
        };
        let timeout = number(Keyword::Timeout)?.or(Some(task.shared.settings.task_timeout)).filter(|seconds| *seconds > 0);
        Ok(Call {
            check: self.checking(),
            diff: self.diffing(),
            environment: self.environment()?,
            timeout,
            detach: number(Keyword::Async)?.filter(|seconds| *seconds > 0),
            stream: task.shared.settings.stream,
            ..Call::default()
        })
    }

    /// Whether the task only predicts.
    pub(super) fn checking(&self) -> bool {
        let task = self.item.task;
        task.asked(Keyword::CheckMode, &self.item.scope).unwrap_or(task.shared.settings.check)
    }

    pub(super) fn diffing(&self) -> bool {
        let task = self.item.task;
        task.asked(Keyword::Diff, &self.item.scope).unwrap_or(task.shared.settings.diff)
    }

    fn templated_environment(&self, expr: &Expr) -> Result<wire::Value, Diagnostic> {
        let task = self.item.task;
        let evaluate = |expr: &Expr| task.shared.templar.evaluate(expr, &self.item.scope).map(|value| to_wire(&value));
        // As in Ansible: what builds on gathered facts cannot hold while they are being gathered.
        let not_yet = |problem: &Diagnostic| problem.message == "'ansible_env' is undefined" && gathers(task.step.work.name());
        match (evaluate(expr), expr) {
            (Err(problem), Expr::Map(entries, _)) if not_yet(&problem) => {
                let mut map = Map::new();
                for (name, value) in entries.iter() {
                    match evaluate(value) {
                        Ok(value) => drop(map.insert(evaluate(name)?.to_text(), value)),
                        Err(problem) if not_yet(&problem) => {}
                        Err(problem) => return Err(problem),
                    }
                }
                Ok(wire::Value::Map(map))
            }
            (Err(problem), _) if not_yet(&problem) => Ok(wire::Value::Null),
            (evaluated, _) => evaluated,
        }
    }

    /// `environment`, from the outermost to the task's own.
    pub(super) fn environment(&self) -> Result<Vec<(String, String)>, Diagnostic> {
        let task = self.item.task;
        let mut all: Vec<(String, String)> = Vec::new();
        for expr in &task.step.context.environment {
            let maps = match self.templated_environment(expr)? {
                wire::Value::Map(map) => vec![map],
                wire::Value::List(items) => items.into_iter().filter_map(|item| item.as_map().cloned()).collect(),
                wire::Value::Null => Vec::new(),
                other => {
                    return Err(Diagnostic::error("keyword-type", format!("`environment`: expected a mapping, found {}", other.kind()))
                        .at(expr.span(), ""));
                }
            };
            for (name, value) in maps.into_iter().flatten() {
                all.retain(|(known, _)| *known != name);
                all.push((name, value.to_text()));
            }
        }
        // Where background jobs leave their results may be said by a variable too.
        if let Some(binding) = self.item.scope.get("ansible_async_dir") {
            let value = match binding {
                crate::template::Binding::Value(value) => value,
                crate::template::Binding::Expr(expr) => task.shared.templar.evaluate(&expr, &self.item.scope)?,
            };
            all.push(("ANSIBLE_ASYNC_DIR".to_owned(), to_wire(&value).to_text()));
        }
        Ok(all)
    }

    /// Puts the files of a form into it.
    fn fill_form(&self, params: &mut Map) -> Result<(), Trouble> {
        if params.get("remote_src").and_then(wire::Value::to_bool).unwrap_or_default() {
            return Ok(());
        }
        let Some(wire::Value::Map(fields)) = params.get_mut("body") else { return Ok(()) };
        for field in fields.values_mut() {
            let wire::Value::Map(field) = field else { continue };
            let Some(name) = field.get("filename").map(wire::Value::to_text).filter(|_| !field.contains_key("content")) else { continue };
            let content = self.read(&self.find("files", &name)?, true)?;
            field.insert("content".to_owned(), wire::carried::text_of(content).into());
            field.entry("multipart_encoding".to_owned()).or_insert_with(|| "base64".into());
        }
        Ok(())
    }

    fn attach(&self, name: &str, params: &mut Map, blobs: &mut Blobs) -> Result<Option<Blob>, Trouble> {
        let path = self.find("files", name)?;
        let flag = |name: &str| params.get(name).and_then(wire::Value::to_bool).unwrap_or(true);
        let vault = flag("decrypt").then_some(&*self.item.task.shared.vault);
        if path.is_dir() {
            return super::tree::attach(&path, flag("local_follow"), vault, blobs).map(Some).map_err(Trouble::from);
        }
        if params.get("mode").and_then(wire::Value::as_str) == Some("preserve") {
            super::tree::preserve_mode(&path, params);
        }
        super::tree::attach_file(&path, vault, blobs).map(Some).map_err(|error| super::tree::unread(&path, &error).into())
    }

    /// The content of a file of the controller, opened if it is sealed.
    pub(super) fn read(&self, path: &Path, decrypt: bool) -> Result<Vec<u8>, Trouble> {
        let vault = decrypt.then_some(&*self.item.task.shared.vault);
        let sealed = super::tree::unsealed(path, vault).and_then(|sealed| sealed.map_or_else(|| std::fs::read(path), Ok));
        sealed.map_err(|error| super::tree::unread(path, &error).into())
    }

    fn render(&self, name: &str, params: &mut Map, blobs: &mut Blobs) -> Result<Option<Blob>, Trouble> {
        let task = self.item.task;
        let path = self.find("templates", name)?;
        if params.get("mode").and_then(wire::Value::as_str) == Some("preserve") {
            super::tree::preserve_mode(&path, params);
        }
        let shared = &task.shared;
        let options = super::tree::template_options(params, search_path(&task.play, &task.step.context));
        let mut diags = Diagnostics::default();
        let Some(expr) = shared.template_file(&path, &options, &mut diags) else {
            let diagnostic = diags.into_vec().into_iter().next();
            return Err(diagnostic.unwrap_or_else(|| Diagnostic::error("template", format!("cannot read {}", path.display()))).into());
        };
        let locals = super::tree::template_locals(&path, name, params);
        let layers: Layered = self.item.layers.with(locals);
        let scope: Arc<dyn Scope> = Arc::new(layers);
        let text = shared.templar.render(&expr, &scope).map_err(|diagnostic| self.item.in_options(diagnostic))?;
        let encoding = params.get("output_encoding").map(wire::Value::to_text).unwrap_or_default();
        let bytes = super::tree::encoded(&text, &encoding).map_err(Failure::new)?;
        Ok(Some(blobs.add_bytes(bytes)))
    }

    /// A file of the controller: in `files/` or `templates/` of role, task file and playbook, or beside them.
    pub(super) fn find(&self, folder: &str, name: &str) -> Result<PathBuf, Trouble> {
        let task = self.item.task;
        let searched = search_path(&task.play, &task.step.context);
        find_in(&searched, folder, name).ok_or_else(|| {
            let places = searched.iter().map(|path| format!("{}/{folder}", path.display())).collect::<Vec<_>>().join(", ");
            let failure = Failure::new(format!("Could not find or access '{name}' on the controller; searched in: {places}"));
            let span = task.step.param("src").map_or(task.step.span, Expr::span);
            let diagnostic = Diagnostic::error("file-not-found", format!("cannot find `{name}` on the controller"))
                .at(span, "")
                .help(format!("it was looked for in {places}; use `remote_src: true` for a file of the host"));
            Trouble::Failed(Box::new(failure), Some(Box::new(diagnostic)))
        })
    }

    /// How long to wait between looks at a background job; `None` to leave it alone.
    pub(super) fn poll(&self) -> Result<Option<Duration>, Diagnostic> {
        let task = self.item.task;
        let seconds = match task.step.keyword(Keyword::Poll) {
            Some(expr) => to_wire(&task.shared.templar.evaluate(expr, &self.item.scope)?).to_text().trim().parse().unwrap_or(15),
            None => 15,
        };
        Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
    }
}

/// `name` under `folder` of the first of `places` that has it.
pub(super) fn find_in(places: &[PathBuf], folder: &str, name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    if path.is_absolute() {
        return path.exists().then(|| path.to_owned());
    }
    if let Some(rest) = name.strip_prefix('~') {
        let (user, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let path = super::tree::home_of(user)?.join(rest);
        return path.exists().then_some(path);
    }
    let candidates = places.iter().flat_map(|place| {
        let above = (place.file_name().is_some_and(|name| name == "tasks" || name == "handlers"))
            .then(|| place.parent().map(|parent| parent.join(folder).join(name)))
            .flatten();
        [Some(place.join(folder).join(name)), above, Some(place.join(name))]
    });
    candidates.flatten().find(|path| path.exists())
}

/// The user whom a call removes.
fn removed_user(call: &Call) -> Option<String> {
    let text = |name: &str| call.params.get(name).and_then(wire::Value::as_str);
    (call.module == "user" && !call.check && text("state") == Some("absent")).then(|| text("name").map(str::to_owned)).flatten()
}

/// Whether this is a task that finds facts.
fn gathers(module: &str) -> bool {
    matches!(module, "setup" | "gather_facts")
}

/// A task that ran into its `timeout` says so in Ansible's words.
fn timed_out(failure: Failure, limit: Option<u32>, module: &str) -> Failure {
    let Some(seconds) = limit.filter(|seconds| failure.msg.starts_with(&format!("the task took longer than its timeout of {seconds} s")))
    else {
        return failure;
    };
    let period: Map = [("period".to_owned(), seconds.into())].into_iter().collect();
    let msg = format!("The {module} action failed to execute in the expected time frame ({seconds}) and was terminated");
    Failure { msg, ..failure }.with("timedout", period)
}

fn explain(error: &LinkError, endpoint: &Endpoint) -> String {
    format!("lost {}: {error}", endpoint.name)
}

fn with_help(error: &crate::ssh::ConnectError) -> String {
    match error.help() {
        Some(help) => format!("{error}; {help}"),
        None => error.to_string(),
    }
}
