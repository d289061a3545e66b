//! Texts of bounded length: the API server refuses longer ones. PURE.

/// What a message of a run's report, of a status, condition or event keeps, in bytes: the bound of an event's note, the shortest of them.
pub const MESSAGE_BYTES_MAX: usize = 1024;

/// At most so many bytes of a text, in whole characters; `…` says that more was there.
pub fn cut(text: &str, bytes_max: usize) -> String {
    const MORE: &str = "…";
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    format!("{}{MORE}", &text[..text.floor_char_boundary(bytes_max.saturating_sub(MORE.len()))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_characters_are_kept() {
        for (text, expected) in [("short", "short"), ("exactly10!", "exactly10!"), ("eleven char", "eleven …"), ("ééééééé", "ééé…")]
        {
            assert_eq!(cut(text, 10), expected);
        }
    }
}
