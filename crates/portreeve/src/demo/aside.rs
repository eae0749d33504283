//! Where the gateway of the demo writes while it runs: the terminal belongs to the lines to paste.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::stdio::{dup2_stderr, dup2_stdout};

const OUT: &str = "access.log";
const ERR: &str = "gateway.log";

/// Standard output and standard error of this process go to files for as long as this lives. Dropped, it takes the files away.
#[derive(Debug)]
pub(crate) struct Aside {
    folder: PathBuf,
    /// What they were before, and whether they are to be so again.
    out: File,
    err: File,
    is_over: bool,
}

impl Aside {
    /// Begins, with files below `parent`.
    ///
    /// # Errors
    /// When the files cannot be made.
    pub(crate) fn begin(parent: &Path) -> io::Result<Self> {
        let folder = parent.join(format!("portreeve-demo-{}", std::process::id()));
        // Nobody else's: it fails if there is anything of that name.
        DirBuilder::new().mode(0o700).create(&folder)?;
        let (out, err) = (io::stdout().as_fd().try_clone_to_owned(), io::stderr().as_fd().try_clone_to_owned());
        let aside = Self { folder, out: out?.into(), err: err?.into(), is_over: false };
        io::stdout().flush()?;
        dup2_stdout(File::create(aside.out_file())?)?;
        dup2_stderr(File::create(aside.err_file())?)?;
        Ok(aside)
    }

    /// What goes to standard output.
    pub(crate) fn out_file(&self) -> PathBuf {
        self.folder.join(OUT)
    }

    /// What goes to standard error.
    pub(crate) fn err_file(&self) -> PathBuf {
        self.folder.join(ERR)
    }

    /// The last that is said: what is still logged is nobody's.
    ///
    /// # Errors
    /// When nobody reads there any more.
    pub(crate) fn end(mut self, text: &str) -> io::Result<()> {
        self.is_over = true;
        self.say(text)
    }

    /// Writes to where standard output went before.
    ///
    /// # Errors
    /// When nobody reads there any more.
    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        io::stdout().flush().ok();
        if !self.is_over {
            dup2_stdout(&self.out).ok();
            dup2_stderr(&self.err).ok();
        }
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// In a process of its own, which is this test once more: standard output is everybody's.
    #[test]
    fn what_is_printed_goes_to_a_file_and_what_is_said_to_the_terminal() {
        const CHILD: &str = "PORTREEVE_TEST_ASIDE";
        let name = "demo::aside::tests::what_is_printed_goes_to_a_file_and_what_is_said_to_the_terminal";
        let folder = tempfile::tempdir().unwrap();
        if let Some(parent) = std::env::var_os(CHILD) {
            let mut aside = Aside::begin(Path::new(&parent)).unwrap();
            writeln!(io::stdout(), "a line of the access log").unwrap();
            writeln!(io::stderr(), "a line of the log").unwrap();
            let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
            let both = read(aside.out_file()) + &read(aside.err_file());
            aside.say(&format!("said: {}", both.replace('\n', "; "))).unwrap();
            drop(aside);
            writeln!(io::stdout(), "after it").unwrap();
            return;
        }
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", name])
            .env(CHILD, folder.path())
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8(child.stdout).unwrap(), String::from_utf8(child.stderr).unwrap());
        assert!(out.contains("said: a line of the access log; a line of the log; after it\n"), "{out}");
        assert!(!out.contains("\na line of the access log\n") && !err.contains("a line of the log"), "{out}{err}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    }
}
