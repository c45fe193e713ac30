//! The wildcards of a policy: `*` for any text, `?` for one character.

/// Whether `text` has the form of `pattern`.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut seen) = (0, 0);
    // Where to retry if the text after the last star does not match: one character later.
    let mut retry: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                at += 1;
                retry = Some((at, seen));
            }
            Some(&wanted) if wanted == '?' || wanted == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((after_star, from)) = retry else {
                    return false;
                };
                retry = Some((after_star, from + 1));
                (at, seen) = (after_star, from + 1);
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

/// Whether an ARN matches a `Resource`.
///
/// A wildcard matches only within its part of the ARN. A star at the end of a part also matches
/// past the colon. The sixth and last part may contain colons (DOC, IAM user guide, "Resource").
pub(super) fn matches_resource(pattern: &str, arn: &str) -> bool {
    fn fits(pattern: &str, colons: usize, arn: &str) -> bool {
        let Some(wanted) = pattern.chars().next() else {
            return arn.is_empty();
        };
        let rest = &pattern[wanted.len_utf8()..];
        let is_last = colons >= 5;
        match (wanted, arn.chars().next()) {
            ('*', next) => {
                let continues = is_last || rest.is_empty() || rest.starts_with(':');
                fits(rest, colons, arn)
                    || next.is_some_and(|next| {
                        (continues || next != ':') && fits(pattern, colons, &arn[next.len_utf8()..])
                    })
            }
            (_, Some(next)) => {
                let one = wanted == next || wanted == '?' && (is_last || next != ':');
                let colons = colons + usize::from(wanted == ':');
                one && fits(rest, colons, &arn[next.len_utf8()..])
            }
            (_, None) => false,
        }
    }
    fits(pattern, 0, arn)
}

/// Whether an ARN matches one in a condition, where each part is compared separately (DOC, IAM user
/// guide, "Condition operators").
pub(super) fn matches_arn(pattern: &str, arn: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let (pattern, arn): (Vec<_>, Vec<_>) = (
        pattern.splitn(6, ':').collect(),
        arn.splitn(6, ':').collect(),
    );
    pattern.len() == arn.len()
        && pattern
            .iter()
            .zip(arn)
            .all(|(pattern, part)| matches(pattern, part))
}
