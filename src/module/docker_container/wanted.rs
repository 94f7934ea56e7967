//! The container as the playbook wants it, in the engine's words; and what a container differs in.

use super::DockerContainer;
use crate::machine::words;
use crate::module::docker::{at, object};
use crate::wire::{Failure, Map, Value, parse_float};

/// A difference: where, what is there, what is wanted.
pub(super) type Difference = (String, Value, Value);

fn list(items: &[String]) -> Value {
    items.to_vec().into()
}

fn text(value: &Value) -> String {
    match value {
        Value::Bool(flag) => flag.to_string(),
        other => other.to_text(),
    }
}

fn texts(map: &Map) -> Value {
    Value::Map(map.iter().map(|(key, value)| (key.clone(), text(value).into())).collect())
}

/// `512M`, `1.5g`, `unlimited`, bytes.
fn size(given: &str) -> Result<i64, Failure> {
    let wrong = || Failure::new(format!("expected a size such as `512M`, found `{given}`"));
    let plain = given.trim();
    if plain == "unlimited" || plain == "-1" {
        return Ok(-1);
    }
    let digits = plain.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let number = parse_float(digits.trim()).ok_or_else(wrong)?;
    let power = match plain.get(digits.len()..).unwrap_or_default().to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(wrong()),
    };
    #[expect(clippy::cast_possible_truncation, reason = "a size in bytes is far inside")]
    let bytes = (number * 1024_f64.powi(power)) as i64;
    Ok(bytes)
}

/// `1m30s`, `500ms`, seconds; in nanoseconds.
fn span(given: &Value) -> Result<i64, Failure> {
    let text = given.to_text();
    let wrong = || Failure::new(format!("expected a duration such as `1m30s`, found `{text}`"));
    let (mut total, mut number) = (0_f64, String::new());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        if character.is_ascii_digit() || character == '.' {
            number.push(character);
            continue;
        }
        let unit = match (character, rest.peek()) {
            ('m' | 'u', Some('s')) => {
                rest.next();
                if character == 'm' { 1e6 } else { 1e3 }
            }
            ('h', _) => 3.6e12,
            ('m', _) => 6e10,
            ('s', _) => 1e9,
            _ => return Err(wrong()),
        };
        total += parse_float(&number).ok_or_else(wrong)? * unit;
        number.clear();
    }
    if !number.is_empty() {
        total += parse_float(&number).ok_or_else(wrong)? * 1e9;
    }
    #[expect(clippy::cast_possible_truncation, reason = "centuries are far inside")]
    let nanoseconds = total as i64;
    Ok(nanoseconds)
}

fn words_of(value: &Value) -> Result<Vec<String>, Failure> {
    match value {
        Value::List(items) => Ok(items.iter().map(text).collect()),
        other => words::split(&text(other)).map_err(|error| Failure::new(format!("cannot read the command: {error}"))),
    }
}

/// Ports with their protocol, and where they are on the host.
fn ports(module: &DockerContainer) -> Result<(Map, Map), Failure> {
    let (mut exposed, mut bound) = (Map::new(), Map::new());
    let with_protocol = |port: &str| if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") };
    for port in module.exposed_ports.iter().flatten() {
        exposed.insert(with_protocol(port), object([]));
    }
    for entry in module.published_ports.iter().flatten() {
        let (rest, protocol) = entry.split_once('/').map_or((entry.as_str(), "tcp"), |(rest, protocol)| (rest, protocol));
        let parts = rest.rsplitn(3, ':').collect::<Vec<_>>();
        let (inside, outside, address) = match parts.as_slice() {
            [inside] => (*inside, "", module.default_host_ip.as_str()),
            [inside, outside] => (*inside, *outside, module.default_host_ip.as_str()),
            [inside, outside, address] => (*inside, *outside, address.trim_matches(['[', ']'])),
            _ => continue,
        };
        let (inside, outside) = (range(inside)?, if outside.is_empty() { Vec::new() } else { range(outside)? });
        for (index, port) in inside.iter().enumerate() {
            let outside = outside.get(index).map_or_else(String::new, ToString::to_string);
            let place = object([("HostIp", address.into()), ("HostPort", outside.into())]);
            let key = format!("{port}/{protocol}");
            exposed.insert(key.clone(), object([]));
            match bound.get_mut(&key) {
                Some(Value::List(places)) => places.push(place),
                _ => drop(bound.insert(key, Value::List(vec![place]))),
            }
        }
    }
    Ok((exposed, bound))
}

fn range(text: &str) -> Result<Vec<u16>, Failure> {
    let number = |text: &str| text.trim().parse::<u16>().map_err(|_| Failure::new(format!("Invalid port description \"{text}\" - expected a number")));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Ok((number(first)?..=number(last)?).collect())
}

fn mount(given: &Map) -> Value {
    let names = [("source", "Source"), ("target", "Target"), ("type", "Type"), ("read_only", "ReadOnly"), ("consistency", "Consistency")];
    let mut mount: Map = names.iter().filter_map(|(ours, theirs)| Some(((*theirs).to_owned(), given.get(*ours).filter(|value| !value.is_null())?.clone()))).collect();
    mount.entry("Type".to_owned()).or_insert_with(|| "volume".into());
    Value::Map(mount)
}

fn device(given: &str) -> Value {
    let mut parts = given.split(':');
    let host = parts.next().unwrap_or_default();
    let inside = parts.next().unwrap_or(host);
    object([("PathOnHost", host.into()), ("PathInContainer", inside.into()), ("CgroupPermissions", parts.next().unwrap_or("rwm").into())])
}

fn ulimit(given: &str) -> Value {
    let mut parts = given.split(':');
    let name = parts.next().unwrap_or_default();
    let soft: i64 = parts.next().and_then(|number| number.parse().ok()).unwrap_or_default();
    let hard: i64 = parts.next().and_then(|number| number.parse().ok()).unwrap_or(soft);
    object([("Name", name.into()), ("Soft", soft.into()), ("Hard", hard.into())])
}

fn health(given: &Map) -> Result<Value, Failure> {
    let mut health = Map::new();
    match given.get("test") {
        Some(Value::List(items)) => drop(health.insert("Test".to_owned(), Value::List(items.iter().map(|item| text(item).into()).collect()))),
        Some(Value::Str(line)) if line == "NONE" => drop(health.insert("Test".to_owned(), Value::List(vec!["NONE".into()]))),
        Some(Value::Str(line)) => drop(health.insert("Test".to_owned(), Value::List(vec!["CMD-SHELL".into(), line.as_str().into()]))),
        _ => {}
    }
    for (ours, theirs) in [("interval", "Interval"), ("timeout", "Timeout"), ("start_period", "StartPeriod")] {
        if let Some(given) = given.get(ours).filter(|value| !value.is_null()) {
            health.insert(theirs.to_owned(), span(given)?.into());
        }
    }
    if let Some(retries) = given.get("retries").filter(|value| !value.is_null()) {
        health.insert("Retries".to_owned(), text(retries).parse::<i64>().unwrap_or_default().into());
    }
    Ok(Value::Map(health))
}

fn environment(module: &DockerContainer) -> Result<Option<Value>, Failure> {
    let mut lines: Vec<String> = Vec::new();
    if let Some(file) = &module.env_file {
        let content = std::fs::read_to_string(file).map_err(|error| Failure::new(format!("cannot read {file}: {error}")))?;
        lines.extend(content.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned));
    }
    for (name, value) in module.env.iter().flatten() {
        lines.retain(|line| line.split('=').next() != Some(name));
        lines.push(format!("{name}={}", text(value)));
    }
    Ok((module.env.is_some() || module.env_file.is_some()).then(|| lines.into()))
}

/// What `networks` says of one network, in the engine's words.
pub(super) fn endpoint(network: &Value) -> Value {
    let mut endpoint = Map::new();
    for (ours, theirs) in [("aliases", "Aliases"), ("links", "Links")] {
        if let Some(given) = network.get(ours).filter(|value| !value.is_null()) {
            endpoint.insert(theirs.to_owned(), given.clone());
        }
    }
    let addresses = [("ipv4_address", "IPv4Address"), ("ipv6_address", "IPv6Address")];
    let addresses: Map = addresses.iter().filter_map(|(ours, theirs)| Some(((*theirs).to_owned(), network.get(ours).filter(|value| !value.is_null())?.clone()))).collect();
    if !addresses.is_empty() {
        endpoint.insert("IPAMConfig".to_owned(), addresses.into());
    }
    Value::Map(endpoint)
}

/// Whether a container's network is as wanted.
pub(super) fn endpoint_matches(there: &Value, wanted: &Value) -> bool {
    contains(there, wanted)
}

/// Whether `found` has everything of `wanted`: of mappings the entries, of lists the items, in any order.
fn contains(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (_, Value::Null) => true,
        (Value::Map(found), Value::Map(wanted)) => wanted.iter().all(|(key, value)| contains(found.get(key).unwrap_or(&Value::Null), value)),
        (Value::List(found), Value::List(wanted)) => wanted.iter().all(|wanted| found.iter().any(|found| contains(found, wanted))),
        (Value::Null, Value::Map(wanted)) => wanted.is_empty(),
        (Value::Null, Value::List(wanted)) => wanted.is_empty(),
        (found, wanted) => found == wanted,
    }
}

/// What the engine is told to make.
pub(super) fn body(module: &DockerContainer) -> Result<Value, Failure> {
    let (mut config, host) = parts(module)?;
    config.insert("Image".to_owned(), module.image.clone().into());
    if module.detach {
        config.insert("AttachStdout".to_owned(), true.into());
        config.insert("AttachStderr".to_owned(), true.into());
    }
    config.insert("HostConfig".to_owned(), host.into());
    let first = module.networks.as_ref().and_then(|networks| networks.first()).filter(|_| module.networks_cli_compatible);
    if let Some(first) = first {
        let name = at(first, &["name"]).to_text();
        let endpoints = Value::Map(Map::from_iter([(name.clone(), endpoint(first))]));
        config.insert("NetworkingConfig".to_owned(), object([("EndpointsConfig", endpoints)]));
        if module.network_mode.is_none()
            && let Some(Value::Map(host)) = config.get_mut("HostConfig")
        {
            host.insert("NetworkMode".to_owned(), name.into());
        }
    }
    Ok(Value::Map(config))
}

/// What the playbook says, as the engine's `Config` and `HostConfig`; nothing that it does not say.
fn parts(module: &DockerContainer) -> Result<(Map, Map), Failure> {
    let strings = |items: &Option<Vec<String>>| items.as_deref().map(list);
    let string = |text: &Option<String>| text.clone().map(Value::from);
    let bytes = |text: &Option<String>| text.as_deref().map(size).transpose().map(|size| size.map(Value::from));
    let (exposed, bound) = ports(module)?;
    let command = module.command.as_ref().map(words_of).transpose()?;
    let config = [
        ("Cmd", command.map(|words| list(&words))),
        ("Entrypoint", strings(&module.entrypoint)),
        ("Env", environment(module)?),
        ("Labels", module.labels.as_ref().map(texts)),
        ("ExposedPorts", (!exposed.is_empty()).then(|| exposed.into())),
        ("User", string(&module.user)),
        ("WorkingDir", string(&module.working_dir)),
        ("Hostname", string(&module.hostname)),
        ("Domainname", string(&module.domainname)),
        ("StopSignal", string(&module.stop_signal)),
        ("StopTimeout", module.stop_timeout.map(Value::from)),
        ("Tty", module.tty.map(Value::from)),
        ("OpenStdin", module.interactive.map(Value::from)),
        ("MacAddress", string(&module.mac_address)),
        ("Healthcheck", module.healthcheck.as_ref().map(health).transpose()?),
    ];
    let restart = module.restart_policy.as_ref().map(|policy| {
        object([("Name", policy.as_str().into()), ("MaximumRetryCount", module.restart_retries.unwrap_or(0).into())])
    });
    let log = (module.log_driver.is_some() || module.log_options.is_some()).then(|| {
        let driver = module.log_driver.clone().unwrap_or_else(|| "json-file".to_owned());
        object([("Type", driver.into()), ("Config", module.log_options.as_ref().map_or_else(|| object([]), texts))])
    });
    let hosts = module.etc_hosts.as_ref().map(|hosts| hosts.iter().map(|(name, address)| format!("{name}:{}", text(address))).collect::<Vec<_>>());
    let tmpfs = module.tmpfs.as_ref().map(|entries| {
        let split = |entry: &String| entry.split_once(':').map_or_else(|| (entry.clone(), "".into()), |(path, options)| (path.to_owned(), options.into()));
        Value::Map(entries.iter().map(split).collect())
    });
    #[expect(clippy::cast_possible_truncation, reason = "a number of processors is far inside")]
    let cpus = module.cpus.map(|cpus| Value::from((cpus * 1e9) as i64));
    let host = [
        ("Binds", strings(&module.volumes)),
        ("VolumesFrom", strings(&module.volumes_from)),
        ("VolumeDriver", string(&module.volume_driver)),
        ("Mounts", module.mounts.as_ref().map(|mounts| Value::List(mounts.iter().map(mount).collect()))),
        ("Tmpfs", tmpfs),
        ("PortBindings", (!bound.is_empty()).then(|| bound.into())),
        ("NetworkMode", string(&module.network_mode)),
        ("RestartPolicy", restart),
        ("LogConfig", log),
        ("Memory", bytes(&module.memory)?),
        ("MemorySwap", bytes(&module.memory_swap)?),
        ("MemoryReservation", bytes(&module.memory_reservation)?),
        ("MemorySwappiness", module.memory_swappiness.map(Value::from)),
        ("ShmSize", bytes(&module.shm_size)?),
        ("NanoCpus", cpus),
        ("CpuShares", module.cpu_shares.map(Value::from)),
        ("CpuQuota", module.cpu_quota.map(Value::from)),
        ("CpuPeriod", module.cpu_period.map(Value::from)),
        ("CpusetCpus", string(&module.cpuset_cpus)),
        ("PidsLimit", module.pids_limit.map(Value::from)),
        ("Privileged", module.privileged.map(Value::from)),
        ("CapAdd", strings(&module.capabilities)),
        ("CapDrop", strings(&module.cap_drop)),
        ("SecurityOpt", strings(&module.security_opts)),
        ("Devices", module.devices.as_ref().map(|devices| Value::List(devices.iter().map(|entry| device(entry)).collect()))),
        ("Sysctls", module.sysctls.as_ref().map(texts)),
        ("Ulimits", module.ulimits.as_ref().map(|limits| Value::List(limits.iter().map(|entry| ulimit(entry)).collect()))),
        ("PidMode", string(&module.pid_mode)),
        ("IpcMode", string(&module.ipc_mode)),
        ("UTSMode", string(&module.uts)),
        ("UsernsMode", string(&module.userns_mode)),
        ("CgroupnsMode", string(&module.cgroupns_mode)),
        ("CgroupParent", string(&module.cgroup_parent)),
        ("Runtime", string(&module.runtime)),
        ("Init", module.init.map(Value::from)),
        ("ReadonlyRootfs", module.read_only.map(Value::from)),
        ("OomKillDisable", module.oom_killer.map(|killer| Value::from(!killer))),
        ("OomScoreAdj", module.oom_score_adj.map(Value::from)),
        ("AutoRemove", module.auto_remove.map(Value::from)),
        ("GroupAdd", strings(&module.groups)),
        ("Dns", strings(&module.dns_servers)),
        ("DnsOptions", strings(&module.dns_opts)),
        ("DnsSearch", strings(&module.dns_search_domains)),
        ("ExtraHosts", hosts.map(Value::from)),
        ("Links", strings(&module.links)),
    ];
    let said = |fields: Vec<(&str, Option<Value>)>| -> Map { fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect() };
    Ok((said(config.into()), said(host.into())))
}

/// The parameter behind a field, for `comparisons`.
fn parameter(field: &str) -> &str {
    match field {
        "Cmd" => "command",
        "Env" => "env",
        "Labels" => "labels",
        "Binds" => "volumes",
        "PortBindings" => "published_ports",
        "ExposedPorts" => "exposed_ports",
        "RestartPolicy" => "restart_policy",
        "NetworkMode" => "network_mode",
        "LogConfig" => "log_options",
        "Healthcheck" => "healthcheck",
        "ExtraHosts" => "etc_hosts",
        other => other,
    }
}

/// What the container differs in from what the playbook says.
pub(super) fn differences(module: &DockerContainer, found: &Value, image: Option<&Value>) -> Result<Vec<Difference>, Failure> {
    let (config, host) = parts(module)?;
    let rule = |field: &str| {
        let name = parameter(field);
        let snake: String = name.chars().flat_map(|letter| [letter.is_uppercase().then_some('_'), Some(letter.to_ascii_lowercase())]).flatten().collect();
        let rules = module.comparisons.as_ref();
        let given = |name: &str| rules.and_then(|rules| rules.get(name)).map(Value::to_text);
        given(name).or_else(|| given(snake.trim_start_matches('_'))).or_else(|| given("*")).unwrap_or_default()
    };
    let mut differences = Vec::new();
    let mut compare = |field: &str, there: &Value, wanted: &Value| {
        let ordered = matches!(field, "Cmd" | "Entrypoint");
        let same = match rule(field).as_str() {
            "ignore" => true,
            "strict" => there == wanted,
            // How it is stopped is asked whenever it is stopped.
            "" if field == "StopTimeout" => true,
            _ if ordered => there == wanted || wanted.as_list().is_some_and(<[Value]>::is_empty) && there.is_null(),
            _ => contains(there, wanted),
        };
        if !same {
            differences.push((parameter(field).to_ascii_lowercase(), there.clone(), wanted.clone()));
        }
    };
    for (field, wanted) in &config {
        compare(field, at(found, &["Config", field]), wanted);
    }
    for (field, wanted) in &host {
        // An engine may name its own network `bridge` for what is `default`.
        let there = at(found, &["HostConfig", field]);
        let default = field == "NetworkMode" && wanted.as_str() == Some("default") && there.as_str() == Some("bridge");
        if !default {
            compare(field, there, wanted);
        }
    }
    if let Some(image) = image.filter(|_| !module.ignore_image) {
        compare("image", at(found, &["Image"]), at(image, &["Id"]));
    }
    Ok(differences)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::Declared as _;

    fn module(text: &str) -> DockerContainer {
        DockerContainer::decode(&serde_json::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn only_what_is_said_is_compared() {
        let found: Value = serde_json::from_str(
            r#"{"Image": "sha256:1", "Config": {"Env": ["A=1", "PATH=/bin"], "Labels": {"x": "y"}, "Cmd": ["a", "b"], "ExposedPorts": {"80/tcp": {}}},
                "HostConfig": {"Memory": 67108864, "Binds": ["/a:/b"], "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
                "PortBindings": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}}}"#,
        )
        .unwrap();
        for (given, different) in [
            (r#"{"name": "w", "env": {"A": 1}, "memory": "64M", "ports": ["8080:80"], "command": "a b"}"#, None),
            (r#"{"name": "w", "labels": {}, "volumes": ["/a:/b"], "restart_policy": "always"}"#, None),
            (r#"{"name": "w", "stop_timeout": 1}"#, None),
            (r#"{"name": "w", "env": {"A": true}}"#, Some("env")),
            (r#"{"name": "w", "command": ["b", "a"]}"#, Some("command")),
            (r#"{"name": "w", "published_ports": ["127.0.0.1:8080:80"]}"#, Some("published_ports")),
            (r#"{"name": "w", "env": {"A": 2}, "comparisons": {"*": "ignore"}}"#, None),
            (r#"{"name": "w", "labels": {"x": "z"}, "comparisons": {"env": "ignore"}}"#, Some("labels")),
        ] {
            let found = differences(&module(given), &found, None).unwrap();
            assert_eq!(found.first().map(|(name, ..)| name.as_str()), different, "{given}");
        }
    }

    #[test]
    fn sizes_and_spans_are_numbers() {
        for (text, bytes) in [("64M", 67_108_864), ("1.5g", 1_610_612_736), ("10kb", 10_240), ("7", 7), ("unlimited", -1)] {
            assert_eq!(size(text).unwrap(), bytes, "{text}");
        }
        for (text, nanoseconds) in [("1m30s", 90_000_000_000), ("500ms", 500_000_000), ("5", 5_000_000_000)] {
            assert_eq!(span(&text.into()).unwrap(), nanoseconds, "{text}");
        }
        let (exposed, bound) = ports(&module(r#"{"name": "w", "published_ports": ["9000-9001:80-81", "[::1]:53:53/udp"]}"#)).unwrap();
        let keys: Vec<&str> = bound.keys().map(String::as_str).collect();
        assert_eq!((exposed.len(), keys), (3, vec!["80/tcp", "81/tcp", "53/udp"]));
    }
}
