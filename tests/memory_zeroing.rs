//! The function's values are removed from the memory of the process once they are dropped.
//!
//! This is a test file of its own, and so a process of its own: nothing else must hold a value.
//!
//! Not managed by the function, and not tested here: the buffers of the HTTP client, the AWS SDK and the
//! Lambda runtime, and the one in which `serde_json` decodes escapes.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use api_key_rotation::handler::event::Event;
use api_key_rotation::secret::{ApiKeyValue, SecretText};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

/// A value that this test knows without holding it in one piece.
struct Obscured(Vec<u8>);

const MASK: u8 = 0b1010_1010;

impl Obscured {
    fn new(value: &str) -> Self {
        Self(value.bytes().map(|byte| byte ^ MASK).collect())
    }

    /// Returns a text with the value in it, which is zeroed when it is dropped.
    ///
    /// It has its full length from the start, so that growing leaves no copy behind.
    fn within(&self, before: &str, after: &str) -> SecretString {
        let mut text = String::with_capacity(before.len() + self.0.len() + after.len());
        text.push_str(before);
        text.extend(self.0.iter().map(|byte| char::from(byte ^ MASK)));
        text.push_str(after);
        text.into()
    }

    /// Returns how many copies the memory of this process holds, except for the stack.
    ///
    /// A search in a text leaves copies on the stack, which later calls overwrite. The allocator overwrites
    /// the beginning of freed memory, so the search is for the second half.
    fn copies(&self) -> usize {
        let part = &self.0[self.0.len() / 2..];
        let mut buffer = Zeroizing::new(vec![0; 1 << 20]);
        let own = buffer.as_ptr().addr()..buffer.as_ptr().addr() + buffer.len();
        let memory = File::open("/proc/self/mem").expect("a process can read its memory");
        let maps = fs::read_to_string("/proc/self/maps").expect("a process can read its mappings");
        let mut copies = 0;
        let on_stack = std::ptr::from_ref(&own).addr();
        let mappings = maps.lines().filter_map(writable);
        for (start, end) in mappings.filter(|(start, end)| !(*start..*end).contains(&on_stack)) {
            let mut at = start;
            while at < end {
                let length = buffer.len().min(end - at);
                // Memory that cannot be read, such as a device's, does not hold a value.
                let Ok(read) = memory.read_at(&mut buffer[..length], at as u64) else {
                    break;
                };
                let piece = &buffer[..read];
                let first = (0..=read.saturating_sub(part.len()))
                    .filter(|place| piece[*place] ^ MASK == part[0]);
                copies += first
                    .filter(|place| !own.contains(&(at + place)))
                    .filter(|place| {
                        piece[*place..]
                            .iter()
                            .zip(part)
                            .all(|(byte, obscured)| byte ^ MASK == *obscured)
                    })
                    .count();
                // The next piece overlaps this one, so that a value across both is found.
                at += if at + read < end {
                    read - part.len() + 1
                } else {
                    read
                };
            }
        }
        copies
    }
}

/// Returns the bounds of a mapping that can be written.
fn writable(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split(' ');
    let (start, end) = words.next()?.split_once('-')?;
    let bounds = (
        usize::from_str_radix(start, 16).ok()?,
        usize::from_str_radix(end, 16).ok()?,
    );
    words.next()?.starts_with("rw").then_some(bounds)
}

/// Returns a fresh value, of which only the obscured form is kept.
fn value() -> Obscured {
    Obscured::new(ApiKeyValue::fresh().expose())
}

/// Every type that held a value has removed it from memory when it is dropped.
#[test]
fn dropped_values_are_gone_from_memory() {
    // First, the search finds a value that is held, and the copy that an ordinary text leaves behind.
    let left = value();
    let held = left.within("", "");
    assert_eq!(left.copies(), 1, "a value that is held");
    let ordinary = held.expose_secret().to_owned();
    drop((ordinary, held));
    assert!(left.copies() > 0, "what an ordinary text leaves behind");

    let value_kept = value();
    assert_eq!(value_kept.copies(), 0, "a fresh value");

    for (what, before, after) in [
        ("a plain key", "", ""),
        ("white space around it", " \n", "\n"),
        ("a placeholder", "", "!"),
        ("JSON", r#"{"apiKey":""#, r#""}"#),
        (
            "JSON with other fields",
            r#"{"a":[1,"b"],"apiKey":""#,
            r#"","c":{}}"#,
        ),
        (
            "JSON with another key",
            r#"{"apiKey":"a","password":""#,
            r#""}"#,
        ),
        (
            "JSON without a key",
            r#"{"\u0070\"assword":"\u0061\n"#,
            r#""}"#,
        ),
        (
            "JSON of many fields",
            &format!("{{{}\"password\":\"", "\"field\":null,".repeat(500)),
            r#""}"#,
        ),
        ("broken JSON", r#"{"apiKey":""#, r#"""#),
        ("no object", r#"[""#, r#""]"#),
        ("no string", r#"{"apiKey":[""#, r#""]}"#),
        ("a key twice", r#"{"apiKey":"a","apiKey":""#, r#""}"#),
    ] {
        let (old, new) = (value(), value());
        {
            let text = SecretText::parse(old.within(before, after));
            let made: ApiKeyValue = new.within("", "").expose_secret().into();
            let copy = made.clone();
            if let Ok(text) = &text {
                let changed = SecretText::parse(text.with_key(&made)).expect("it is valid");
                assert!(changed.key().is_some_and(|key| key.is(copy.expose())));
                assert!(!changed.equals(text));
                let again = changed.with_key(&copy);
                assert!(again.expose_secret().contains(made.expose()));
            }
            drop(format!("{text:?} {made:?}"));
        }
        assert_eq!((old.copies(), new.copies()), (0, 0), "{what}");
    }

    for (what, before, after) in [
        ("a RotationToken", r#""RotationToken":""#, r#"""#),
        ("a faulty one", r#""RotationToken":""#, r#"!""#),
        ("a token in the wrong field", r#""SecretId":""#, r#"?""#),
        ("a token for a step", r#""Step":""#, r#"""#),
    ] {
        let token = value();
        let others = r#""Step":"setSecret","SecretId":"a","ClientRequestToken":"11111111-1111-4111-8111-111111111111""#;
        let others: Vec<_> = others
            .split(',')
            .filter(|field| !field.starts_with(&before[..6]))
            .collect();
        {
            let event = token.within(
                &format!("{{{},{before}", others.join(",")),
                &format!("{after}}}"),
            );
            let event = Event::parse(event.expose_secret());
            assert_eq!(event.is_ok(), what == "a RotationToken", "{what}");
            drop(format!("{event:?}"));
        }
        assert_eq!(token.copies(), 0, "{what}");
    }
}
