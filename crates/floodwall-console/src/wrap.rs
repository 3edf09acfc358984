//! Paragraphs broken at 80 columns, with what strangers sent made harmless first.
//!
//! A no-break space (U+00A0) holds a figure and its unit together and is printed as a space.

use std::borrow::Cow;

/// Columns of a page.
pub(crate) const COLUMNS: usize = 80;

/// Holds two words together on one line.
pub(crate) const NO_BREAK: char = '\u{a0}';

/// Breaks `text` into lines of at most [`COLUMNS`] columns. The first line starts with `first`, the
/// others with as many spaces as `hanging` says. A word longer than a line is cut.
pub(crate) fn wrap(first: &str, hanging: usize, text: &str) -> String {
    let mut page = String::new();
    let mut line = first.to_owned();
    let mut columns = first.chars().count();
    let mut empty = true;
    for word in text.split([' ', '\n']).filter(|word| !word.is_empty()) {
        let mut rest: Vec<char> = word.chars().collect();
        while !rest.is_empty() {
            let gap = usize::from(!empty);
            let width = rest.len();
            let room = COLUMNS.saturating_sub(columns + gap);
            if width > room && !empty {
                finish_line(&mut page, &line);
                line = " ".repeat(hanging);
                columns = hanging;
                empty = true;
                continue;
            }
            let taken = width.min(room.max(1));
            if gap == 1 {
                line.push(' ');
            }
            line.extend(rest.drain(..taken));
            columns += taken + gap;
            empty = false;
        }
    }
    finish_line(&mut page, &line);
    page
}

fn finish_line(page: &mut String, line: &str) {
    page.push_str(line.replace(NO_BREAK, " ").trim_end());
    page.push('\n');
}

/// Text with control characters (which can move the cursor or rewrite the screen) and characters
/// that change the writing direction replaced by their code.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_hidden(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Control characters, and the bidirectional and invisible ones of the Unicode General Punctuation
/// block (Trojan Source, CVE-2021-42574).
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_go_to_the_next_line_under_the_text() {
        let text = format!("{} end", "word ".repeat(16));
        let page = wrap("What: ", 6, &text);
        let lines: Vec<&str> = page.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("What: word word"));
        assert!(lines[1].starts_with("      word"));
    }

    #[test]
    fn a_figure_keeps_its_unit() {
        let page = wrap("", 0, &format!("{} 75{NO_BREAK}%", "x".repeat(76)));
        assert_eq!(page, format!("{}\n75 %\n", "x".repeat(76)));
    }

    #[test]
    fn escape_sequences_are_shown_and_not_obeyed() {
        assert_eq!(visible("plain ünï"), "plain ünï");
        assert_eq!(visible("\x1b[2Jgone"), "\\u{1b}[2Jgone");
        assert_eq!(visible("a\u{202e}b\rc\nd"), "a\\u{202e}b\\u{d}c\\u{a}d");
    }

    proptest! {
        #[test]
        fn no_line_is_too_long_and_no_letter_is_lost(text in "[a-zé \n]{0,400}", hanging in 0_usize..20) {
            let page = wrap("- ", hanging, &text);
            for line in page.lines() {
                prop_assert!(line.chars().count() <= COLUMNS);
            }
            let letters = |s: &str| s.chars().filter(|c| c.is_alphabetic()).collect::<String>();
            prop_assert_eq!(letters(&page), letters(&text));
        }
    }
}
