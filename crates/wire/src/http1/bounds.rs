//! How large the parts of a message may be.

/// Bounds on a message that keep what it costs to read it finite. A body has none here: its bytes are not kept.
///
/// ```
/// use portreeve_wire::http1::Bounds;
///
/// let bounds = Bounds { fields: 50, ..Bounds::default() };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of request line and fields together, with their line ends and the empty line. Default 64 KiB. Beyond: 431.
    pub head_bytes: usize,
    /// Number of fields, and of trailer fields. Default 100. Beyond: 431.
    pub fields: usize,
    /// Bytes of the request target. Default 8 KiB, as RFC 9112 §3 asks for at least. Beyond: 414.
    pub target_bytes: usize,
    /// Bytes of all trailer fields, with their line ends and the empty line. Default 8 KiB. Beyond: 431.
    pub trailer_bytes: usize,
    /// Bytes of the line before a chunk, extensions and line end included. Default 256. Beyond: 400.
    pub chunk_line_bytes: usize,
    /// Bytes of all chunk extensions of a body. Default 16 KiB, as much as hyper takes. Beyond: 400.
    pub extension_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            fields: 100,
            target_bytes: 8 * 1024,
            trailer_bytes: 8 * 1024,
            chunk_line_bytes: 256,
            extension_bytes: 16 * 1024,
        }
    }
}
