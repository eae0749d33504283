//! The gateway as a process of its own, for the tests that send it signals and read its exit status.

use std::process::ExitCode;

use portreeve::Gateway;

fn main() -> ExitCode {
    Gateway::new().with_builtin_plugins().main()
}
