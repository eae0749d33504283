//! Reading a file, bounded.

use std::io::{self, Read as _};
use std::path::Path;

use crate::units;

/// 10,000 routes are about 2 MiB.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Reads a file once, from its beginning to its end, so that `/dev/stdin` will do. A named pipe will not: a reload must end.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    units::file::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot read the file: {}", plain(&error)))?;
    bounded(bytes)
}

/// A text of at most the allowed size, in UTF-8, without a byte order mark.
pub(crate) fn bounded(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("the file is larger than {} MiB", MAX_BYTES >> 20));
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..valid).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        format!("the file is not UTF-8 (first wrong byte in line {line})")
    })?;
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

/// What went wrong, without the number of the error.
pub(crate) fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "it is a folder".into(),
        _ => error.to_string(),
    }
}
