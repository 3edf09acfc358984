//! The paper: headings, paragraphs, items and rows at 80 columns.
//!
//! Every text passes through here, and here alone is what strangers sent made harmless.

use crate::wrap::{visible, wrap};

/// A text being written.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
}

impl Page {
    /// A heading with a line under it.
    pub(super) fn heading(&mut self, heading: &str) {
        self.gap();
        let line = "-".repeat(heading.chars().count());
        self.text.push_str(&format!("{heading}\n{line}\n"));
    }

    /// A question.
    pub(super) fn question(&mut self, question: &str) {
        self.gap();
        self.text.push_str(&format!("{question}\n"));
    }

    /// A question and its answer under it.
    pub(super) fn answer(&mut self, question: &str, answer: &str) {
        self.question(question);
        self.text.push_str(&wrap("  ", 2, &visible(answer)));
    }

    /// A paragraph, with an empty line before it unless it follows a heading.
    pub(super) fn paragraph(&mut self, text: &str) {
        if !self.text.ends_with("-\n") {
            self.gap();
        }
        self.text.push_str(&wrap("", 0, &visible(text)));
    }

    /// An item of a list, `level` steps to the right.
    pub(super) fn item(&mut self, level: usize, text: &str) {
        let indent = " ".repeat(level * 2);
        self.text.push_str(&wrap(&format!("{indent}- "), indent.len() + 2, &visible(text)));
    }

    /// A numbered item.
    pub(super) fn step(&mut self, number: usize, text: &str) {
        self.text.push_str(&wrap(&format!("  {number}. "), 5, &visible(text)));
    }

    /// A line of a table: a name, and its value to the right of column `column`. A name that does
    /// not fit stands above its value.
    pub(super) fn row(&mut self, column: usize, name: &str, value: &str) {
        let mut name = visible(name);
        if name.chars().count() >= column {
            self.text.push_str(&wrap("  ", 4, &name));
            name = "".into();
        }
        self.text.push_str(&wrap(&format!("  {name:<column$}"), column + 2, &visible(value)));
    }

    /// An empty line, unless there is one or the page is empty.
    pub(super) fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        self.text
    }
}
