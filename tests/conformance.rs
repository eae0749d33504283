//! A part of the conformance suite with all tests, so that it cannot rot: clients that nobody here wrote, and that
//! `scripts/setup test` installs. `make conformance` runs the whole of it, scanners and slow attacks too.

#[cfg(test)]
mod conformance {
    use std::path::Path;
    use std::process::Command;

    const PROGRAM: &str = env!("CARGO_BIN_EXE_portreeve-under-test");

    #[test]
    fn clients_that_nobody_here_wrote_find_nothing_wrong_with_what_takes_seconds() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("../target/venv/bin/python");
        assert!(python.exists(), "{} is not there; type: make setup", python.display());
        let mut suite = Command::new(python);
        suite.arg("-B").arg(root.join("conformance/suite.py")).args(["--part", PROGRAM]);
        let ended = suite.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap())).output().unwrap();
        let told = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success(), "{told}\n{}", String::from_utf8_lossy(&ended.stderr));
        println!("{told}");
    }
}
