//! Encoded lines that are about to be written.

/// Whole lines in memory, each with the number of its records.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    text: String,
    ends: Vec<Line>,
}

/// A line of [`Lines`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    /// The index of its end in the text, after the line feed.
    pub(crate) end: usize,
    /// The number of spans or events in it.
    pub(crate) records: usize,
}

impl Lines {
    /// Returns the text, to which the caller appends the next line.
    pub(crate) fn text(&mut self) -> &mut String {
        &mut self.text
    }

    /// Ends the appended line, which holds that many spans or events.
    pub(crate) fn end_line(&mut self, records: usize) {
        self.text.push('\n');
        self.ends.push(Line { end: self.text.len(), records });
    }

    /// Returns the length of the line that has not been ended.
    pub(crate) fn open_len(&self) -> usize {
        self.text.len() - self.ends.last().map_or(0, |line| line.end)
    }

    /// Returns the length of all lines.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// Returns the text of all lines.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Returns the ends of all lines, in order.
    pub(crate) fn ends(&self) -> &[Line] {
        &self.ends
    }

    /// Removes all lines and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}
