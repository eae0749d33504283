//! How long to wait after failures, kept beside the certificate: a restart is no reason to ask again at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::{schedule, store};

/// What is kept of failures.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// In a row.
    pub(super) failures: u32,
    /// Seconds since 1970.
    until: u64,
    /// The settings they failed under.
    settings: String,
}

impl Waiting {
    pub(super) fn new(failures: u32, until: SystemTime, settings: String) -> Self {
        let until = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { failures, until, settings }
    }

    pub(super) fn until(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.until)
    }

    /// What is kept for the certificate of this file. `None` if nothing is, or nothing that still matters: it failed under
    /// other settings, it is over, or it is farther off than anything is waited for, so that a clock was wrong.
    pub(super) fn read(certificate: &Path, settings: &str, now: SystemTime) -> Option<Self> {
        let bytes = store::read(&beside(certificate)).ok()??;
        let kept: Self = serde_json::from_slice(&bytes).ok()?;
        let left = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(kept.until))?.duration_since(now).ok()?;
        (kept.settings == settings && left <= schedule::longest()).then_some(kept)
    }

    pub(super) fn write(&self, certificate: &Path) -> Result<(), Failure> {
        let text = serde_json::to_vec(self).map_err(|error| Failure::Failed(error.to_string()))?;
        store::write(&beside(certificate), &text)
    }

    /// Whatever failed before is made good.
    pub(super) fn forget(certificate: &Path) {
        // Usually there is none.
        fs::remove_file(beside(certificate)).ok();
    }
}

fn beside(certificate: &Path) -> PathBuf {
    certificate.with_extension("waiting.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_outlives_the_process_unless_it_is_over_or_about_something_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.example-1234.pem");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let in_minutes = |minutes| now + Duration::from_mins(minutes);
        assert_eq!(Waiting::read(&file, "these", now), None);
        Waiting::new(3, in_minutes(4), "these".to_owned()).write(&file).unwrap();
        let kept = Waiting::read(&file, "these", now).unwrap();
        assert_eq!((kept.failures, kept.until()), (3, in_minutes(4)));
        assert_eq!(Waiting::read(&file, "others", now), None);
        assert_eq!(Waiting::read(&file, "these", in_minutes(5)), None);
        // A clock that was a day ahead keeps nobody waiting for a day.
        assert_eq!(Waiting::read(&file, "these", now - Duration::from_hours(24)), None);
        fs::write(beside(&file), "{").unwrap();
        assert_eq!(Waiting::read(&file, "these", now), None);
        fs::write(beside(&file), format!("{{\"failures\":1,\"until\":{},\"settings\":\"these\"}}", u64::MAX)).unwrap();
        assert_eq!(Waiting::read(&file, "these", now), None);
        Waiting::forget(&file);
        assert!(!beside(&file).exists() && fs::read_dir(folder.path()).unwrap().count() == 0);
        Waiting::forget(&file);
    }
}
