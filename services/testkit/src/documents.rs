//! The blocks of commands in the project's documents, and which test executes each.
//!
//! A block is four spaces deep, or fenced as `sh`. The line of text before it is a comment: `<!-- test: NAME -->` names the test
//! that executes it, `<!-- no test: REASON -->` says why none does. Blocks in other languages are no commands.

use std::{fmt, io, path::Path};

/// The documents, in the order in which a reader comes to them.
pub const DOCUMENTS: [&str; 4] = ["README.md", "deploy/README.md", "deploy/hosting.md", "loadtest/README.md"];

/// A block of commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The document.
    pub document: String,
    /// The number of its first line, from 1.
    pub line: usize,
    /// The commands.
    pub commands: String,
    /// What the document says about its test. `None` if it says nothing.
    pub mark: Option<Mark>,
}

/// What a document says about a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// This test executes it.
    Test(String),
    /// No test does, for this reason.
    NoTest(String),
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.document, self.line, self.commands.lines().next().unwrap_or_default())
    }
}

impl Block {
    /// Whether this test executes it.
    pub fn is_tested_by(&self, test: &str) -> bool {
        self.mark == Some(Mark::Test(test.to_owned()))
    }
}

/// All blocks of commands, in a reader's order.
///
/// # Errors
/// If a document cannot be read.
pub fn blocks(root: &Path) -> io::Result<Vec<Block>> {
    let mut blocks = Vec::new();
    for document in DOCUMENTS {
        blocks.extend(parse(document, &std::fs::read_to_string(root.join(document))?));
    }
    Ok(blocks)
}

/// The blocks of commands in a text.
fn parse(document: &str, text: &str) -> Vec<Block> {
    let lines: Vec<&str> = text.lines().collect();
    let mut blocks = Vec::new();
    // The last line of text that is not empty.
    let mut before = "";
    let mut at = 0;
    while at < lines.len() {
        let begin = at;
        let (commands, is_block) = if let Some(language) = lines[at].strip_prefix("```") {
            let length = lines[at + 1..].iter().take_while(|line| !line.starts_with("```")).count();
            at += length + 2;
            (lines[begin + 1..begin + 1 + length].join("\n"), language.trim() == "sh")
        } else if lines[at].starts_with("    ") && (at == 0 || lines[at - 1].trim().is_empty()) {
            let length = lines[at..].iter().take_while(|line| line.starts_with("    ")).count();
            at += length;
            (lines[begin..at].iter().map(|line| &line[4..]).collect::<Vec<_>>().join("\n"), true)
        } else {
            if !lines[at].trim().is_empty() {
                before = lines[at];
            }
            at += 1;
            continue;
        };
        if is_block {
            let (document, mark) = (document.to_owned(), mark(before));
            blocks.push(Block { document, line: begin + 1, commands, mark });
        }
        // A mark is for one block.
        before = "";
    }
    blocks
}

fn mark(line: &str) -> Option<Mark> {
    let comment = line.trim().strip_prefix("<!--")?.strip_suffix("-->")?.trim();
    let test = comment.strip_prefix("test: ").map(|name| Mark::Test(name.to_owned()));
    test.or_else(|| comment.strip_prefix("no test: ").map(|reason| Mark::NoTest(reason.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_blocks_are_found_with_their_marks() {
        let text = "Text\n\n<!-- test: node -->\n\n    a\n    b\n\nmore\n\n```sh\nc\n```\n\n```html\n<p>\n```\n\n\
                    <!-- no test: it is too long -->\n```sh\nd\n```\n\n- a list\n    that goes on\n";
        let found = parse("x.md", text);
        let found: Vec<_> = found.iter().map(|it| (it.line, it.commands.as_str(), it.mark.clone())).collect();
        let reason = Mark::NoTest("it is too long".to_owned());
        assert_eq!(found, [(5, "a\nb", Some(Mark::Test("node".to_owned()))), (10, "c", None), (19, "d", Some(reason))]);
    }
}
