//! The `portreeve` binary: the library with the built-in plugins.

use std::process::ExitCode;

use portreeve::Gateway;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Gateway::new().with_builtin_plugins().main()
}
