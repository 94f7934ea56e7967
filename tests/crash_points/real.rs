//! The same on OpenSSH servers, with connections that break besides. A sample: `RAPPEL_CRASH_SAMPLE` says how many points.

use std::fs;
use std::time::Instant;

use super::{HOSTS, World};
use crate::support::fault::Proxy;
use crate::support::sshd::{Sshd, public};

/// How many points are tried when nobody says; they take about a second each.
const SAMPLE: u64 = 24;
/// How many are tried at once.
const WORKERS: usize = 4;
/// More points than a run passes.
const MANY: u32 = 100_000;

struct Real {
    world: World,
    proxies: Vec<Proxy>,
    _sshds: Vec<Sshd>,
}

impl Real {
    /// `None`, with the reason printed, where no sshd is installed.
    async fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (mut sshds, mut proxies, mut homes) = (Vec::<Sshd>::new(), Vec::new(), Vec::new());
        let (mut known, mut inventory) = (String::new(), "[lab]\n".to_owned());
        for index in 0..HOSTS {
            let name = format!("lab{}", index + 1);
            let home = folder.path().join("fleet").join(&name);
            fs::create_dir_all(&home).unwrap();
            let place = home.display();
            let extra =
                format!("SetEnv XDG_CACHE_HOME={place}/.cache RAPPEL_STATE_DIR={place}/.local/state/rappel RAPPEL_TEST_HOST={place}");
            let sshd = Sshd::start(&folder.path().join("sshd").join(&name), &extra).await?;
            let proxy = Proxy::start(sshd.port).await;
            known.push_str(&format!("[127.0.0.1]:{} {}\n", proxy.port, public(&sshd.host_key)));
            inventory.push_str(&format!(
                "{name} ansible_port={} ansible_user={} ansible_ssh_private_key_file={}\n",
                proxy.port,
                sshd.user,
                sshd.login.display()
            ));
            sshds.push(sshd);
            proxies.push(proxy);
            homes.push(home);
        }
        let file = folder.path().join("known_hosts");
        fs::write(&file, known).unwrap();
        inventory.push_str(&format!(
            "[lab:vars]\nansible_host=127.0.0.1\n\
             ansible_ssh_args=-F none -o UserKnownHostsFile={} -o GlobalKnownHostsFile=none -o IdentityAgent=none\n",
            file.display()
        ));
        Some(Self { world: World::over(folder, homes, &inventory, None), proxies, _sshds: sshds })
    }

    /// Runs undisturbed: how many points each host passes, and how many bytes it is sent.
    async fn measure(&self) -> Vec<(u32, u64)> {
        self.world.reset();
        for host in 0..HOSTS {
            fs::write(self.world.home(host).join("crash"), MANY.to_string()).unwrap();
        }
        let sent: Vec<u64> = self.proxies.iter().map(Proxy::sent).collect();
        let (code, said) = self.world.rappel(&["play", "-i", "hosts", "site.yml"], None).await;
        assert_eq!(code, Some(0), "{said}");
        let left = |host: usize| fs::read_to_string(self.world.home(host).join("crash")).unwrap().trim().parse::<u32>().unwrap();
        (0..HOSTS).map(|host| (MANY - left(host), self.proxies[host].sent() - sent[host])).collect()
    }

    /// Tries point number `index`. Whether something died or broke there.
    async fn try_one(&self, index: u64, measured: &[(u32, u64)]) -> bool {
        self.world.reset();
        // The same points every time, all over the run.
        let somewhere = |end: u64| index.wrapping_mul(0x9E37_79B9_7F4A_7C15) % end + 1;
        let host = usize::try_from(index / 3).unwrap() % HOSTS;
        let (points, bytes) = measured[host];
        match index % 3 {
            0 => {
                let point = somewhere(points.into());
                let crash = self.world.home(host).join("crash");
                fs::write(&crash, point.to_string()).unwrap();
                self.world.one(&format!("host {host} died at point {point}"), None).await;
                !crash.exists()
            }
            1 => {
                let frame = u32::try_from(somewhere(u64::from(points) * 3 / 2)).unwrap();
                self.world.one(&format!("the controller died at frame {frame}"), Some(frame)).await.is_none()
            }
            _ => {
                // Not in the first bytes, where the connection is still being made.
                let after = 4000 + somewhere(bytes - 4000);
                self.proxies[host].cut_after(after);
                self.world.one(&format!("the connection to host {host} broke after {after} bytes"), None).await;
                true
            }
        }
    }
}

/// Tries every `WORKERS`th point from `first` on, on hosts of its own. How many runs there were, and how many were struck.
async fn work(first: u64, count: u64) -> Option<(u64, u64)> {
    let real = Real::new().await?;
    let measured = real.measure().await;
    let (mut runs, mut struck) = (0, 0);
    for index in (first..count).step_by(WORKERS) {
        runs += 1;
        struck += u64::from(real.try_one(index, &measured).await);
    }
    println!("points that hosts pass, and bytes that they are sent: {measured:?}");
    Some((runs, struck))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_of_all_points_leaves_real_hosts_whole() {
    let count = std::env::var("RAPPEL_CRASH_SAMPLE").ok().and_then(|count| count.parse().ok()).unwrap_or(SAMPLE);
    let began = Instant::now();
    let done = futures::future::join_all((0..WORKERS as u64).map(|first| work(first, count))).await;
    let Some(done) = done.into_iter().collect::<Option<Vec<_>>>() else { return };
    let (runs, struck) = done.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("{struck} of {runs} runs were struck; {:.0} s", began.elapsed().as_secs_f64());
    assert!(runs == count && struck * 3 > count * 2, "only {struck} of {runs} runs were struck");
}
