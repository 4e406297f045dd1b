//! A place in the pattern that only moves forward.

/// The pattern and how much of it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'p> {
    pattern: &'p str,
    at: usize,
}

impl<'p> Cursor<'p> {
    pub(super) fn new(pattern: &'p str) -> Self {
        Self { pattern, at: 0 }
    }

    /// How many bytes were read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What was not read yet.
    pub(super) fn rest(&self) -> &'p str {
        self.pattern.get(self.at..).unwrap_or("")
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Reads this text if it comes next.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let here = self.rest().starts_with(text);
        if here {
            self.at += text.len();
        }
        here
    }

    /// Reads up to this text and past it, and gives what stood before; `None` if it never comes.
    pub(super) fn eat_until(&mut self, text: &str) -> Option<&'p str> {
        let (before, _) = self.rest().split_once(text)?;
        self.at += before.len() + text.len();
        Some(before)
    }

    /// Reads everything.
    pub(super) fn eat_all(&mut self) -> &'p str {
        let rest = self.rest();
        self.at += rest.len();
        rest
    }

    /// Reads a digit of the base and gives its value.
    pub(super) fn digit(&mut self, base: u32) -> Option<u32> {
        let value = self.peek()?.to_digit(base)?;
        self.at += 1;
        Some(value)
    }
}
