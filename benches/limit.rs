//! The limit: what the smallest program over the same SSH library needs to log in on all hosts and make the round trips.
//!
//! `limit KEY USER TURNS ADDRESS:PORT...` prints its wall and CPU seconds; `benches/limit.sh` compares them with rappel's.

#![expect(clippy::print_stdout, reason = "the numbers are what it is called for")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use russh::client::{Config, Handler, connect};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key};
use russh::{ChannelMsg, Preferred, cipher};

type Failed = Box<dyn std::error::Error + Send + Sync>;

struct Anyone;

impl Handler for Anyone {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

async fn visit(config: Arc<Config>, key: PrivateKeyWithHashAlg, user: String, address: String, turns: usize) -> Result<(), Failed> {
    let mut handle = connect(config, address, Anyone).await?;
    if !handle.authenticate_publickey(user, key).await?.success() {
        return Err("the key is refused".into());
    }
    let mut channel = handle.channel_open_session().await?;
    channel.exec(true, "cat").await?;
    for _ in 0..turns {
        channel.data_bytes(vec![b'x'; 256]).await?;
        let mut missing = 256;
        while missing > 0 {
            if let ChannelMsg::Data { data } = channel.wait().await.ok_or("the channel ended")? {
                missing -= data.len();
            }
        }
    }
    Ok(())
}

fn main() -> Result<(), Failed> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [key, user, turns, addresses @ ..] = words.as_slice() else {
        println!("limit KEY USER TURNS ADDRESS:PORT...");
        return Ok(());
    };
    let turns = turns.parse()?;
    let key = PrivateKeyWithHashAlg::new(Arc::new(load_secret_key(key, None)?), None);
    let preferred = Preferred { cipher: vec![cipher::AES_128_GCM, cipher::CHACHA20_POLY1305].into(), ..Preferred::DEFAULT };
    let config = Arc::new(Config { nodelay: true, preferred, ..Config::default() });
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut visits = tokio::task::JoinSet::new();
        for address in addresses {
            visits.spawn(visit(Arc::clone(&config), key.clone(), user.clone(), address.clone(), turns));
        }
        while let Some(done) = visits.join_next().await {
            done??;
        }
        Ok::<_, Failed>(())
    })?;
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu = Duration::new(cpu.tv_sec.unsigned_abs(), cpu.tv_nsec.try_into()?);
    println!("{:.3} {:.3}", begun.elapsed().as_secs_f64(), cpu.as_secs_f64());
    Ok(())
}
