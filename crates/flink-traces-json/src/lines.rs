//! Encoded lines on their way into a file.

/// Whole lines that wait to be written, each with how many spans or events it holds.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    text: String,
    ends: Vec<Line>,
}

/// One line of [`Lines`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    /// Where it ends in the text, line feed included.
    pub(crate) end: usize,
    /// How many spans or events it holds.
    pub(crate) records: usize,
}

impl Lines {
    /// The text, to append the next line to.
    pub(crate) fn text(&mut self) -> &mut String {
        &mut self.text
    }

    /// Ends the line that was appended; it holds that many spans or events.
    pub(crate) fn end_line(&mut self, records: usize) {
        self.text.push('\n');
        self.ends.push(Line { end: self.text.len(), records });
    }

    /// How long the line is that was not ended yet.
    pub(crate) fn open_len(&self) -> usize {
        self.text.len() - self.ends.last().map_or(0, |line| line.end)
    }

    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// The text of all lines.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// All lines, in order.
    pub(crate) fn ends(&self) -> &[Line] {
        &self.ends
    }

    /// Forgets all lines; the memory stays.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}
