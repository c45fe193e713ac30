//! The pages of the documentation, with their headings, links and fenced blocks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

/// A page of the documentation.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its path in the repository, such as `docs/rotate.md`.
    pub(crate) path: String,
    /// The file's name without its extension, such as `rotate`.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A fenced block of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// The nearest heading above, of any level.
    pub(crate) heading: String,
    /// What follows the opening fence, such as `bash`, or `text` for what commands print.
    pub(crate) language: String,
    /// Its lines.
    pub(crate) text: String,
}

/// The pages whose commands are tested: the README, `CONTRIBUTING.md` and `docs/`.
pub(crate) fn pages() -> &'static [Page] {
    static PAGES: OnceLock<Vec<Page>> = OnceLock::new();
    PAGES.get_or_init(|| {
        let entries = std::fs::read_dir(repository().join("docs")).expect("docs can be listed");
        let names = entries.map(|entry| entry.expect("docs can be listed").file_name());
        let names = names.map(|name| name.into_string().expect("a name is Unicode"));
        let mut paths: Vec<_> = names
            .filter(|name| has_extension(name, "md"))
            .map(|name| format!("docs/{name}"))
            .collect();
        paths.sort();
        paths.extend(["README.md".to_owned(), "CONTRIBUTING.md".to_owned()]);
        paths.into_iter().map(|path| read(&path)).collect()
    })
}

/// Returns the page of this name, such as `rotate`.
pub(crate) fn page(name: &str) -> &'static Page {
    let page = pages().iter().find(|page| page.name == name);
    page.unwrap_or_else(|| panic!("there is no page {name}"))
}

/// Reads a page by its path in the repository.
pub(crate) fn read(path: &str) -> Page {
    let text = std::fs::read_to_string(repository().join(path));
    let text = text.unwrap_or_else(|error| panic!("{path}: {error}"));
    let name = Path::new(path).file_stem().and_then(|name| name.to_str());
    Page {
        path: path.to_owned(),
        name: name.expect("a path has a name").to_owned(),
        text,
    }
}

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|of| of == extension)
}

impl Page {
    /// Returns its fenced blocks, in their order.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let (mut blocks, mut heading, mut open) = (Vec::new(), "", None::<Block>);
        for line in self.text.lines() {
            match &mut open {
                Some(_) if line == "```" => blocks.extend(open.take()),
                Some(block) => block.text.extend([line, "\n"]),
                None => {
                    if let Some(language) = line.strip_prefix("```") {
                        open = Some(Block {
                            heading: heading.to_owned(),
                            language: language.to_owned(),
                            text: String::new(),
                        });
                    } else if let Some(words) = heading_in(line) {
                        heading = words;
                    }
                }
            }
        }
        assert_eq!(open, None, "{}: a block has no end", self.path);
        blocks
    }

    /// Returns the text of the only block that contains these words.
    pub(crate) fn block_with(&self, words: &str) -> String {
        let mut blocks = self.blocks();
        blocks.retain(|block| block.text.contains(words));
        assert_eq!(blocks.len(), 1, "{}: blocks with {words:?}", self.path);
        blocks.remove(0).text
    }

    /// Returns its lines outside fenced blocks, each with its number.
    pub(crate) fn prose(&self) -> Vec<(usize, &str)> {
        let mut is_fenced = false;
        let mut lines: Vec<_> = (1..).zip(self.text.lines()).collect();
        lines.retain(|(_, line)| {
            let is_fence = line.starts_with("```");
            is_fenced ^= is_fence;
            !is_fence && !is_fenced
        });
        lines
    }

    /// Returns its headings of any level.
    pub(crate) fn headings(&self) -> Vec<&str> {
        let lines = self.prose().into_iter();
        lines.filter_map(|(_, line)| heading_in(line)).collect()
    }

    /// Returns its `###` headings, each below its `##` heading.
    pub(crate) fn entries(&self) -> Vec<(&str, &str)> {
        let (mut section, mut entries) = ("", Vec::new());
        for (_, line) in self.prose() {
            if let Some(heading) = line.strip_prefix("## ") {
                section = heading;
            } else if let Some(heading) = line.strip_prefix("### ") {
                entries.push((section, heading));
            }
        }
        entries
    }

    /// Returns the anchors that GitHub gives its headings.
    ///
    /// GitHub numbers a heading that occurs more than once.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let mut seen = BTreeMap::<String, usize>::new();
        let mut anchors = Vec::new();
        for heading in self.headings() {
            let anchor = anchor_of(heading);
            let count = seen.entry(anchor.clone()).or_default();
            anchors.push(match *count {
                0 => anchor,
                count => format!("{anchor}-{count}"),
            });
            *count += 1;
        }
        anchors
    }

    /// Returns the targets of its links, each with the number of its line.
    pub(crate) fn links(&self) -> Vec<(usize, &str)> {
        let mut links = Vec::new();
        for (number, line) in self.prose() {
            let starts = line.split("](").skip(1);
            let targets = starts.filter_map(|rest| Some(rest.split_once(')')?.0));
            links.extend(targets.map(|target| (number, target)));
        }
        links
    }
}

fn heading_in(line: &str) -> Option<&str> {
    let words = line.trim_start_matches('#');
    let level = line.len() - words.len();
    (1..=6)
        .contains(&level)
        .then(|| words.strip_prefix(' '))
        .flatten()
}

/// Lower case, without punctuation, and with a hyphen for each space.
fn anchor_of(heading: &str) -> String {
    let heading = heading.trim().to_lowercase();
    let letters = heading.chars();
    let letters = letters.filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    letters.collect::<String>().replace(' ', "-")
}
