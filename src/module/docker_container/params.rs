//! The parameters of `docker_container`.

use crate::module::{Field, Kind, Rule};
use crate::wire::{Map, Value};
use crate::{choice, params};

choice! {
    /// How the container shall be.
    pub enum State { Started = "started", Present = "present", Stopped = "stopped", Absent = "absent", Healthy = "healthy" }
}

/// When the image is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::module) enum Pull {
    /// Whenever the module runs.
    Always,
    /// When it is not there.
    Missing,
    /// Never.
    Never,
}

impl Field for Pull {
    const KIND: Kind = Kind::Any;
    fn blank() -> Self {
        Self::Missing
    }
    fn decode(value: &Value) -> Result<Self, String> {
        match value.to_text().as_str() {
            "always" => Ok(Self::Always),
            "missing" => Ok(Self::Missing),
            "never" => Ok(Self::Never),
            other => match value.to_bool() {
                Some(true) => Ok(Self::Always),
                Some(false) => Ok(Self::Missing),
                None => Err(format!("expected one of `always`, `missing`, `never`, found `{other}`")),
            },
        }
    }
}

params! {
    pub struct DockerContainer {
        /// Its name.
        name: String,
        /// The image, with its tag.
        image: Option<String>,
        /// How it shall be; `present` does not start or stop it.
        state: State = State::Started,
        /// When the image is fetched: `missing`, `always` or `never`.
        pull: Option<Pull>,
        /// The image's platform.
        platform: Option<String>,
        /// What it runs: words, or text with them.
        command: Option<Value>,
        /// What runs the command.
        entrypoint: Option<Vec<String>>,
        /// Its environment.
        env: Option<Map>,
        /// A file on the host with more of it.
        env_file: Option<String>,
        /// Its labels.
        labels: Option<Map>,
        /// Its ports on the host: `8080:80`, `127.0.0.1:8080:80/tcp`.
        published_ports | ports: Option<Vec<String>>,
        /// The address for ports that name none.
        default_host_ip: String = "0.0.0.0",
        /// Ports that it has for other containers.
        exposed_ports | exposed | expose: Option<Vec<String>>,
        /// `/on/the/host:/in/it:ro`, `volume:/in/it`.
        volumes: Option<Vec<String>>,
        /// Containers whose volumes it gets.
        volumes_from: Option<Vec<String>>,
        /// The driver of its volumes.
        volume_driver: Option<String>,
        /// Mounts: `source`, `target`, `type`, `read_only`.
        mounts: Option<Vec<Map>>,
        /// Directories in memory: `/run:size=64m`.
        tmpfs: Option<Vec<String>>,
        /// Its networks: `name`, `aliases`, `ipv4_address`, `ipv6_address`, `links`.
        networks: Option<Vec<Value>>,
        /// `host`, `none`, `bridge`, `container:web` or a network.
        network_mode: Option<String>,
        /// Take other networks from it.
        purge_networks: bool = false,
        /// The first of `networks` is its network mode.
        networks_cli_compatible: bool = true,
        /// When it is started again: `no`, `always`, `on-failure`, `unless-stopped`.
        restart_policy: Option<String>,
        /// How often, on failure.
        restart_retries: Option<i64>,
        /// The user in it.
        user: Option<String>,
        /// Groups that the user is also in.
        groups: Option<Vec<String>>,
        /// The directory that it runs in.
        working_dir: Option<String>,
        /// Its name for itself.
        hostname: Option<String>,
        /// Its domain.
        domainname: Option<String>,
        /// Its servers of names.
        dns_servers: Option<Vec<String>>,
        /// Options for them.
        dns_opts: Option<Vec<String>>,
        /// Domains that names are looked up in.
        dns_search_domains: Option<Vec<String>>,
        /// Names with addresses.
        etc_hosts: Option<Map>,
        /// Other containers, under these names.
        links: Option<Vec<String>>,
        /// Where what it prints goes.
        log_driver: Option<String>,
        /// How.
        log_options | log_opt: Option<Map>,
        /// The most memory: `512M`.
        memory: Option<String>,
        /// Memory and swap together; -1 for any.
        memory_swap: Option<String>,
        /// Memory that it is sure of.
        memory_reservation: Option<String>,
        /// How readily it is swapped out, 0 to 100.
        memory_swappiness: Option<i64>,
        /// The size of its `/dev/shm`.
        shm_size: Option<String>,
        /// The most processors: 1.5.
        cpus: Option<f64>,
        /// Its weight among others.
        cpu_shares: Option<i64>,
        /// The quota of processor time in a period, in microseconds.
        cpu_quota: Option<i64>,
        /// The period, in microseconds.
        cpu_period: Option<i64>,
        /// The processors that it may use: `0,1`.
        cpuset_cpus: Option<String>,
        /// The most processes.
        pids_limit: Option<i64>,
        /// All rights on the host.
        privileged: Option<bool>,
        /// Capabilities to add.
        capabilities: Option<Vec<String>>,
        /// Capabilities to take.
        cap_drop: Option<Vec<String>>,
        /// Security options: `no-new-privileges`.
        security_opts: Option<Vec<String>>,
        /// Devices: `/dev/sda:/dev/xvda:rwm`.
        devices: Option<Vec<String>>,
        /// Kernel settings.
        sysctls: Option<Map>,
        /// Limits: `nofile:262144:262144`.
        ulimits: Option<Vec<String>>,
        /// Whose processes it sees.
        pid_mode: Option<String>,
        /// Whose shared memory it has.
        ipc_mode: Option<String>,
        /// Whose host name it has.
        uts: Option<String>,
        /// Whose users it has.
        userns_mode: Option<String>,
        /// Whose control groups it sees.
        cgroupns_mode: Option<String>,
        /// The control group above it.
        cgroup_parent: Option<String>,
        /// What runs it: `runc`, `nvidia`.
        runtime: Option<String>,
        /// A small init in it.
        init: Option<bool>,
        /// Its own files cannot be changed.
        read_only: Option<bool>,
        /// The system may not kill it when memory is short.
        oom_killer: Option<bool>,
        /// How soon the system kills it when memory is short.
        oom_score_adj: Option<i64>,
        /// Its hardware address.
        mac_address: Option<String>,
        /// How to see that it is well: `test`, `interval`, `timeout`, `retries`, `start_period`.
        healthcheck: Option<Map>,
        /// The signal that stops it.
        stop_signal: Option<String>,
        /// How long it has for that, in seconds.
        stop_timeout: Option<i64>,
        /// The signal that kills it.
        kill_signal: Option<String>,
        /// Kill it rather than stop it.
        force_kill | forcekill: bool = false,
        /// Keep its input open.
        interactive: Option<bool>,
        /// Give it a terminal.
        tty: Option<bool>,
        /// Whether its processes are held.
        paused: Option<bool>,
        /// Do not wait for its end.
        detach: bool = true,
        /// Remove it after that.
        cleanup: bool = false,
        /// The engine removes it after its end.
        auto_remove: Option<bool>,
        /// Replace it even if it is right.
        recreate: bool = false,
        /// Restart it even if it is right.
        restart: bool = false,
        /// Keep the volumes that nothing names when it is removed.
        keep_volumes: bool = true,
        /// How parameters are compared: `ignore` or `strict` by their names, `*` for all.
        comparisons: Option<Map>,
        /// A container of another image is right, too.
        ignore_image: bool = false,
        /// How long to wait for its health, in seconds.
        healthy_wait_timeout: f64 = 300.0,
        /// Read for compatibility: what is not given is never compared.
        container_default_behavior: Option<String>,
        /// Read for compatibility: images are compared by what they are.
        image_name_mismatch: Option<String>,
        /// Read for compatibility: images are compared by what they are.
        image_comparison: Option<String>,
        /// Read for compatibility: commands in one text are split as a shell does.
        command_handling: Option<String>,
        /// Where the engine listens.
        docker_host | docker_url: Option<String>,
        /// How long it may be silent, in seconds.
        timeout: i64 = 60,
    }
    rules = [Rule::Needs("restart_retries", &["restart_policy"])];
}
