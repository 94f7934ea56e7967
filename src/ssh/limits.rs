//! Limits on connecting: servers and jump hosts drop connections that come too many at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counts the handshakes that are under way.
#[derive(Debug)]
pub(super) struct Limits {
    everywhere: Arc<Semaphore>,
    per_address: usize,
    addresses: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// The right to shake hands, until dropped.
#[derive(Debug)]
pub(super) struct Permit {
    _everywhere: Option<OwnedSemaphorePermit>,
    _address: Option<OwnedSemaphorePermit>,
}

impl Limits {
    pub(super) fn new(everywhere: usize, per_address: usize) -> Self {
        Self { everywhere: Arc::new(Semaphore::new(everywhere.max(1))), per_address: per_address.max(1), addresses: Mutex::default() }
    }

    /// Waits for the right to shake hands with `address`.
    pub(super) async fn enter(&self, address: &str) -> Permit {
        let semaphore = {
            let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = || Arc::new(Semaphore::new(self.per_address));
            Arc::clone(addresses.entry(address.to_owned()).or_insert_with(fresh))
        };
        // The address first: hosts behind a busy one must not keep others from connecting.
        let address = semaphore.acquire_owned().await.ok();
        let everywhere = Arc::clone(&self.everywhere).acquire_owned().await.ok();
        Permit { _everywhere: everywhere, _address: address }
    }
}
