use std::fmt;

/// Settings that cannot be, each with a sentence that says why.
#[derive(Debug, Default)]
pub struct Mistakes(Vec<String>);

impl Mistakes {
    /// The value of `flag`, or `None` after its mistake was noted.
    pub(super) fn note<T>(&mut self, flag: &str, value: Result<T, String>) -> Option<T> {
        value
            .map_err(|mistake| self.0.push(format!("{flag}: {mistake}.")))
            .ok()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Mistakes {}
