//! A file's text by lines, for carets and source lines.

use std::sync::Arc;

/// A text with the start of each of its lines.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    text: Arc<str>,
    /// Files are far smaller than 4 GiB.
    starts: Vec<u32>,
}

impl Lines {
    pub(crate) fn new(text: Arc<str>) -> Self {
        let mut starts = vec![0];
        let mut bytes = text.bytes().enumerate().peekable();
        while let Some((at, byte)) = bytes.next() {
            // YAML 1.2 §5.4: LF, CR and CR LF all end a line.
            let ends = match byte {
                b'\n' => true,
                b'\r' => bytes.peek().is_none_or(|(_, next)| *next != b'\n'),
                _ => false,
            };
            if ends {
                starts.push(u32::try_from(at + 1).unwrap_or(u32::MAX));
            }
        }
        Self { text, starts }
    }

    /// A line by its number from 1, without its break; empty when there is no such line.
    pub(crate) fn line(&self, number: u32) -> &str {
        let index = (number as usize).saturating_sub(1);
        let Some(start) = self.starts.get(index) else {
            return "";
        };
        let end = self.starts.get(index + 1).map_or(self.text.len(), |end| *end as usize);
        let line = self.text.get(*start as usize..end).unwrap_or_default();
        line.trim_end_matches(['\r', '\n'])
    }

    /// The rest of a line from a column (both from 1).
    pub(crate) fn rest(&self, line: u32, column: u32) -> &str {
        let line = self.line(line);
        let skip = (column as usize).saturating_sub(1);
        line.char_indices().nth(skip).and_then(|(at, _)| line.get(at..)).unwrap_or_default()
    }
}
