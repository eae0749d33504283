//! What a panic says goes into the log like everything else, and waits for nobody: the standard library would write it to standard
//! error from the thread that panics.

use std::panic::{self, PanicHookInfo};
use std::thread;
use std::time::Duration;

use crate::writer::Log;

/// A panic of the main thread may be the end of the process: so long it waits for its line.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Tells of panics from now on.
pub(super) fn tell(log: Log) {
    panic::set_hook(Box::new(move |info| {
        let thread = thread::current();
        let name = thread.name().unwrap_or("?");
        let message = message(info);
        let location = info.location().map(tracing::field::display);
        tracing::error!(thread = name, location, panic = message, "A panic.");
        if name == "main" {
            log.flush(LAST_WORDS);
        }
    }));
}

fn message<'i>(info: &'i PanicHookInfo<'_>) -> &'i str {
    info.payload_as_str().unwrap_or("something that is no text")
}
