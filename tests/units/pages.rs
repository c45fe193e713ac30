//! The form of the documentation: lengths, tables, fences and links; and the pages that source and template name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::markdown::{Page, has_extension, pages, read, repository};

/// The longest README, and the longest other page, in lines.
const README_LINES: usize = 200;
const PAGE_LINES: usize = 260;
/// The longest row of a table, in characters.
const ROW_LENGTH: usize = 300;
/// The languages of fenced blocks that GitHub highlights or draws.
const LANGUAGES: [&str; 8] = [
    "bash", "hcl", "json", "mermaid", "python", "text", "ts", "yaml",
];

/// Every Markdown page, also those without commands.
fn all_pages() -> Vec<Page> {
    let others = ["SECURITY.md", "CHANGELOG.md", "tests/README.md"].map(read);
    let paths = pages().iter().map(|page| read(&page.path));
    paths.chain(others).collect()
}

#[test]
fn pages_are_short() {
    for page in pages().iter().chain(&[read("SECURITY.md")]) {
        let lines = page.text.lines().count();
        let longest = if page.name == "README" {
            README_LINES
        } else {
            PAGE_LINES
        };
        assert!(lines <= longest, "{}: {lines} lines", page.path);
    }
}

#[test]
fn table_rows_are_short() {
    for page in all_pages() {
        for (number, line) in page.prose() {
            let length = line.chars().count();
            let is_short = !line.starts_with('|') || length <= ROW_LENGTH;
            assert!(is_short, "{}:{number}: {length} characters", page.path);
        }
    }
}

#[test]
fn every_fence_has_language() {
    let mut count = 0;
    for page in all_pages() {
        for block in page.blocks() {
            let language = block.language.as_str();
            let at = format!("{}, {}: {language:?}", page.path, block.heading);
            assert!(LANGUAGES.contains(&language), "{at}");
            count += 1;
        }
    }
    assert!(count > 100, "only {count} blocks");
}

/// zsh reads `$name:r` as the name of a file without its extension.
#[test]
fn commands_mean_same_in_bash_and_zsh() {
    let modifier = Regex::new(r"\$\w+:[A-Za-z]").expect("it is valid");
    for page in all_pages() {
        for block in page
            .blocks()
            .iter()
            .filter(|block| block.language == "bash")
        {
            let found = modifier.find(&block.text).map(|found| found.as_str());
            assert_eq!(found, None, "{}, {}", page.path, block.heading);
        }
    }
}

#[test]
fn every_link_leads_to_file_and_heading() {
    let mut count = 0;
    for page in all_pages() {
        for (number, link) in page.links() {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let at = format!("{}:{number}: {link}", page.path);
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(&page.path).parent().expect("a path has a parent");
            let target = if path.is_empty() {
                PathBuf::from(&page.path)
            } else {
                folder.join(path)
            };
            let exists = repository().join(&target).exists();
            assert!(exists, "{at}: there is no such file");
            if !anchor.is_empty() {
                let target = read(&without_parents(&target));
                assert!(
                    target.anchors().contains(&anchor.to_owned()),
                    "{at}: no such heading"
                );
            }
            count += 1;
        }
    }
    assert!(count > 300, "only {count} links");
}

/// Resolves `..` in a path, such as `docs/../README.md`.
fn without_parents(path: &Path) -> String {
    let mut parts = Vec::new();
    for part in path.iter().filter_map(|part| part.to_str()) {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

#[test]
fn every_page_is_linked_from_readme() {
    let readme = read("README.md");
    let linked: BTreeSet<_> = readme.links().into_iter().map(|(_, link)| link).collect();
    for page in all_pages()
        .iter()
        .filter(|page| page.name != "README" || page.path != "README.md")
    {
        assert!(linked.contains(page.path.as_str()), "{}", page.path);
    }
}

/// Messages, comments and descriptions name pages that exist, and headings by their anchors.
#[test]
fn every_page_named_in_source_exists() {
    let named = Regex::new(r"([A-Za-z][A-Za-z/._-]*\.md)(?:#([a-z0-9-]+))?");
    let named = named.expect("a valid pattern");
    // Such as: README, "Security"
    let by_words = Regex::new(r#"(?i:readme|runbook)(?:\.md)?(?:'s|,) "?[A-Z]"#);
    let by_words = by_words.expect("a valid pattern");
    let mut count = 0;
    for file in sources() {
        let text = std::fs::read_to_string(repository().join(&file)).expect("it can be read");
        for (number, line) in (1..).zip(text.lines()) {
            let at = format!("{}:{number}", file.display());
            let by_words = by_words.find(line).map(|found| found.as_str());
            assert_eq!(by_words, None, "{at}: name a page as docs/page.md#heading");
            for found in named.captures_iter(line) {
                let page = found_page(&file, &found[1]);
                let page = page.unwrap_or_else(|| panic!("{at}: there is no {}", &found[1]));
                if let Some(anchor) = found.get(2) {
                    let anchor = anchor.as_str().to_owned();
                    assert!(
                        page.anchors().contains(&anchor),
                        "{at}: no heading {anchor}"
                    );
                }
                count += 1;
            }
        }
    }
    assert!(count > 5, "only {count} pages are named");
}

/// Finds a page by its path in the repository, in `docs`, or beside the file that names it.
fn found_page(file: &Path, name: &str) -> Option<Page> {
    let folder = file.parent().expect("a path has a parent");
    let paths = [
        PathBuf::from(name),
        Path::new("docs").join(name),
        folder.join(name),
    ];
    let mut paths = paths.iter().filter(|path| repository().join(path).exists());
    Some(read(paths.next()?.to_str()?))
}

/// The function's source, and the template, by their paths in the repository.
fn sources() -> Vec<PathBuf> {
    let mut sources = vec![PathBuf::from("template.yaml")];
    let mut folders = vec![PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(repository().join(&folder)).expect("it can be listed");
        for entry in entries {
            let path = folder.join(entry.expect("it can be listed").file_name());
            if repository().join(&path).is_dir() {
                folders.push(path);
            } else if path.to_str().is_some_and(|path| has_extension(path, "rs")) {
                sources.push(path);
            }
        }
    }
    sources
}
