//! `rappel bench`: how fast hosts are reached and tasks are done, on an inventory or on simulated hosts.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::options::{ConnectionOptions, HostOptions, PrivilegeOptions, VariableOptions};
use super::prepare::Prepared;
use super::{Outcome, Stopped};
use crate::event::Exit;
use crate::plan::{Mistakes, Selection};
use crate::run::{Reach, Settings};
use crate::wire::Map;

/// Measures connections and tasks on hosts that exist, or on simulated ones
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rappel bench -i hosts web            connect, start the worker, 20 tasks each
  rappel bench --simulated 1000 --json")]
pub(super) struct BenchOptions {
    /// Which hosts
    #[arg(default_value = "all")]
    pattern: String,
    /// So many hosts that another process plays, instead of an inventory
    #[arg(long, value_name = "N", conflicts_with = "inventory", value_parser = clap::value_parser!(u32).range(1..=50_000))]
    simulated: Option<u32>,
    /// Tasks on each host, one round trip each
    #[arg(long, value_name = "N", default_value_t = 20)]
    tasks: u32,
    /// The result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hosts: HostOptions,
    #[command(flatten)]
    variables: VariableOptions,
    #[command(flatten)]
    connection: ConnectionOptions,
    #[command(flatten)]
    privilege: PrivilegeOptions,
}

/// What plays the hosts: a process of its own, so that what is measured is the controller.
#[derive(Args, Debug)]
pub(super) struct SimulateOptions {
    /// Takes key and known hosts
    folder: PathBuf,
}

/// What one host took.
struct Sample {
    connect: Duration,
    start: Duration,
    tasks: Vec<Duration>,
}

/// Plays hosts until the input ends.
pub(super) fn simulate(options: &SimulateOptions) -> Outcome {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        #[expect(clippy::exit, reason = "whoever measured is gone, and nothing is worth saving")]
        std::process::exit(0);
    });
    #[expect(clippy::print_stdout, reason = "the one word that the measuring process waits for")]
    let listening = |port| {
        println!("{port}");
        Ok(())
    };
    let runtime = runtime()?;
    let played = runtime.block_on(crate::lab::simulate(&options.folder, listening));
    played.map(|()| Exit::Success).map_err(|error| Stopped::error(format!("cannot play hosts: {error}")))
}

/// Measures.
pub(super) fn run(options: &BenchOptions) -> Outcome {
    let lab = options.simulated.map(Lab::start).transpose()?;
    let hosts = match &lab {
        Some(lab) => HostOptions { inventory: vec![lab.inventory.display().to_string()], ..options.hosts.clone() },
        None => options.hosts.clone(),
    };
    let mut prepared = Prepared::new(&options.variables)?;
    let inventory = prepared.inventory(&hosts);
    let extra = Arc::new(prepared.extra(&options.variables.extra_vars));
    let settings = prepared.settings(&options.connection, &options.privilege)?;
    let settings = Settings { limit: hosts.limit(), extra: Arc::clone(&extra), ..settings };
    let (forks, privileged) = (settings.forks.max(1), settings.connection.privileged);
    let compiler = prepared.compiler(Arc::new(Selection::default()), extra, Mistakes::BeforeRun);
    if prepared.diags.has_errors() {
        let problems = std::mem::take(&mut prepared.diags).into_vec();
        return Err(Stopped::error(problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; ")));
    }
    let folder = prepared.folder.clone();
    let inputs = prepared.inputs(inventory, compiler, &hosts, CancellationToken::new(), CancellationToken::new());
    let runtime = runtime()?;
    let measured = runtime.block_on(async {
        let reach = Arc::new(Reach::new(settings, inputs, folder, privileged));
        let names = reach.hosts(&options.pattern).map_err(Stopped::usage)?;
        if names.is_empty() {
            return Err(Stopped::usage(format!("no host matches `{}`", options.pattern)));
        }
        let measured = measure(&reach, names, options.tasks, forks).await;
        reach.close().await;
        Ok(measured)
    })?;
    show(&measured, options.json);
    Ok(if measured.failures.is_empty() { Exit::Success } else { Exit::Unreachable })
}

fn runtime() -> Result<tokio::runtime::Runtime, Stopped> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| Stopped::error(format!("cannot start the runtime: {error}")))
}

/// The process that plays hosts.
struct Lab {
    process: Child,
    inventory: PathBuf,
    _folder: tempfile::TempDir,
}

impl Lab {
    fn start(count: u32) -> Result<Self, Stopped> {
        let failed = |error: std::io::Error| Stopped::error(format!("cannot start simulated hosts: {error}"));
        let folder = tempfile::Builder::new().prefix("rappel-bench-").tempdir().map_err(failed)?;
        let program = std::env::current_exe().map_err(failed)?;
        let mut process = Command::new(program)
            .arg("__simulate")
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut port = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut port).map_err(failed)?;
        }
        let inventory = folder.path().join("hosts.ini");
        std::fs::write(&inventory, inventory_text(count, port.trim(), folder.path())).map_err(failed)?;
        Ok(Self { process, inventory, _folder: folder })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.process.stdin.take()); // it ends with its input
        let _ = self.process.wait();
    }
}

fn inventory_text(count: u32, port: &str, folder: &Path) -> String {
    let names: String = (1..=count).map(|number| format!("sim{number}\n")).collect();
    let folder = folder.display();
    format!(
        "{names}\n[all:vars]\nansible_host=127.0.0.1\nansible_port={port}\nansible_user=lab\nansible_ssh_private_key_file={folder}/key\n\
         ansible_ssh_args=-F none -o UserKnownHostsFile={folder}/known_hosts -o GlobalKnownHostsFile=none -o IdentityAgent=none\n"
    )
}

/// What all hosts took.
struct Measured {
    samples: Vec<Sample>,
    failures: Vec<String>,
    wall: Duration,
    /// Until the last host was connected.
    connected: Duration,
    cpu: Duration,
    /// Bytes of resident memory that all connections together take.
    memory: u64,
}

async fn measure(reach: &Arc<Reach>, names: Vec<String>, tasks: u32, forks: usize) -> Measured {
    let (begun, cpu, memory) = (Instant::now(), cpu_time(), resident());
    let gate = Arc::new(Semaphore::new(forks));
    let mut connecting = JoinSet::new();
    for name in names {
        let (reach, gate) = (Arc::clone(reach), Arc::clone(&gate));
        connecting.spawn(async move {
            let _permit = gate.acquire().await;
            let opened = reach.open(&name).await.map_err(|error| error.to_string());
            (name, opened)
        });
    }
    let (mut open, mut failures) = (Vec::new(), Vec::new());
    while let Some(joined) = connecting.join_next().await {
        match joined {
            Ok((name, Ok(took))) => open.push((name, took)),
            Ok((name, Err(error))) => failures.push(format!("{name}: {error}")),
            Err(error) => failures.push(error.to_string()),
        }
    }
    let connected = begun.elapsed();
    let memory = resident().saturating_sub(memory);
    let mut working = JoinSet::new();
    for (name, (connect, start)) in open {
        let (reach, gate) = (Arc::clone(reach), Arc::clone(&gate));
        working.spawn(async move {
            let _permit = gate.acquire().await;
            let mut took = Vec::with_capacity(tasks as usize);
            for _ in 0..tasks {
                let begun = Instant::now();
                let answered = reach.call(&name, "ping", Map::new()).await;
                answered.map_err(|error| format!("{name}: {error}"))?.map_err(|failure| format!("{name}: {}", failure.msg))?;
                took.push(begun.elapsed());
            }
            Ok::<_, String>(Sample { connect, start, tasks: took })
        });
    }
    let mut samples = Vec::new();
    while let Some(joined) = working.join_next().await {
        match joined {
            Ok(Ok(sample)) => samples.push(sample),
            Ok(Err(error)) => failures.push(error),
            Err(error) => failures.push(error.to_string()),
        }
    }
    Measured { samples, failures, wall: begun.elapsed(), connected, cpu: cpu_time().saturating_sub(cpu), memory }
}

/// Processor time of this process so far.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// 50th, 95th and 99th percentile and the largest, in milliseconds.
fn percentiles(mut times: Vec<Duration>) -> [f64; 4] {
    times.sort_unstable();
    let at = |percent: usize| {
        let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    [at(50), at(95), at(99), at(100)]
}

#[expect(clippy::cast_precision_loss, reason = "counts, far below 2^52")]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a table is what the command line is asked for")]
fn show(measured: &Measured, as_json: bool) {
    let hosts = measured.samples.len();
    let tasks: usize = measured.samples.iter().map(|sample| sample.tasks.len()).sum();
    let working = measured.wall.saturating_sub(measured.connected).as_secs_f64().max(1e-9);
    let each = |amount: f64| if hosts == 0 { 0.0 } else { amount / hosts as f64 };
    let connections_per_second = hosts as f64 / measured.connected.as_secs_f64().max(1e-9);
    let tasks_per_second = tasks as f64 / working;
    let kib_per_host = each(measured.memory as f64 / 1024.0);
    let cpu_ms_per_host = each(measured.cpu.as_secs_f64() * 1e3);
    let of = |pick: &dyn Fn(&Sample) -> Vec<Duration>| percentiles(measured.samples.iter().flat_map(pick).collect());
    let phases = [
        ("connect", of(&|sample| vec![sample.connect])),
        ("start worker", of(&|sample| vec![sample.start])),
        ("task", of(&|sample| sample.tasks.clone())),
    ];
    for failure in &measured.failures {
        eprintln!("{failure}");
    }
    if as_json {
        let phase = |[p50, p95, p99, max]: [f64; 4]| json!({"p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": max});
        let phases: serde_json::Map<_, _> = phases.into_iter().map(|(name, times)| (name.replace(' ', "_"), phase(times))).collect();
        println!(
            "{}",
            json!({
                "hosts": hosts, "failed": measured.failures.len(), "tasks": tasks, "seconds": measured.wall.as_secs_f64(),
                "connections_per_second": connections_per_second, "tasks_per_second": tasks_per_second,
                "kib_per_host": kib_per_host, "cpu_ms_per_host": cpu_ms_per_host, "phases": phases,
            })
        );
        return;
    }
    println!("{hosts} hosts, {} failed, {tasks} tasks in {:.2} s", measured.failures.len(), measured.wall.as_secs_f64());
    println!("{connections_per_second:.0} connections/s, {tasks_per_second:.0} tasks/s");
    println!("{kib_per_host:.0} KiB of memory and {cpu_ms_per_host:.2} ms of CPU per host\n");
    println!("{:<14}{:>9}{:>9}{:>9}{:>9}", "ms", "p50", "p95", "p99", "max");
    for (name, [p50, p95, p99, max]) in phases {
        println!("{name:<14}{p50:>9.2}{p95:>9.2}{p99:>9.2}{max:>9.2}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let times = (1..=100).rev().map(Duration::from_millis).collect();
        let shown = |times| percentiles(times).map(|milliseconds| format!("{milliseconds:.1}"));
        assert_eq!(shown(times), ["50.0", "95.0", "99.0", "100.0"]);
        assert_eq!(shown(vec![Duration::from_millis(7)]), ["7.0"; 4]);
        assert_eq!(shown(Vec::new()), ["0.0"; 4]);
    }
}
