//! The fenced blocks of the documentation, so that tests run what people are told to run.

/// One block of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// The `##` that it stands below.
    pub(crate) section: String,
    /// The `###` that it stands below; that of the section where there is none in between.
    pub(crate) title: String,
    /// What stands behind the opening fence: nothing for commands, `text` for what they print.
    pub(crate) language: String,
    /// Its lines.
    pub(crate) text: String,
}

/// The text of the one block of a page that holds these words.
pub(crate) fn block_with(page: &str, words: &str) -> String {
    let mut blocks = blocks(page);
    blocks.retain(|block| block.text.contains(words));
    assert_eq!(blocks.len(), 1, "blocks with {words:?}");
    blocks.remove(0).text
}

/// All blocks of a page, in their order.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut section, mut title, mut open) = (Vec::new(), "", "", None::<Block>);
    for line in page.lines() {
        match &mut open {
            Some(block) if line == "```" => {
                blocks.push(block.clone());
                open = None;
            }
            Some(block) => block.text.extend([line, "\n"]),
            None => {
                if let Some(language) = line.strip_prefix("```") {
                    open = Some(Block {
                        section: section.to_owned(),
                        title: title.to_owned(),
                        language: language.to_owned(),
                        text: String::new(),
                    });
                } else if let Some(heading) = line.strip_prefix("## ") {
                    (section, title) = (heading, heading);
                } else if let Some(heading) = line.strip_prefix("### ") {
                    title = heading;
                }
            }
        }
    }
    assert_eq!(open, None, "a block has no end");
    blocks
}
