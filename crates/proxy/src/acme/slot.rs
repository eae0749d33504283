//! The place of one certificate: what is shown now, and when to ask for the next.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::task::spawn_blocking;

use super::challenges::Challenges;
use super::failure::Failure;
use super::settings::Settings;
use super::waiting::Waiting;
use super::window::{self, Suggestion, Window};
use super::{account, order, schedule, store};
use crate::listener::{Certified, moment};
use crate::observe::Metrics;

/// The certificate for a list of names.
#[derive(Debug)]
pub(crate) struct Slot {
    /// In lower case.
    names: Vec<String>,
    file: PathBuf,
    shown: ArcSwapOption<Certified>,
    turn: Mutex<Turn>,
}

/// When it is its turn, and what became of those before.
#[derive(Debug)]
struct Turn {
    due: SystemTime,
    /// When to ask the authority again when it would have the certificate renewed, and what it said.
    look: SystemTime,
    window: Option<Window>,
    /// In a row.
    failures: u32,
    /// A certificate that is shown and could not be written: asked for once, not again.
    unsaved: Option<Arc<str>>,
}

/// How a turn ended well.
#[derive(Debug, Clone, Copy)]
enum Done {
    /// With a certificate of our own.
    Issued,
    /// With one that another process got meanwhile.
    Found,
    /// With the file that could not be written before.
    Saved,
}

impl Slot {
    /// With what is in its file, if there is one; else with a certificate of another list that has some of the names, until
    /// its own is there: a name more is no reason to do without for the others. What failed under these settings in a process
    /// before this one is waited for still.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn load(settings: &Settings, names: &[String], file: PathBuf) -> Result<Self, String> {
        let names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        let kept = kept(&file, &names)?;
        let due = kept.as_ref().map_or(SystemTime::UNIX_EPOCH, due);
        let shown = kept.or_else(|| stand_in(&file, &names));
        let mut turn = Turn { due, look: SystemTime::UNIX_EPOCH, window: None, failures: 0, unsaved: None };
        if let Some(waiting) = Waiting::read(&file, &settings.digest(), SystemTime::now()) {
            (turn.failures, turn.due) = (waiting.failures, turn.due.max(waiting.until()));
        }
        Ok(Self { names, file, shown: ArcSwapOption::new(shown.map(Arc::new)), turn: Mutex::new(turn) })
    }

    /// Whether it is for this name (lower case).
    pub(crate) fn is_for(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }

    /// The certificate that is shown now.
    pub(crate) fn shown(&self) -> Option<Arc<Certified>> {
        self.shown.load_full()
    }

    /// Whether it is time to ask when a certificate is to be asked for.
    pub(super) fn is_to_be_consulted(&self) -> bool {
        self.turn.lock().look <= SystemTime::now()
    }

    /// When to ask for a certificate, or when that should be.
    pub(super) fn next(&self) -> SystemTime {
        let turn = self.turn.lock();
        turn.due.min(turn.look)
    }

    /// Asks the authority when it would have the certificate renewed. Where it does not say, the certificate does.
    pub(super) async fn consult(&self, settings: &Arc<Settings>) {
        let asked = self.suggested(settings).await;
        let (now, names) = (SystemTime::now(), self.names.join(" "));
        let mut turn = self.turn.lock();
        turn.look = now + window::USUAL;
        match asked {
            Ok(Some(told)) => {
                turn.look = now + told.again;
                // Another moment only for another window, or it would come nearer each time; and a failure has its own time.
                if turn.failures == 0
                    && turn.window.replace(told.window) != Some(told.window)
                    && let Some(shown) = self.shown()
                {
                    let (from, until) = shown.life();
                    turn.due = told.window.moment(moment(from), moment(until), fastrand::f64());
                    let in_seconds = turn.due.duration_since(now).unwrap_or_default().as_secs();
                    tracing::info!(names, in_seconds, "The authority says when a certificate is to be renewed.");
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(names, %error, "The authority does not say when a certificate is to be renewed.");
            }
        }
    }

    /// What the authority suggests for the certificate that is shown, if that is the one for these names.
    async fn suggested(&self, settings: &Arc<Settings>) -> Result<Option<Suggestion>, Failure> {
        let Some(shown) = self.shown().filter(|shown| checked_names(shown, &self.names).is_ok()) else {
            return Ok(None);
        };
        let Some(certificate) = shown.leaf().and_then(window::identifier) else { return Ok(None) };
        let Some(account) = account::known(settings).await? else { return Ok(None) };
        Ok(window::ask(&account, &certificate).await?)
    }

    /// Takes away what failures have added to the wait.
    pub(super) fn forget_failures(&self) {
        let mut turn = self.turn.lock();
        if turn.failures > 0 {
            turn.failures = 0;
            turn.due = SystemTime::now();
        }
    }

    /// Takes its turn: gets a certificate, shows it, keeps it. One line in the log says what came of it.
    pub(super) async fn renew(&self, settings: &Arc<Settings>, challenges: &Challenges, metrics: &Metrics) {
        let outcome = self.attempt(settings, challenges).await;
        if outcome.is_ok() {
            let file = self.file.clone();
            // One that stays is too old to matter at some time.
            spawn_blocking(move || Waiting::forget(&file)).await.ok();
        }
        let (now, names) = (SystemTime::now(), self.names.join(" "));
        let certificate = self.file.display();
        let failure = match outcome {
            Ok(done) => {
                let next = self.shown.load().as_deref().map_or(now, due).max(schedule::soonest(now));
                {
                    let mut turn = self.turn.lock();
                    (turn.failures, turn.due) = (0, next);
                    (turn.look, turn.window) = (now + window::USUAL, None);
                }
                let until = self.shown.load().as_deref().map(Certified::until);
                match done {
                    Done::Issued => tracing::info!(names, until, %certificate, "A certificate was issued."),
                    Done::Found => tracing::info!(names, until, %certificate, "Another process got a certificate."),
                    Done::Saved => tracing::info!(names, %certificate, "A certificate could be written at last."),
                }
                if !matches!(done, Done::Found) {
                    metrics.acme_order(&certificate.to_string(), "issued");
                }
                return;
            }
            Err(failure) => failure,
        };
        let (wait, waiting) = {
            let mut turn = self.turn.lock();
            turn.failures = if matches!(failure, Failure::Busy) { 1 } else { turn.failures.saturating_add(1) };
            let wait = schedule::retry(turn.failures, fastrand::f64());
            turn.due = now + wait;
            (wait, Waiting::new(turn.failures, turn.due, settings.digest()))
        };
        if !matches!(failure, Failure::Busy | Failure::Store(_)) {
            let file = self.file.clone();
            // Where it cannot be written, a restart asks sooner than it should.
            spawn_blocking(move || waiting.write(&file)).await.ok();
        }
        metrics.acme_order(&certificate.to_string(), failure.label());
        let retry_in = wait.as_secs();
        tracing::warn!(names, error = %failure, retry_in, "A certificate could not be got; it is tried again.");
    }

    async fn attempt(&self, settings: &Arc<Settings>, challenges: &Challenges) -> Result<Done, Failure> {
        let folder = settings.folder().to_owned();
        let lock = away(move || store::lock(&folder)).await?;
        let unsaved = self.turn.lock().unsaved.clone();
        if let Some(pem) = unsaved {
            self.save(pem).await?;
            return Ok(Done::Saved);
        }
        let (file, names) = (self.file.clone(), self.names.clone());
        let found = away(move || kept(&file, &names).map_err(Failure::Store)).await?;
        // What the authority wants replaced is not what is asked for, however long its own time is.
        let is_suggested = self.turn.lock().window.is_some();
        let is_shown = |found: &Certified| self.shown().is_some_and(|shown| shown.leaf() == found.leaf());
        if let Some(found) = found
            && due(&found) > SystemTime::now()
            && !(is_suggested && is_shown(&found))
        {
            self.shown.store(Some(Arc::new(found)));
            return Ok(Done::Found);
        }
        let account = account::open(settings).await?;
        let pem = order::obtain(&account, &self.names, settings.challenge(), challenges).await?;
        let certified = checked(pem.as_bytes(), &self.file, &self.names);
        let certified = certified.map_err(|why| Failure::Failed(format!("the certificate that was issued {why}")))?;
        // Shown even if it cannot be written: it is good, and the one before may not be for long.
        self.shown.store(Some(Arc::new(certified)));
        self.save(pem.into()).await?;
        drop(lock);
        Ok(Done::Issued)
    }

    async fn save(&self, pem: Arc<str>) -> Result<(), Failure> {
        self.turn.lock().unsaved = Some(pem.clone());
        let file = self.file.clone();
        away(move || store::write(&file, pem.as_bytes())).await?;
        self.turn.lock().unsaved = None;
        Ok(())
    }
}

/// Does what waits for the disk where nobody waits for it.
async fn away<T: Send + 'static>(job: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    spawn_blocking(job).await.map_err(|error| Failure::Failed(error.to_string()))?
}

/// The certificate in the store, if there is one.
fn kept(file: &Path, names: &[String]) -> Result<Option<Certified>, String> {
    let Some(bytes) = store::read(file)? else { return Ok(None) };
    let wrong =
        |why| format!("{} {why}; restore it, or move it away to have another certificate asked for", file.display());
    checked(&bytes, file, names).map(Some).map_err(wrong)
}

/// What the store has for some of these names, under another list of names.
fn stand_in(file: &Path, names: &[String]) -> Option<Certified> {
    let others = std::fs::read_dir(file.parent()?).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let others = others.filter(|other| other.extension().is_some_and(|ending| ending == "pem"));
    // One that is broken is told of where it is wanted.
    let read = |other: PathBuf| Certified::issued(&store::read(&other).ok()??, &other.display().to_string()).ok();
    let good = others.filter_map(read).filter(|other| {
        let in_time = moment(other.life().1) > SystemTime::now();
        in_time && names.iter().any(|name| other.names().contains(name))
    });
    good.max_by_key(|other| other.life().1)
}

fn checked(pem: &[u8], file: &Path, names: &[String]) -> Result<Certified, String> {
    let certified = Certified::issued(pem, &file.display().to_string())?;
    checked_names(&certified, names)?;
    Ok(certified)
}

fn checked_names(certified: &Certified, names: &[String]) -> Result<(), String> {
    match names.iter().find(|name| !certified.names().contains(name)) {
        Some(missing) => Err(format!("is not for {missing}")),
        None => Ok(()),
    }
}

fn due(certified: &Certified) -> SystemTime {
    let (from, until) = certified.life();
    schedule::renewal(moment(from), moment(until), fastrand::f64())
}
