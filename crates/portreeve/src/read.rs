//! Reading the configuration, and knowing afterwards whether its files are still those that were read.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use portreeve_config::{Loaded, Refused, Sources, matching};
use portreeve_plugin::Registry;

use crate::load::load;

/// What tells a changed file, of each of some files. Through symbolic links, such as those that Kubernetes swaps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint(BTreeMap<PathBuf, State>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// A file that can be looked at.
    File {
        size: u64,
        modified: SystemTime,
        /// Another file may take the place of the first with the same size and time.
        inode: u64,
    },
    /// The files that fit a pattern.
    Matching(Vec<PathBuf>),
    /// Nothing can be seen there: it may appear.
    Nothing,
}

impl Fingerprint {
    /// Of the same files, as they are now.
    pub(crate) fn again(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), state(path))).collect())
    }

    /// Without the files that are not among `paths`.
    pub(crate) fn only<'p>(mut self, paths: impl Iterator<Item = &'p Path> + Clone) -> Self {
        self.0.retain(|known, _| paths.clone().any(|path| path == known));
        self
    }

    /// Takes in a file that was not known, as it is now. Returns whether it was not.
    fn meets(&mut self, path: &Path) -> bool {
        if self.0.contains_key(path) {
            return false;
        }
        self.0.insert(path.to_owned(), state(path));
        true
    }
}

/// What tells a changed file, or of a pattern whether other files fit it.
fn state(path: &Path) -> State {
    let file = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file);
    match file.and_then(|file| Some((file.len(), file.modified().ok()?, file.ino()))) {
        Some((size, modified, inode)) => State::File { size, modified, inode },
        None => match matching(path) {
            none if none.is_empty() => State::Nothing,
            files => State::Matching(files),
        },
    }
}

/// What came of reading a configuration.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) outcome: Result<Loaded, Box<Refused>>,
    /// Of every file that was read, was looked for or was watched before, as it was *before* it was read: an edit that comes while the
    /// configuration is read or put into effect makes a difference to this.
    pub(crate) fingerprint: Fingerprint,
}

/// Includes may name files that include more; nobody edits them so fast that it takes longer than this to see them all.
const MOST_ROUNDS: usize = 3;

/// Reads the file at `path` with all it includes. `watched` are the files that are watched for the configuration in effect.
pub(crate) fn read(path: &Path, registry: &Registry, watched: &Fingerprint) -> Reading {
    let mut fingerprint = watched.again();
    fingerprint.meets(path);
    let mut round = 1;
    loop {
        let outcome = load(path, registry);
        // Which files belong to it is known only when they have been read. Those that were not looked at before are read once
        // more, since an edit between the reading and the look could not be told.
        let met = files(&outcome).filter(|file| fingerprint.meets(file)).count();
        if met == 0 || round == MOST_ROUNDS {
            return Reading { outcome, fingerprint };
        }
        round += 1;
    }
}

/// What belongs to a configuration: the files that were read, and what `include` names, whether there is a file or not.
/// Good or refused: an edit there may mend it, and a file that appears may be what was missing.
pub(crate) fn belonging(sources: &Sources) -> impl Iterator<Item = &Path> + Clone {
    sources.paths().chain(sources.wanted())
}

fn files(outcome: &Result<Loaded, Box<Refused>>) -> impl Iterator<Item = &Path> {
    belonging(outcome.as_ref().map_or_else(|refused| &refused.sources, |loaded| &loaded.sources))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn a_file_in_the_place_of_another_is_told_by_more_than_size_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("gateway.yaml"), folder.path().join("other.yaml"));
        let time = SystemTime::UNIX_EPOCH;
        for (path, text) in [(&path, "a: 1"), (&other, "a: 2")] {
            fs::write(path, text).unwrap();
            File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        }
        let mut before = Fingerprint::default();
        assert!(before.meets(&path));
        assert_eq!(before.again(), before);
        fs::rename(&other, &path).unwrap();
        assert_ne!(before.again(), before);
        fs::remove_file(&path).unwrap();
        assert_ne!(before.again(), before);
    }

    #[test]
    fn every_file_that_was_read_and_every_file_that_is_wrong_belongs_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let (main, part) = (folder.path().join("gateway.yaml"), folder.path().join("part.yaml"));
        fs::write(&main, "version: 1\ninclude: [part.yaml]\nlisteners: [{ name: public, bind: '127.0.0.1:0' }]\n")
            .unwrap();
        let paths = |reading: &Reading| reading.fingerprint.0.keys().cloned().collect::<Vec<_>>();
        for (text, is_good) in [("routes: what", false), ("tiers: { free: { rate: 1/s } }", true)] {
            fs::write(&part, text).unwrap();
            let reading = read(&main, &Registry::new(), &Fingerprint::default());
            assert_eq!(reading.outcome.is_ok(), is_good, "{:?}", reading.outcome.err());
            assert_eq!(paths(&reading), [main.clone(), part.clone()]);
            assert_eq!(reading.fingerprint, reading.fingerprint.again());
        }
    }
}
