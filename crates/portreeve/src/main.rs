//! The `portreeve` binary: the library with the built-in plugins.

use std::process::ExitCode;

use portreeve::{Allocator, Gateway};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    Gateway::new().with_builtin_plugins().main()
}
