//! The wildcards of a policy: `*` for any text, `?` for one character.

/// Whether `text` has the form of `pattern`.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut seen) = (0, 0);
    // Where to go on when what follows the last star turns out not to fit: one character later.
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

/// The same for the ARN of a `Resource`: a wildcard stays within its part of it, but a star at the end of a part goes past the
/// colon as well; the sixth and last part may itself have colons (DOC, IAM user guide, "Resource").
pub(super) fn matches_resource(pattern: &str, arn: &str) -> bool {
    fn fits(pattern: &str, colons: usize, arn: &str) -> bool {
        let Some(wanted) = pattern.chars().next() else {
            return arn.is_empty();
        };
        let rest = &pattern[wanted.len_utf8()..];
        let is_last = colons >= 5;
        match (wanted, arn.chars().next()) {
            ('*', next) => {
                let goes_on = is_last || rest.is_empty() || rest.starts_with(':');
                fits(rest, colons, arn)
                    || next.is_some_and(|next| {
                        (goes_on || next != ':') && fits(pattern, colons, &arn[next.len_utf8()..])
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

/// The same for the ARN in a condition, of which each part is compared by itself (DOC, IAM user guide, "Condition operators").
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
