//! Discovery from a file of targets, which is looked at as the configuration itself is: a `stat` works on every file
//! system and through the symbolic links that Kubernetes swaps, which notifications do not.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::Result;
use pingora_load_balancing::discovery::ServiceDiscovery;
use portreeve_config::{Target as TargetConfig, read_targets};

use super::{Discovered, Facts, Found, PacedDiscovery, not_found};

/// From one look to the next. A change is taken when the file has stayed as it is for one more look: half a list in
/// YAML is a shorter list.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// So many errors are told of a file.
const TOLD: usize = 5;

/// A file of targets.
pub(super) struct File {
    path: PathBuf,
    /// As it was when it was read last, whatever came of that; `None` before.
    read: Mutex<Option<Stamp>>,
}

/// What tells that a file has changed; `None` inside when there is none.
type Stamp = Option<(SystemTime, u64, u64)>;

impl File {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, read: Mutex::default() }
    }
}

#[async_trait]
impl ServiceDiscovery for File {
    async fn discover(&self) -> Result<Discovered> {
        let path = self.path.clone();
        // Looked at before it is read: what is written meanwhile is a change.
        let reading = tokio::task::spawn_blocking(move || (stamp(&path), read(&path)));
        let (stamp, outcome) = reading.await.map_err(|error| not_found(error.to_string()))?;
        *self.read.lock() = Some(stamp);
        Ok(Found::answer(outcome.map_err(not_found)?))
    }
}

#[async_trait]
impl PacedDiscovery for File {
    /// Waits until the file is another than the one that was read, and no longer changing.
    async fn due(&self) {
        let mut seen = None;
        loop {
            let path = self.path.clone();
            let now = tokio::task::spawn_blocking(move || stamp(&path)).await.unwrap_or_default();
            let read = *self.read.lock();
            match read {
                None => return,
                Some(read) if read == now => seen = None,
                Some(_) if seen == Some(now) => return,
                Some(_) => seen = Some(now),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn stamp(path: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len(), found.ino()))
}

/// Reads the file once. For threads that may wait.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn read(path: &Path) -> Result<Vec<Found>, String> {
    // The file is read again and again, and each time that goes into one line of the log.
    let targets = read_targets(path).map_err(|errors| errors.first(TOLD).to_string())?;
    let found = |target: TargetConfig| {
        let (address, weight) = (target.address.socket_addr()?, u32::from(target.weight));
        let facts = Facts { name: None, priority: target.priority, zone: target.zone.map(Arc::from) };
        Some(Found { address, facts, weight })
    };
    Ok(targets.into_iter().filter_map(found).collect())
}

#[cfg(test)]
mod tests {
    use super::super::reason;
    use super::*;

    #[tokio::test]
    async fn a_file_is_told_at_once_and_when_it_has_changed_and_settled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("targets.yaml");
        std::fs::write(&path, "- 10.0.0.1:80\n").unwrap();
        let file = File::new(path.clone());
        assert_eq!(file.next().await.unwrap().len(), 1);
        std::fs::write(&path, "- 10.0.0.1:80\n- { address: 10.0.0.2:80, weight: 3 }\n").unwrap();
        let found = file.next().await.unwrap();
        assert_eq!(found.iter().map(|found| found.weight).collect::<Vec<_>>(), [1, 3]);
    }

    #[tokio::test]
    async fn a_broken_file_is_an_error_once_and_a_mended_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("targets.yaml");
        let file = File::new(path.clone());
        let missing = reason(&file.next().await.unwrap_err());
        assert!(missing.contains("targets.yaml") && missing.contains("no such file"), "{missing}");
        std::fs::write(&path, "- 10.0.0.1\n").unwrap();
        let broken = reason(&file.next().await.unwrap_err());
        assert!(broken.contains("targets.yaml:1:3") && broken.contains("has no port"), "{broken}");
        std::fs::write(&path, "- 10.0.0.1\n".repeat(1_000)).unwrap();
        let many = reason(&file.next().await.unwrap_err());
        assert!(many.contains("1,994 more errors") && many.lines().count() < 40, "{many}");
        // Another file in its place, as Kubernetes and careful programs do it.
        std::fs::write(folder.path().join("new"), "[\"10.0.0.1:80\"]").unwrap();
        std::fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(file.next().await.unwrap().len(), 1);
    }
}
