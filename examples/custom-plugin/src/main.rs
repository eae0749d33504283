//! A gateway with the built-in plugins and one more. The whole command line comes with it.

use custom_plugin::Maintenance;
use portreeve::Gateway;

fn main() -> std::process::ExitCode {
    Gateway::new().with_builtin_plugins().with_plugin::<Maintenance>().main()
}
