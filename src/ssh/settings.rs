//! [`Settings`]: everything `ssh_config(5)`, the inventory and SSH arguments say about one connection, typed and expanded.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::arguments::Arguments;
use super::config::{Files, Target, Values, bad, expand};
use super::{ConnectError, ConnectorOptions, Endpoint, known_hosts};

/// What to do about a host key that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strict {
    /// Refuse it. `ask` comes to this too, as there is nobody to ask.
    Yes,
    /// Write it down.
    AcceptNew,
    /// Take any key, even a changed one.
    No,
}

/// A jump host as written: `[user@]host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Jump {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

/// One connection's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// The address to dial.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    /// The name for known hosts.
    pub(super) key_name: String,
    /// It is a `HostKeyAlias`, which stands for host and port.
    pub(super) alias: bool,
    /// Keys that were named, in order.
    pub(super) identities: Vec<PathBuf>,
    /// Keys to try because nobody named any.
    pub(super) default_identities: Vec<PathBuf>,
    pub(super) identities_only: bool,
    pub(super) certificates: Vec<PathBuf>,
    /// The ssh-agent's socket.
    pub(super) agent: Option<PathBuf>,
    /// Method names in the order to try them.
    pub(super) methods: Vec<String>,
    pub(super) password_prompts: u32,
    pub(super) jumps: Vec<Jump>,
    pub(super) proxy_command: Option<String>,
    pub(super) known_hosts: Vec<PathBuf>,
    /// Where a new key is written.
    pub(super) new_hosts: Option<PathBuf>,
    pub(super) hash_new_hosts: bool,
    pub(super) strict: Strict,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) alive_interval: Option<Duration>,
    pub(super) alive_max: Option<usize>,
    pub(super) bind_address: Option<String>,
    /// `inet`, `inet6` or `any`.
    pub(super) family: String,
    pub(super) ciphers: Option<String>,
    pub(super) kex: Option<String>,
    pub(super) macs: Option<String>,
    pub(super) host_keys: Option<String>,
}

/// What settings depend on beside the endpoint.
#[derive(Clone, Debug)]
pub(super) struct World {
    /// The user who runs us.
    pub(super) user: String,
    pub(super) home: PathBuf,
    /// `SSH_AUTH_SOCK`
    pub(super) agent: Option<PathBuf>,
    /// In place of the user's and the system's configuration.
    pub(super) config: Option<PathBuf>,
}

impl World {
    pub(super) fn new(options: &ConnectorOptions) -> Self {
        let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| own_name());
        let home = options.home.clone().or_else(std::env::home_dir).unwrap_or_else(|| PathBuf::from("/"));
        let agent = options.ssh_agent.clone().or_else(|| std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from));
        let agent = agent.filter(|socket| !socket.as_os_str().is_empty() && socket.as_os_str() != "none");
        Self { user, home, agent, config: options.ssh_config.clone() }
    }
}

/// The name of the user who runs us, as far as `/etc/passwd` knows it.
fn own_name() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let own = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid));
    own.and_then(|line| line.split(':').next()).unwrap_or("root").to_owned()
}

const METHODS: [&str; 3] = ["publickey", "keyboard-interactive", "password"];

impl Settings {
    /// The name under which the host's key is looked up.
    pub(super) fn lookup_name(&self) -> String {
        if self.alias { self.key_name.clone() } else { known_hosts::key_name(&self.key_name, self.port) }
    }

    /// The settings for `endpoint`, and the configuration file that its arguments named (jump hosts use it too).
    ///
    /// # Errors
    /// Arguments or files that make no sense.
    pub(super) fn find(endpoint: &Endpoint, files: &Files, world: &World) -> Result<(Self, Option<PathBuf>), ConnectError> {
        let mut values = Values::default();
        let mut arguments = Arguments::default();
        arguments.read(&endpoint.ssh_args, &mut values)?;
        add_fields(endpoint, &mut values);
        for text in &endpoint.extra_args {
            arguments.read(text, &mut values)?;
        }
        let config = arguments.config.map(|path| tilde(&path.to_string_lossy(), world)).or_else(|| world.config.clone());
        let paths = match &config {
            Some(path) if path.as_os_str() == "none" => Vec::new(),
            Some(path) => vec![path.clone()],
            None => vec![world.home.join(".ssh/config"), PathBuf::from("/etc/ssh/ssh_config")],
        };
        let target = Target { host: &endpoint.host, local_user: &world.user, home: &world.home };
        files.apply(&paths, &target, &mut values)?;
        Ok((Self::typed(&endpoint.host, &values, world)?, config))
    }

    fn typed(name: &str, values: &Values, world: &World) -> Result<Self, ConnectError> {
        let host = values.get("hostname").map_or_else(|| name.to_owned(), |host| expand(host, &[('h', name.to_owned())]));
        let port = values.number("port")?.unwrap_or(22);
        let user = values.get("user").unwrap_or(&world.user).to_owned();
        let key_name = values.get("hostkeyalias").unwrap_or(&host).to_lowercase();
        let nodename = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let short = nodename.split('.').next().unwrap_or_default().to_owned();
        let tokens = [
            ('h', host.clone()),
            ('n', name.to_owned()),
            ('p', port.to_string()),
            ('r', user.clone()),
            ('u', world.user.clone()),
            ('d', world.home.display().to_string()),
            ('i', rustix::process::getuid().as_raw().to_string()),
            ('k', key_name.clone()),
            ('l', nodename),
            ('L', short),
        ];
        let path = |text: &str| tilde(&expand(&environment(text), &tokens), world);
        let paths = |keyword: &str, default: &[&str]| -> Vec<PathBuf> {
            let named = values.all(keyword);
            let named = named.iter().filter(|word| !word.eq_ignore_ascii_case("none"));
            if values.all(keyword).is_empty() {
                default.iter().map(|text| path(text)).collect()
            } else {
                named.map(|text| path(text)).collect()
            }
        };
        let user_hosts = paths("userknownhostsfile", &["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]);
        let global_hosts = paths("globalknownhostsfile", &["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]);
        let agent = match values.get("identityagent") {
            None | Some("SSH_AUTH_SOCK") => world.agent.clone(),
            Some(none) if none.eq_ignore_ascii_case("none") => None,
            Some(text) => match text.strip_prefix('$').filter(|rest| !rest.starts_with('{')) {
                Some(variable) => std::env::var_os(variable).map(PathBuf::from),
                None => Some(path(text)),
            },
        };
        let named = !values.all("identityfile").is_empty();
        let (jumps, proxy_command) = proxy(values, &tokens)?;
        Ok(Self {
            identities: paths("identityfile", &[]),
            default_identities: if named {
                Vec::new()
            } else {
                ["~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"].map(path).to_vec()
            },
            identities_only: values.flag("identitiesonly")?.unwrap_or(false),
            certificates: paths("certificatefile", &[]),
            agent,
            methods: methods(values)?,
            password_prompts: values.number("numberofpasswordprompts")?.unwrap_or(3),
            jumps,
            proxy_command,
            new_hosts: user_hosts.first().cloned(),
            known_hosts: [user_hosts, global_hosts].concat(),
            hash_new_hosts: values.flag("hashknownhosts")?.unwrap_or(false),
            strict: strict(values)?,
            connect_timeout: values.duration("connecttimeout")?,
            alive_interval: values.duration("serveraliveinterval")?,
            alive_max: values.number("serveralivecountmax")?,
            bind_address: values.get("bindaddress").map(str::to_owned),
            family: values.get("addressfamily").unwrap_or("any").to_lowercase(),
            ciphers: values.get("ciphers").map(str::to_owned),
            kex: values.get("kexalgorithms").map(str::to_owned),
            macs: values.get("macs").map(str::to_owned),
            host_keys: values.get("hostkeyalgorithms").map(str::to_owned),
            host,
            port,
            user,
            key_name,
            alias: values.get("hostkeyalias").is_some(),
        })
    }
}

/// The inventory's fields, as Ansible puts them on the command line.
fn add_fields(endpoint: &Endpoint, values: &mut Values) {
    if endpoint.host_key_checking == Some(false) {
        values.add("stricthostkeychecking", &["no".to_owned()]);
    }
    if let Some(port) = endpoint.port {
        values.add("port", &[port.to_string()]);
    }
    if let Some(user) = &endpoint.user {
        values.add("user", std::slice::from_ref(user));
    }
    for path in &endpoint.identity_files {
        values.add("identityfile", &[path.display().to_string()]);
    }
    if let Some(limit) = endpoint.connect_timeout {
        values.add("connecttimeout", &[limit.as_secs().max(1).to_string()]);
    }
}

fn strict(values: &Values) -> Result<Strict, ConnectError> {
    let Some(text) = values.get("stricthostkeychecking") else { return Ok(Strict::Yes) };
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "ask" => Ok(Strict::Yes),
        "accept-new" => Ok(Strict::AcceptNew),
        "no" | "off" | "false" => Ok(Strict::No),
        _ => Err(bad("StrictHostKeyChecking", text, "`yes`, `ask`, `accept-new` or `no`")),
    }
}

fn methods(values: &Values) -> Result<Vec<String>, ConnectError> {
    let preferred = values.get("preferredauthentications").map(|list| list.split(',').map(str::to_owned).collect::<Vec<_>>());
    let order = preferred.unwrap_or_else(|| METHODS.map(str::to_owned).to_vec());
    let keyboard = values.flag("kbdinteractiveauthentication")?.or(values.flag("challengeresponseauthentication")?);
    let allowed = |method: &str| -> Result<bool, ConnectError> {
        Ok(match method {
            "publickey" => !matches!(values.get("pubkeyauthentication"), Some("no" | "false")),
            "password" => values.flag("passwordauthentication")?.unwrap_or(true),
            "keyboard-interactive" => keyboard.unwrap_or(true),
            _ => false,
        })
    };
    let mut kept = Vec::new();
    for method in order {
        if allowed(&method)? {
            kept.push(method);
        }
    }
    Ok(kept)
}

/// `ProxyJump` or `ProxyCommand`: at most one of them is set to more than `none`.
fn proxy(values: &Values, tokens: &[(char, String)]) -> Result<(Vec<Jump>, Option<String>), ConnectError> {
    let none = |text: &&str| !text.eq_ignore_ascii_case("none");
    if let Some(list) = values.get("proxyjump").filter(none) {
        let jumps: Result<Vec<_>, _> = list.split(',').map(|text| jump(text.trim(), tokens)).collect();
        return Ok((jumps?, None));
    }
    let command = values.get("proxycommand").filter(none);
    Ok((Vec::new(), command.map(|command| expand(command, tokens))))
}

fn jump(text: &str, tokens: &[(char, String)]) -> Result<Jump, ConnectError> {
    let wrong = || bad("ProxyJump", text, "`[user@]host[:port]`");
    let expanded = expand(text, tokens);
    let rest = expanded.strip_prefix("ssh://").unwrap_or(&expanded).trim_end_matches('/');
    let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user.to_owned()), place));
    let (host, port) = match place.strip_prefix('[') {
        Some(inside) => {
            let (host, after) = inside.split_once(']').ok_or_else(wrong)?;
            (host, after.strip_prefix(':'))
        }
        None if place.matches(':').count() > 1 => (place, None),
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err(wrong());
    }
    let port = port.map(|port| port.parse().map_err(|_| wrong())).transpose()?;
    Ok(Jump { user, host: host.to_owned(), port })
}

/// `~/x` and `~` in the user's home.
fn tilde(text: &str, world: &World) -> PathBuf {
    match text.strip_prefix('~') {
        Some("") => world.home.clone(),
        Some(rest) => rest.strip_prefix('/').map_or_else(|| PathBuf::from(text), |rest| world.home.join(rest)),
        None => Path::new(text).to_owned(),
    }
}

/// Replaces `${NAME}` by the variable's value.
fn environment(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((name, tail)) = after.split_once('}') else {
            out.push_str("${");
            rest = after;
            continue;
        };
        out.push_str(&std::env::var(name).unwrap_or_default());
        rest = tail;
    }
    out + rest
}

/// A list of words as in `Ciphers`: a replacement, or with `+`, `-`, `^` a change of `default`.
pub(super) fn change_list(default: &[&str], text: &str) -> Vec<String> {
    let own = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (sign, names) = match text.chars().next() {
        Some(sign @ ('+' | '-' | '^')) => (sign, text.get(1..).unwrap_or_default()),
        _ => ('=', text),
    };
    let names: Vec<String> = names.split(',').map(|name| name.trim().to_owned()).collect();
    let without = || own(default).into_iter().filter(|name| !super::config::matches_patterns(name, &names)).collect::<Vec<_>>();
    match sign {
        '+' => own(default).into_iter().chain(names.iter().filter(|name| !default.contains(&name.as_str())).cloned()).collect(),
        '-' => without(),
        '^' => names.iter().cloned().chain(without()).collect(),
        _ => names,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"# comment
Include conf.d/*.conf
Host web* !web9
    HostName %h.example.org
    Port 2201
    User = deploy
    IdentityFile ~/.ssh/web_%r
Host "quoted" alias
    HostName=10.0.0.5 # trailing
    IdentityFile "~/.ssh/with space"
    IdentityFile ~/.ssh/second
    Port 22
    Port 99
Match originalhost inner user deploy
    ProxyJump ops@gate:2222,second
Match host *.example.org
    ServerAliveInterval 7
    ConnectTimeout 1m30s
Match user root exec "test %h = db1"
    Port 3301
Match !originalhost web1,alias localuser root
    ServerAliveCountMax 5
Match final host 10.0.0.5
    IdentitiesOnly yes
Host inner
    User deploy
Host gate
    ProxyCommand nc -X 5 %h %p # kept
    ProxyJump later
Host *
    User fallback
    UserKnownHostsFile ~/.ssh/kh1 ~/.ssh/kh2
    StrictHostKeyChecking accept-new
    HashKnownHosts yes
"#;

    /// A home with a configuration, and the user root.
    fn world(config: &str) -> (tempfile::TempDir, World) {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_owned();
        std::fs::create_dir_all(home.join(".ssh/conf.d")).unwrap();
        std::fs::write(home.join(".ssh/config"), config).unwrap();
        std::fs::write(home.join(".ssh/conf.d/a.conf"), "Host included\n Port 1111\n Include nested\nHost web1\n Compression yes\n")
            .unwrap();
        std::fs::write(home.join(".ssh/nested"), "HostName nested.example.org\n").unwrap();
        let config = Some(home.join(".ssh/config"));
        (folder, World { user: "root".into(), home, agent: None, config })
    }

    fn find(endpoint: &Endpoint, world: &World) -> Result<Settings, String> {
        Settings::find(endpoint, &Files::default(), world).map(|(settings, _)| settings).map_err(|error| error.to_string())
    }

    /// The expected values are what `ssh -G` of OpenSSH 9.2 prints for the same files (paths and tokens expanded).
    #[test]
    fn files_say_what_ssh_g_says() {
        let (_folder, world) = world(CONFIG);
        for (host, user, wanted) in [
            ("web1", None, "deploy@web1.example.org:2201 keys=web_deploy alive=7/- timeout=90 only=no"),
            ("web1", Some("root"), "root@web1.example.org:2201 keys=web_root alive=7/- timeout=90 only=no"),
            ("web9", None, "fallback@web9:22 keys= alive=0/5 timeout=0 only=no"),
            ("alias", None, "fallback@10.0.0.5:22 keys=with space,second alive=0/- timeout=0 only=yes"),
            ("included", None, "fallback@nested.example.org:1111 keys= alive=7/5 timeout=90 only=no"),
            ("inner", None, "deploy@inner:22 keys= alive=0/5 timeout=0 only=no jumps=ops@gate:2222,second"),
            ("gate", None, "fallback@gate:22 keys= alive=0/5 timeout=0 only=no command=nc -X 5 gate 22 # kept"),
            ("db1", None, "fallback@db1:3301 keys= alive=0/5 timeout=0 only=no"),
            ("other", Some("root"), "root@other:22 keys= alive=0/5 timeout=0 only=no"),
        ] {
            let endpoint = Endpoint { user: user.map(str::to_owned), ..Endpoint::ssh(host) };
            let found = find(&endpoint, &world).unwrap();
            assert_eq!(show(&found, &world), wanted);
            assert_eq!(found.known_hosts[..2], ["kh1", "kh2"].map(|name| world.home.join(".ssh").join(name)));
            assert_eq!((found.strict, found.hash_new_hosts), (Strict::AcceptNew, true));
        }
    }

    fn show(settings: &Settings, world: &World) -> String {
        let seconds = |time: Option<Duration>| time.map_or(0, |time| time.as_secs());
        let key = |path: &PathBuf| path.strip_prefix(world.home.join(".ssh")).unwrap().display().to_string();
        let keys: Vec<String> = settings.identities.iter().map(key).collect();
        let jump = |jump: &Jump| {
            let user = jump.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
            format!("{user}{}{}", jump.host, jump.port.map(|port| format!(":{port}")).unwrap_or_default())
        };
        let jumps: Vec<String> = settings.jumps.iter().map(jump).collect();
        format!(
            "{}@{}:{} keys={} alive={}/{} timeout={} only={}{}{}",
            settings.user,
            settings.host,
            settings.port,
            keys.join(","),
            seconds(settings.alive_interval),
            settings.alive_max.map_or_else(|| "-".to_owned(), |max| max.to_string()),
            seconds(settings.connect_timeout),
            if settings.identities_only { "yes" } else { "no" },
            if jumps.is_empty() { String::new() } else { format!(" jumps={}", jumps.join(",")) },
            settings.proxy_command.as_ref().map(|command| format!(" command={command}")).unwrap_or_default()
        )
    }

    #[test]
    fn the_first_of_jump_and_command_counts() {
        for (config, wanted) in [
            ("Host a\nProxyCommand first %h\nHost *\nProxyJump later", "command=first a"),
            ("Host a\nProxyJump first\nHost *\nProxyCommand later", "jumps=first"),
            ("Host a\nProxyJump none\nHost *\nProxyCommand later", "command=later"),
            ("Host a\nProxyCommand none\nHost *\nProxyJump later", "only=no"),
        ] {
            let (_folder, world) = world(config);
            let shown = show(&find(&Endpoint::ssh("a"), &world).unwrap(), &world);
            assert!(shown.ends_with(wanted), "{shown}");
        }
    }

    #[test]
    fn ssh_args_win_over_the_inventory_and_that_over_extra_args() {
        let (_folder, world) = world("Host *\nPort 4\nUser d\nServerAliveInterval 9\n");
        let mut endpoint = Endpoint { ssh_args: "-o Port=1".into(), port: Some(2), user: Some("b".into()), ..Endpoint::ssh("a") };
        endpoint.extra_args = vec!["-o Port=3 -o User=c -o ServerAliveInterval=8".into()];
        let found = find(&endpoint, &world).unwrap();
        assert_eq!((found.port, found.user.as_str(), found.alive_interval), (1, "b", Some(Duration::from_secs(8))));
        assert_eq!(found.lookup_name(), "[a]:1");
    }

    #[test]
    fn mistakes_are_shown_with_their_place() {
        for (config, wanted) in [
            ("Port\n", "config:1: expected a keyword and a value: `Port`"),
            ("\nUser \"ann\n", "config:2: a quote is not closed"),
            ("Match hots a\n", "config:1: unknown criterion `hots` in `Match`"),
            ("Match host\n", "config:1: `Match host` needs a value"),
            ("Port ssh\n", "expected a number as `port` in the SSH configuration, found `ssh`"),
            ("ProxyJump a:b\n", "expected `[user@]host[:port]` as `ProxyJump`"),
            ("Include config\n", "include each other"),
        ] {
            let (_folder, world) = world(config);
            let error = find(&Endpoint::ssh("a"), &world).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn lists_are_replaced_or_changed() {
        for (text, wanted) in [("x,b", "x,b"), ("+x,b", "a,b,c,x"), ("-b", "a,c"), ("-*", ""), ("^c,x", "c,x,a,b")] {
            assert_eq!(change_list(&["a", "b", "c"], text).join(","), wanted, "{text}");
        }
    }
}
